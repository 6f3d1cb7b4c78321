#include "identity/workload/workload_client.h"

#include <stdlib.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"
#include "identity/workload/fake_workload_api.h"

namespace lanyard {
namespace {

class WorkloadClientTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = "/tmp/lanyard.XXXXXX";   // TEST_TMPDIR is too long for a socket's address
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    api_ = std::make_unique<FakeWorkloadApi>(folder_ + "/api.sock");
  }
  void TearDown() override {
    api_.reset();
    EXPECT_EQ(rmdir(folder_.c_str()), 0);
  }
  std::unique_ptr<WorkloadStream> Open() { return WorkloadStream::Open("unix:" + folder_ + "/api.sock", std::nullopt); }

  const FakeCa root_ = FakeCa::Root("example.org");
  std::string folder_;
  std::unique_ptr<FakeWorkloadApi> api_;
};

// The fake refuses, as the standard asks, whoever does not send the security header.
TEST_F(WorkloadClientTest, AsksWithTheSecurityHeader) {
  api_->Send(FakeWorkloadApi::ResponseFor(root_.Leaf("spiffe://example.org/web"), root_));
  const auto stream = Open();
  const auto identity = stream->Next();
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_FALSE(stream->ended());
}

TEST_F(WorkloadClientTest, ARefusedMessageDoesNotEndTheStream) {
  api_->Send(X509SVIDResponse());
  const auto stream = Open();
  EXPECT_TRUE(absl::IsInvalidArgument(stream->Next().status()));
  EXPECT_FALSE(stream->ended());
  api_->Send(FakeWorkloadApi::ResponseFor(root_.Leaf("spiffe://example.org/web"), root_));
  EXPECT_TRUE(stream->Next().ok());
}

TEST_F(WorkloadClientTest, AnEndedStreamSaysSoAgain) {
  api_->Fail(grpc::StatusCode::PERMISSION_DENIED, "no identity issued");
  const auto stream = Open();
  for (int i = 0; i < 2; ++i) {
    const absl::Status status = stream->Next().status();
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
    EXPECT_EQ(status.message(), "no identity issued");
    EXPECT_TRUE(stream->ended());
  }
}

TEST_F(WorkloadClientTest, CancelBeforeOrDuringNextEndsIt) {
  const auto before = Open();
  before->Cancel();
  EXPECT_TRUE(absl::IsCancelled(before->Next().status()));
  const auto during = Open();
  std::thread canceller([&] { during->Cancel(); });
  EXPECT_TRUE(absl::IsCancelled(during->Next().status()));
  canceller.join();
}

}  // namespace
}  // namespace lanyard
