#include "identity/agent/workload_service.h"

#include <grpcpp/client_context.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "api/spiffe/workload.grpc.pb.h"
#include "identity/agent/fake_authority.h"
#include "identity/agent/fake_process_info.h"
#include "identity/agent/process_testing.h"

namespace lanyard {
namespace {

class WorkloadServiceTest : public testing::Test {
 protected:
  WorkloadServiceTest() {
    streams_ = *WorkloadStreams::Start(
        {},
        [this] {
          absl::MutexLock lock(&mutex_);
          return view_;
        },
        processes_, SystemClock());
    service_ = NewWorkloadService(*streams_, [this](const grpc::ServerContextBase&) { return peer_; });
    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    stub_ = SpiffeWorkloadAPI::NewStub(server_->InProcessChannel({}));
  }
  ~WorkloadServiceTest() override { server_->Shutdown(std::chrono::system_clock::now()); }

  void Publish(std::vector<std::string> paths) {
    auto view = std::make_shared<WorkloadView>(WorkloadView{.version = ++version_,
                                                            .trust_domain = authority_.trust_domain(), .items = {},
                                                            .bundles = authority_.bundles(), .mesh = nullptr});
    view->bundles.Set(*X509Bundle::Create(*TrustDomain::Parse("other.org"), {}));
    for (const std::string& path : paths) {
      svids_.push_back(authority_.Mint("spiffe://example.org" + path, absl::Hours(1)));
      view->items.push_back({std::make_shared<const WorkloadEntry>(WorkloadEntry{
                                 .id = path, .spiffe_id = svids_.back().id(),
                                 .selectors = {absl::StrCat("unix:uid:", getuid())}, .dns_names = {}, .hint = path}),
                             svids_.back()});
    }
    {
      absl::MutexLock lock(&mutex_);
      view_ = std::move(view);
    }
    streams_->Changed();
  }
  static std::unique_ptr<grpc::ClientContext> Context(const char* header = "true") {
    auto context = std::make_unique<grpc::ClientContext>();
    if (header != nullptr) context->AddMetadata("workload.spiffe.io", header);
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return context;
  }
  grpc::StatusCode Refusal(grpc::ClientContext& context) {
    const auto reader = stub_->FetchX509SVID(&context, X509SVIDRequest());
    X509SVIDResponse response;
    EXPECT_FALSE(reader->Read(&response));
    return reader->Finish().error_code();
  }

  FakeAuthority authority_{SystemClock()};
  FakeProcessInfo processes_;
  std::shared_ptr<const LocalPeer> peer_ = SelfPeer();
  std::vector<X509Svid> svids_;
  uint64_t version_ = 0;
  absl::Mutex mutex_;
  std::shared_ptr<const WorkloadView> view_;
  std::unique_ptr<WorkloadStreams> streams_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<SpiffeWorkloadAPI::Stub> stub_;
};

TEST_F(WorkloadServiceTest, TheFirstMessageIsWholeAndSoIsEveryOther) {
  Publish({"/web", "/db"});
  const auto context = Context();
  const auto reader = stub_->FetchX509SVID(context.get(), X509SVIDRequest());
  X509SVIDResponse response;
  ASSERT_TRUE(reader->Read(&response));
  ASSERT_EQ(response.svids_size(), 2);
  EXPECT_EQ(response.svids(0).spiffe_id(), "spiffe://example.org/web");
  EXPECT_EQ(response.svids(0).x509_svid(), svids_[0].ChainDer());
  EXPECT_EQ(response.svids(0).x509_svid_key(), std::string(svids_[0].key().ExportPkcs8Der().text()));
  EXPECT_EQ(response.svids(0).bundle(), authority_.bundles().bundles().begin()->second.ToConcatenatedDer());
  EXPECT_EQ(response.svids(1).hint(), "/db");
  ASSERT_EQ(response.federated_bundles_size(), 1);
  EXPECT_EQ(response.federated_bundles().count("spiffe://other.org"), 1u);
  Publish({"/web"});
  ASSERT_TRUE(reader->Read(&response));
  ASSERT_EQ(response.svids_size(), 1);
  EXPECT_EQ(response.svids(0).x509_svid(), svids_[2].ChainDer());
  Publish({});
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST_F(WorkloadServiceTest, BundlesAreStreamedByTrustDomainId) {
  Publish({"/web"});
  const auto context = Context();
  const auto reader = stub_->FetchX509Bundles(context.get(), X509BundlesRequest());
  X509BundlesResponse response;
  ASSERT_TRUE(reader->Read(&response));
  ASSERT_EQ(response.bundles_size(), 2);
  const std::string before = response.bundles().at("spiffe://example.org");
  EXPECT_EQ(before, authority_.bundles().bundles().begin()->second.ToConcatenatedDer());
  Publish({"/web"});  // another SVID, the same bundles: nothing to say
  authority_.ReplaceRoot(true);
  Publish({"/web"});
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_NE(response.bundles().at("spiffe://example.org"), before);
}

TEST_F(WorkloadServiceTest, WithoutTheSecurityHeaderTheArgumentIsInvalid) {
  Publish({"/web"});
  for (const char* header : {static_cast<const char*>(nullptr), "false", "True", "TRUE", "1", ""}) {
    EXPECT_EQ(Refusal(*Context(header)), grpc::StatusCode::INVALID_ARGUMENT) << (header ? header : "none");
  }
  const auto twice = Context();
  twice->AddMetadata("workload.spiffe.io", "false");
  EXPECT_EQ(Refusal(*twice), grpc::StatusCode::INVALID_ARGUMENT);
  const auto context = Context(nullptr);
  X509BundlesResponse response;
  const auto reader = stub_->FetchX509Bundles(context.get(), X509BundlesRequest());
  EXPECT_FALSE(reader->Read(&response));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

// Workload Endpoint section 6 is of the endpoint, whatever is asked there.
TEST_F(WorkloadServiceTest, WithoutTheSecurityHeaderTheOtherProfilesDoNotAnswerEither) {
  Publish({"/web"});
  JWTSVIDResponse svid;
  EXPECT_EQ(stub_->FetchJWTSVID(Context(nullptr).get(), {}, &svid).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  ValidateJWTSVIDResponse validated;
  EXPECT_EQ(stub_->ValidateJWTSVID(Context("false").get(), {}, &validated).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  const auto refusal = [](auto reader, auto response) {
    EXPECT_FALSE(reader->Read(&response));
    return reader->Finish().error_code();
  };
  const auto jwt = Context(nullptr), wit = Context(nullptr), wit_bundles = Context(nullptr);
  EXPECT_EQ(refusal(stub_->FetchJWTBundles(jwt.get(), {}), JWTBundlesResponse()), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(refusal(stub_->FetchWITSVID(wit.get(), {}), WITSVIDResponse()), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(refusal(stub_->FetchWITBundles(wit_bundles.get(), {}), WITBundlesResponse()),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(WorkloadServiceTest, BeforeAStateIsKnownItIsUnavailable) {
  EXPECT_EQ(Refusal(*Context()), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(WorkloadServiceTest, ACallWhoseProcessIsNotKnownIsUnavailable) {
  Publish({"/web"});
  peer_ = nullptr;
  EXPECT_EQ(Refusal(*Context()), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(WorkloadServiceTest, TheOtherProfilesAreUnimplemented) {
  Publish({"/web"});
  JWTSVIDResponse svid;
  JWTSVIDRequest request;
  request.add_audience("a");
  EXPECT_EQ(stub_->FetchJWTSVID(Context().get(), request, &svid).error_code(), grpc::StatusCode::UNIMPLEMENTED);
  const auto context = Context();
  const auto reader = stub_->FetchJWTBundles(context.get(), JWTBundlesRequest());
  JWTBundlesResponse bundles;
  EXPECT_FALSE(reader->Read(&bundles));
  EXPECT_EQ(reader->Finish().error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(WorkloadServiceTest, ACancelledCallFreesItsPlace) {
  Publish({"/web"});
  const auto context = Context();
  const auto reader = stub_->FetchX509SVID(context.get(), X509SVIDRequest());
  X509SVIDResponse response;
  ASSERT_TRUE(reader->Read(&response));
  EXPECT_EQ(streams_->stats().open, 1u);
  context->TryCancel();
  EXPECT_FALSE(reader->Read(&response));
  reader->Finish();
  // The server hears of it a moment later.
  absl::Mutex mutex;
  absl::MutexLock lock(&mutex);
  for (int tries = 0; tries < 400 && streams_->stats().open != 0; ++tries) {
    const bool never = false;
    mutex.AwaitWithTimeout(absl::Condition(&never), absl::Milliseconds(50));
  }
  EXPECT_EQ(streams_->stats().open, 0u);
}

TEST_F(WorkloadServiceTest, AClientThatDoesNotReadGetsTheNewestWhenItDoes) {
  Publish({"/web"});
  const auto context = Context();
  const auto reader = stub_->FetchX509SVID(context.get(), X509SVIDRequest());
  X509SVIDResponse response;
  ASSERT_TRUE(reader->Read(&response));
  for (int i = 0; i < 50; ++i) Publish({"/web"});
  const std::string newest = svids_.back().ChainDer();
  int messages = 0;
  do {
    ASSERT_TRUE(reader->Read(&response));
    ++messages;
  } while (response.svids(0).x509_svid() != newest);
  EXPECT_LE(messages, 50);
}

size_t CountThreads() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& task : std::filesystem::directory_iterator("/proc/self/task")) ++count;
  return count;
}

TEST_F(WorkloadServiceTest, AThousandStreamsNeedNoThousandThreads) {
  Publish({"/web"});
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<X509SVIDResponse>>> readers;
  const size_t threads = CountThreads();
  for (int i = 0; i < 1000; ++i) {
    contexts.push_back(Context());
    readers.push_back(stub_->FetchX509SVID(contexts.back().get(), X509SVIDRequest()));
  }
  X509SVIDResponse response;
  for (auto& reader : readers) ASSERT_TRUE(reader->Read(&response));
  EXPECT_LT(CountThreads(), threads + 50);
  Publish({"/web"});
  for (auto& reader : readers) {
    ASSERT_TRUE(reader->Read(&response));
    EXPECT_EQ(response.svids(0).x509_svid(), svids_.back().ChainDer());
  }
}

}  // namespace
}  // namespace lanyard
