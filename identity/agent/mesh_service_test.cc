#include "identity/agent/mesh_service.h"

#include <grpcpp/client_context.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>

#include <functional>
#include <initializer_list>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "api/lanyard/authority/authority.pb.h"
#include "api/lanyard/mesh/mesh.grpc.pb.h"
#include "identity/agent/fake_process_info.h"
#include "identity/agent/process_testing.h"
#include "identity/base/fake_clock.h"
#include "identity/policy/observed_proto.h"

namespace lanyard {
namespace {

namespace pb = ::lanyard::mesh::v1;

constexpr absl::Duration kLong = absl::Seconds(20);

class MeshServiceTest : public testing::Test {
 protected:
  MeshServiceTest() {
    streams_ = *WorkloadStreams::Start(
        {},
        [this] {
          absl::MutexLock lock(&mutex_);
          return view_;
        },
        processes_, SystemClock());
    service_ = NewMeshService(*streams_, reports_, observed_, clock_,
                              [this](const grpc::ServerContextBase&) { return peer_; });
    grpc::ServerBuilder builder;
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    stub_ = pb::MeshService::NewStub(server_->InProcessChannel({}));
  }
  ~MeshServiceTest() override { server_->Shutdown(std::chrono::system_clock::now()); }

  static std::string RuleNamed(const std::string& name) {
    pb::View rules;
    rules.mutable_inbound()->add_rules()->set_name(name);
    return rules.SerializeAsString();
  }
  void Publish(uint64_t version, const std::string& rule) {
    PublishFor({"web"}, version, {{"p", {*PeerPattern::Parse("spiffe://example.org/*")}, RuleNamed(rule)}});
  }
  // Entries of these names, all of which match us.
  void PublishFor(std::initializer_list<const char*> names, uint64_t version, std::vector<WorkloadRules> rules) {
    pb::View bans;
    bans.add_bans()->set_serial("0a");
    auto view = std::make_shared<WorkloadView>(
        WorkloadView{.version = version, .trust_domain = *TrustDomain::Parse("example.org"), .items = {},
                     .bundles = {}, .mesh = nullptr});
    for (const char* name : names) {
      view->items.push_back({std::make_shared<const WorkloadEntry>(WorkloadEntry{
                                 .id = name, .spiffe_id = *SpiffeId::Parse(absl::StrCat("spiffe://example.org/", name)),
                                 .selectors = {absl::StrCat("unix:uid:", getuid())}, .dns_names = {}, .hint = ""}),
                             std::nullopt});
    }
    view->mesh = std::make_shared<const NodeMesh>(
        NodeMesh{.version = version, .rules = std::move(rules), .bans = bans.SerializeAsString()});
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
  static pb::WatchRequest Status(const std::string& serial) {
    pb::WatchRequest request;
    request.mutable_status()->set_serial(serial);
    return request;
  }
  // Until the last report is one status with this serial, or none for "".
  bool WaitForReport(const std::string& serial) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&] {
      if (sent_.empty()) return false;
      pb::ProxyStatus status;
      if (serial.empty()) return sent_.back().empty();
      return sent_.back().size() == 1 && status.ParseFromString(sent_.back()[0]) && status.serial() == serial;
    };
    return mutex_.AwaitWithTimeout(absl::Condition(&there), kLong);
  }

  // Until the last report of what was observed satisfies it.
  bool WaitForObserved(const std::function<bool(const std::vector<std::string>&)>& matches) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&] { return !sent_observed_.empty() && matches(sent_observed_.back()); };
    return mutex_.AwaitWithTimeout(absl::Condition(&there), kLong);
  }
  static pb::WatchRequest Observed(std::initializer_list<const char*> local_ids) {
    pb::WatchRequest request;
    for (const char* id : local_ids) {
      pb::ObservedCall* call = request.mutable_observed()->add_calls();
      call->set_local_id(id);
      call->set_count(1);
    }
    return request;
  }

  FakeClock clock_;
  FakeProcessInfo processes_;
  std::shared_ptr<const LocalPeer> peer_ = SelfPeer();
  absl::Mutex mutex_;
  std::shared_ptr<const WorkloadView> view_;
  std::vector<std::vector<std::string>> sent_;
  ProxyReports reports_{{.gather = absl::Milliseconds(1), .send = [this](const std::vector<std::string>& all) {
                           absl::MutexLock lock(&mutex_);
                           sent_.push_back(all);
                           return absl::OkStatus();
                         }}};
  std::vector<std::vector<std::string>> sent_observed_;
  ProxyReports observed_{{.gather = absl::Milliseconds(1), .send = [this](const std::vector<std::string>& all) {
                            absl::MutexLock lock(&mutex_);
                            sent_observed_.push_back(all);
                            return absl::OkStatus();
                          }}};
  std::unique_ptr<WorkloadStreams> streams_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<pb::MeshService::Stub> stub_;
};

TEST_F(MeshServiceTest, TheViewIsThereAtOnceAndWholeAtEveryChange) {
  Publish(3, "p/first");
  const auto context = Context();
  const auto stream = stub_->Watch(context.get());
  pb::View view;
  ASSERT_TRUE(stream->Read(&view));
  EXPECT_EQ(view.version(), 3u);
  EXPECT_TRUE(view.has_rules());
  EXPECT_EQ(view.spiffe_ids(0), "spiffe://example.org/web");
  EXPECT_EQ(view.inbound().rules(0).name(), "p/first");
  EXPECT_EQ(view.bans(0).serial(), "0a");
  Publish(4, "p/second");
  ASSERT_TRUE(stream->Read(&view));
  EXPECT_EQ(view.version(), 4u);
  ASSERT_EQ(view.inbound().rules_size(), 1);
  EXPECT_EQ(view.inbound().rules(0).name(), "p/second");
  context->TryCancel();
}

TEST_F(MeshServiceTest, TheViewIsOfTheIdentityThatTheProxyShows) {
  PublishFor({"metrics", "web"}, 1,
             {{"m", {*PeerPattern::Parse("spiffe://example.org/metrics")}, RuleNamed("m/prometheus")},
              {"w", {*PeerPattern::Parse("spiffe://example.org/web")}, RuleNamed("w/shop")}});
  const auto context = Context();
  const auto stream = stub_->Watch(context.get());
  pb::View view;
  pb::WatchRequest request;
  request.mutable_status()->set_spiffe_id("spiffe://example.org/web");
  ASSERT_TRUE(stream->Write(request));
  // The first may have been made before the status was read.
  do {
    ASSERT_TRUE(stream->Read(&view));
    ASSERT_EQ(view.spiffe_ids_size(), 2);
    ASSERT_EQ(view.inbound().rules_size(), 1);
    EXPECT_EQ(view.inbound().rules(0).name(),
              view.spiffe_id() == "spiffe://example.org/web" ? "w/shop" : "m/prometheus");
  } while (view.spiffe_id() != "spiffe://example.org/web");
  context->TryCancel();
}

TEST_F(MeshServiceTest, TheNewestStatusOfAStreamIsReportedUntilItEnds) {
  Publish(1, "p/a");
  const auto context = Context();
  const auto stream = stub_->Watch(context.get());
  ASSERT_TRUE(stream->Write(Status("01")));
  EXPECT_TRUE(WaitForReport("01"));
  ASSERT_TRUE(stream->Write(Status("02")));
  EXPECT_TRUE(WaitForReport("02"));
  context->TryCancel();
  EXPECT_TRUE(WaitForReport(""));
}

TEST_F(MeshServiceTest, NobodyIsReportedAsAProxyOfAnotherWorkload) {
  Publish(1, "p/a");
  const auto context = Context();
  const auto stream = stub_->Watch(context.get());
  pb::WatchRequest request = Status("01");
  request.mutable_status()->set_spiffe_id("spiffe://example.org/web");
  ASSERT_TRUE(stream->Write(request));
  ASSERT_TRUE(WaitForReport("01"));
  pb::ProxyStatus reported;
  {
    absl::MutexLock lock(&mutex_);
    ASSERT_TRUE(reported.ParseFromString(sent_.back()[0]));
    EXPECT_EQ(reported.spiffe_id(), "spiffe://example.org/web");
    sent_.clear();
  }
  request = Status("02");
  request.mutable_status()->set_spiffe_id("spiffe://example.org/bank");
  request.mutable_status()->set_version("of the bank");
  ASSERT_TRUE(stream->Write(request));
  {
    absl::MutexLock lock(&mutex_);
    const auto there = [&] {
      return !sent_.empty() && sent_.back().size() == 1 && reported.ParseFromString(sent_.back()[0]) &&
             reported.version() == "of the bank";
    };
    ASSERT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), kLong));
  }
  EXPECT_EQ(reported.spiffe_id(), "");
  EXPECT_EQ(reported.serial(), "");
  context->TryCancel();
}

TEST_F(MeshServiceTest, WhatAProxyObservedIsReportedWithoutTheCallsOfOtherWorkloads) {
  Publish(1, "p/a");
  const auto context = Context();
  const auto stream = stub_->Watch(context.get());
  pb::View view;
  ASSERT_TRUE(stream->Read(&view));
  EXPECT_TRUE(view.wants_observed());
  ASSERT_TRUE(stream->Write(Status("01")));
  ASSERT_TRUE(stream->Write(Observed({"spiffe://example.org/web", "spiffe://example.org/bank"})));
  uint64_t proxy = 0;
  EXPECT_TRUE(WaitForObserved([&](const std::vector<std::string>& all) {
    authority::v1::ReportObservedRequest::OfProxy report;
    if (all.size() != 1 || !report.ParseFromString(all[0])) return false;
    proxy = report.proxy();
    return report.observed().calls_size() == 1 && report.observed().left_out() == 1 &&
           report.observed().calls(0).local_id() == "spiffe://example.org/web";
  }));
  ASSERT_TRUE(WaitForReport("01"));
  {
    absl::MutexLock lock(&mutex_);
    pb::ProxyStatus status;
    ASSERT_TRUE(status.ParseFromString(sent_.back()[0]));
    EXPECT_EQ(status.proxy(), proxy) << "by this number the two belong together";
  }
  context->TryCancel();
  EXPECT_TRUE(WaitForObserved([](const std::vector<std::string>& all) { return all.empty(); }));
}

TEST_F(MeshServiceTest, WhatWasObservedMayBeLargerThanAStatusButNotBoundless) {
  Publish(1, "p/a");
  for (const size_t size_bytes : {size_t{20} << 10, size_t{60} << 10}) {
    const auto context = Context();
    const auto stream = stub_->Watch(context.get());
    pb::View view;
    ASSERT_TRUE(stream->Read(&view));
    pb::WatchRequest request = Observed({"spiffe://example.org/web"});
    request.mutable_observed()->mutable_calls(0)->set_rule(std::string(size_bytes, 'r'));  // cannot be shown
    ASSERT_TRUE(stream->Write(request));
    if (size_bytes < kMaxObservedBytes) {
      EXPECT_TRUE(WaitForObserved([](const std::vector<std::string>& all) {
        authority::v1::ReportObservedRequest::OfProxy report;
        return all.size() == 1 && report.ParseFromString(all[0]) && report.observed().left_out() == 1;
      }));
      context->TryCancel();
      continue;
    }
    while (stream->Read(&view)) {
    }
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  }
}

TEST_F(MeshServiceTest, AStreamWhoseCallerHasNoEntryIsDeniedAndNotReported) {
  Publish(1, "p/a");
  const auto good = Context();
  const auto reporting = stub_->Watch(good.get());
  ASSERT_TRUE(reporting->Write(Status("01")));
  ASSERT_TRUE(WaitForReport("01"));
  IdleChild child;
  peer_ = std::make_shared<const LocalPeer>(child.pid(), 424242, getgid(), PidfdOpen(child.pid()));
  const auto context = Context();
  const auto stream = stub_->Watch(context.get());
  stream->Write(Status("02"));
  pb::View view;
  EXPECT_FALSE(stream->Read(&view));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_TRUE(WaitForReport("01"));
  good->TryCancel();
}

TEST_F(MeshServiceTest, WithoutTheSecurityHeaderTheArgumentIsInvalid) {
  Publish(1, "p/a");
  for (const char* header : {static_cast<const char*>(nullptr), "false", "1"}) {
    const auto context = Context(header);
    const auto stream = stub_->Watch(context.get());
    pb::View view;
    EXPECT_FALSE(stream->Read(&view));
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT) << (header ? header : "none");
  }
}

TEST_F(MeshServiceTest, AProcessThatIsNotKnownIsUnavailable) {
  Publish(1, "p/a");
  peer_ = nullptr;
  const auto context = Context();
  const auto stream = stub_->Watch(context.get());
  pb::View view;
  EXPECT_FALSE(stream->Read(&view));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(MeshServiceTest, AStatusThatIsTooLargeOrNotPrintableEndsItsStream) {
  Publish(1, "p/a");
  for (const std::string& serial : {std::string(kMaxWatchRequestBytes, 'a'), std::string("\n")}) {
    const auto context = Context();
    const auto stream = stub_->Watch(context.get());
    stream->Write(Status(serial));
    pb::View view;
    while (stream->Read(&view)) {
    }
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  }
}

TEST_F(MeshServiceTest, TooManyStatusesASecondAreReadLater) {
  Publish(1, "p/a");
  const auto context = Context();
  const auto stream = stub_->Watch(context.get());
  pb::View view;
  ASSERT_TRUE(stream->Read(&view));
  const absl::Time begin = absl::Now();
  constexpr int kBeyond = 5;
  for (int i = 0; i < static_cast<int>(kWatchRequestBurst) + kBeyond; ++i) ASSERT_TRUE(stream->Write(Status("01")));
  ASSERT_TRUE(stream->Write(Status("02")));
  EXPECT_TRUE(WaitForReport("02"));
  EXPECT_GE(absl::Now() - begin, absl::Seconds(kBeyond / kWatchRequestsPerSecond));
  // The stream goes on, and time gives back what it may send at once.
  clock_.Advance(absl::Minutes(1));
  for (int i = 0; i < static_cast<int>(kWatchRequestBurst); ++i) ASSERT_TRUE(stream->Write(Status("03")));
  EXPECT_TRUE(WaitForReport("03"));
  Publish(2, "p/b");
  ASSERT_TRUE(stream->Read(&view));
  EXPECT_EQ(view.version(), 2u);
}

TEST_F(MeshServiceTest, AStreamThatIsToBeReadLaterEndsLikeAnyOther) {
  Publish(1, "p/a");
  const auto context = Context(), denied = Context();
  const auto stream = stub_->Watch(context.get());
  pb::View view;
  ASSERT_TRUE(stream->Read(&view));
  for (int i = 0; i < static_cast<int>(kWatchRequestBurst) + 5; ++i) ASSERT_TRUE(stream->Write(Status("01")));
  ASSERT_TRUE(WaitForReport("01"));
  context->TryCancel();
  EXPECT_TRUE(WaitForReport(""));
  const auto other = stub_->Watch(denied.get());
  ASSERT_TRUE(other->Read(&view));
  for (int i = 0; i < static_cast<int>(kWatchRequestBurst) + 5; ++i) ASSERT_TRUE(other->Write(Status("02")));
  ASSERT_TRUE(WaitForReport("02"));
  streams_->Stop();
  while (other->Read(&view)) {
  }
  EXPECT_EQ(other->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace lanyard
