#include "identity/workload/watch.h"

#include <stdlib.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"
#include "identity/workload/fake_workload_api.h"

namespace lanyard {
namespace {

constexpr BackoffOptions kQuick = {.initial = absl::Milliseconds(5), .max = absl::Milliseconds(20)};

// What a watch has said so far; waits for what it is to say.
class Heard {
 public:
  WorkloadWatch::Callbacks Callbacks() {
    return {.on_identity = [this](WorkloadIdentity identity) {
              absl::MutexLock lock(&mutex_);
              serials_.push_back(identity.svids[0].leaf().serial());
            },
            .on_error = [this](const absl::Status& status, absl::Duration wait) {
              absl::MutexLock lock(&mutex_);
              errors_.emplace_back(status, wait);
            }};
  }
  bool AwaitIdentity(const FakeLeaf& leaf) {
    return Await([this, serial = leaf.chain[0].serial()]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return !serials_.empty() && serials_.back() == serial;
    });
  }
  bool AwaitError(absl::StatusCode code) {
    return Await([this, code]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return !errors_.empty() && errors_.back().first.code() == code;
    });
  }
  absl::Duration last_wait() {
    absl::MutexLock lock(&mutex_);
    return errors_.back().second;
  }
  size_t errors() {
    absl::MutexLock lock(&mutex_);
    return errors_.size();
  }
  size_t identities() {
    absl::MutexLock lock(&mutex_);
    return serials_.size();
  }

 private:
  bool Await(const std::function<bool()>& condition) {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&condition), absl::Seconds(20));
  }
  absl::Mutex mutex_;
  std::vector<std::string> serials_;
  std::vector<std::pair<absl::Status, absl::Duration>> errors_;
};

class WatchTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = "/tmp/lanyard.XXXXXX";   // TEST_TMPDIR is too long for a socket's address
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
    path_ = folder_ + "/api.sock";
    api_ = std::make_unique<FakeWorkloadApi>(path_);
  }
  void TearDown() override {
    api_.reset();
    EXPECT_EQ(rmdir(folder_.c_str()), 0);
  }
  std::string Address() { return *WorkloadApiAddress("unix://" + path_, ""); }
  X509SVIDResponse Response(const FakeLeaf& leaf) { return FakeWorkloadApi::ResponseFor(leaf, root_); }

  const FakeCa root_ = FakeCa::Root("example.org");
  const FakeLeaf first_ = root_.Leaf("spiffe://example.org/web"), second_ = root_.Leaf("spiffe://example.org/web");
  std::string folder_, path_;
  std::unique_ptr<FakeWorkloadApi> api_;
  Heard heard_;
};

TEST_F(WatchTest, EachMessageIsAnIdentityOnOneStream) {
  api_->Send(Response(first_));
  WorkloadWatch watch(Address(), heard_.Callbacks(), kQuick);
  EXPECT_TRUE(heard_.AwaitIdentity(first_));
  api_->Send(Response(second_));
  EXPECT_TRUE(heard_.AwaitIdentity(second_));
  EXPECT_EQ(heard_.errors(), 0u);
  EXPECT_EQ(api_->streams_begun(), 1);
}

TEST_F(WatchTest, ADroppedStreamIsOpenedAgain) {
  api_->Send(Response(first_));
  WorkloadWatch watch(Address(), heard_.Callbacks(), kQuick);
  ASSERT_TRUE(heard_.AwaitIdentity(first_));
  api_->DropStreams();
  EXPECT_TRUE(heard_.AwaitError(absl::StatusCode::kUnavailable));
  api_->Send(Response(second_));
  EXPECT_TRUE(heard_.AwaitIdentity(second_));
  EXPECT_GE(api_->streams_begun(), 2);
}

TEST_F(WatchTest, PermissionDeniedIsTriedAgain) {
  api_->Fail(grpc::StatusCode::PERMISSION_DENIED, "no identity issued");
  WorkloadWatch watch(Address(), heard_.Callbacks(), kQuick);
  ASSERT_TRUE(heard_.AwaitError(absl::StatusCode::kPermissionDenied));
  EXPECT_LE(heard_.last_wait(), kQuick.max);
  api_->Send(Response(first_));
  EXPECT_TRUE(heard_.AwaitIdentity(first_));
}

TEST_F(WatchTest, InvalidArgumentIsNotTriedAgain) {
  api_->Fail(grpc::StatusCode::INVALID_ARGUMENT, "what is this");
  {
    WorkloadWatch watch(Address(), heard_.Callbacks(), kQuick);
    ASSERT_TRUE(heard_.AwaitError(absl::StatusCode::kInvalidArgument));
  }
  EXPECT_EQ(heard_.last_wait(), absl::InfiniteDuration());
  EXPECT_EQ(heard_.errors(), 1u);
}

TEST_F(WatchTest, AMalformedMessageIsReportedAndTheStreamGoesOn) {
  api_->Send(Response(first_));
  WorkloadWatch watch(Address(), heard_.Callbacks(), kQuick);
  ASSERT_TRUE(heard_.AwaitIdentity(first_));
  X509SVIDResponse broken = Response(second_);
  broken.mutable_svids(0)->set_x509_svid("garbage");
  api_->Send(broken);
  ASSERT_TRUE(heard_.AwaitError(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(heard_.last_wait(), absl::ZeroDuration());
  EXPECT_EQ(heard_.identities(), 1u);
  api_->Send(Response(second_));
  EXPECT_TRUE(heard_.AwaitIdentity(second_));
  EXPECT_EQ(api_->streams_begun(), 1);
}

TEST_F(WatchTest, AnAgentThatComesBackWithANewSocketIsFound) {
  api_->Send(Response(first_));
  WorkloadWatch watch(Address(), heard_.Callbacks(), kQuick);
  ASSERT_TRUE(heard_.AwaitIdentity(first_));
  api_->Stop();
  EXPECT_TRUE(heard_.AwaitError(absl::StatusCode::kUnavailable));
  const size_t errors = heard_.errors();
  api_ = std::make_unique<FakeWorkloadApi>(path_);
  api_->Send(Response(second_));
  EXPECT_TRUE(heard_.AwaitIdentity(second_));
  EXPECT_GE(heard_.errors(), errors);
}

TEST_F(WatchTest, AWatchThatHearsNothingEndsAtOnce) {
  // Connected, but the stream stays silent.
  auto silent = std::make_unique<WorkloadWatch>(Address(), heard_.Callbacks(), kQuick);
  silent.reset();
  EXPECT_EQ(heard_.identities(), 0u);
}

TEST_F(WatchTest, AWatchThatWaitsForItsNextTryEndsAtOnce) {
  api_->Stop();
  WorkloadWatch watch(Address(), heard_.Callbacks(), {.initial = absl::Hours(1), .max = absl::Hours(1)});
  EXPECT_TRUE(heard_.AwaitError(absl::StatusCode::kUnavailable));
}

TEST_F(WatchTest, FetchGivesOneIdentity) {
  api_->Send(Response(first_));
  const auto identity = FetchWorkloadIdentity(Address(), absl::Seconds(20));
  ASSERT_TRUE(identity.ok()) << identity.status();
  EXPECT_EQ(identity->svids[0].leaf(), first_.chain[0]);
}

TEST_F(WatchTest, FetchSaysWhyThereIsNone) {
  EXPECT_TRUE(absl::IsDeadlineExceeded(FetchWorkloadIdentity(Address(), absl::Milliseconds(50)).status()));
  api_->Fail(grpc::StatusCode::PERMISSION_DENIED, "no identity issued");
  const absl::Status denied = FetchWorkloadIdentity(Address(), absl::Seconds(20)).status();
  EXPECT_TRUE(absl::IsPermissionDenied(denied));
  EXPECT_EQ(denied.message(), "no identity issued");
  api_->Stop();
  EXPECT_TRUE(absl::IsUnavailable(FetchWorkloadIdentity(Address(), absl::Seconds(20)).status()));
}

TEST(WorkloadApiAddressTest, TheConfigurationWinsAndOneOfThemMustBeThere) {
  EXPECT_EQ(*WorkloadApiAddress("unix:///a", "unix:///b"), "unix:/a");
  EXPECT_EQ(*WorkloadApiAddress("", "unix:///b"), "unix:/b");
  EXPECT_TRUE(absl::IsInvalidArgument(WorkloadApiAddress("", "").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(WorkloadApiAddress("nonsense", "unix:///b").status()));
}

}  // namespace
}  // namespace lanyard
