#include "proxy/control/mesh_client.h"

#include <stdlib.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "proxy/control/fake_mesh_service.h"

namespace lanyard {
namespace {

constexpr absl::Duration kLong = absl::Seconds(20);

mesh::v1::View View(uint64_t version) {
  mesh::v1::View view;
  view.set_version(version);
  return view;
}

class MeshClientTest : public testing::Test {
 protected:
  static std::string NewFolder() {
    std::string folder = "/tmp/lanyard.XXXXXX";  // a socket's path has a hundred bytes
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    return folder;
  }

  ~MeshClientTest() override {
    client_.reset();
    std::filesystem::remove_all(folder_);
  }
  void Connect(MeshClient::Options options = Quick()) {
    client_ = std::make_unique<MeshClient>(
        "unix:" + path_,
        MeshClient::Callbacks{.on_view =
                                  [this](std::shared_ptr<const MeshUpdate> view) {
                                    absl::MutexLock lock(&mutex_);
                                    views_.push_back(view->version);
                                  },
                              .on_refused =
                                  [this](uint64_t version, const absl::Status&) {
                                    absl::MutexLock lock(&mutex_);
                                    refused_.push_back(version);
                                  },
                              .on_ended =
                                  [this](const absl::Status& status, absl::Duration wait) {
                                    absl::MutexLock lock(&mutex_);
                                    ended_.push_back({status, wait});
                                  }},
        options);
  }
  static MeshClient::Options Quick() {
    return {.backoff = {.initial = absl::Milliseconds(5), .max = absl::Milliseconds(20), .factor = 2.0}};
  }
  bool WaitForView(uint64_t version) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&] { return !views_.empty() && views_.back() == version; };
    return mutex_.AwaitWithTimeout(absl::Condition(&there), kLong);
  }
  bool WaitForEnds(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&] { return ended_.size() >= count; };
    return mutex_.AwaitWithTimeout(absl::Condition(&there), kLong);
  }

  const std::string folder_ = NewFolder();
  const std::string path_ = folder_ + "/agent.sock";
  absl::Mutex mutex_;
  std::vector<uint64_t> views_, refused_;
  std::vector<std::pair<absl::Status, absl::Duration>> ended_;
  std::unique_ptr<MeshClient> client_;
};

TEST_F(MeshClientTest, YieldsEveryViewAndSendsTheNewestStatus) {
  FakeMeshService service(path_);
  service.Send(View(1));
  Connect();
  ASSERT_TRUE(WaitForView(1));
  client_->Report({.view_version = 1, .refused_view_error = "", .spiffe_id = "spiffe://td/web", .serial = "0a"});
  EXPECT_TRUE(service.WaitForStatus([](const mesh::v1::ProxyStatus& status) {
    return status.view_version() == 1 && status.spiffe_id() == "spiffe://td/web" && status.serial() == "0a";
  }));
  service.Send(View(2));
  ASSERT_TRUE(WaitForView(2));
}

TEST_F(MeshClientTest, SendsNoMoreThanTheNewestStatusInAnInterval) {
  FakeMeshService service(path_);
  service.Send(View(1));
  MeshClient::Options options = Quick();
  options.request_interval = absl::Milliseconds(100);
  Connect(options);
  ASSERT_TRUE(WaitForView(1));
  const absl::Time begin = absl::Now();
  constexpr uint64_t kStatuses = 6;
  for (uint64_t version = 1; version <= kStatuses; ++version) {
    client_->Report({.view_version = version, .refused_view_error = "", .spiffe_id = "", .serial = ""});
    ASSERT_TRUE(service.WaitForStatus(
        [version](const mesh::v1::ProxyStatus& status) { return status.view_version() == version; }));
  }
  // The stream's first request may have been long before these; clocks are not compared to the millisecond.
  EXPECT_GE(absl::Now() - begin, options.request_interval * (kStatuses - 2));
  EXPECT_EQ(service.streams_begun(), 1);
}

TEST_F(MeshClientTest, AViewThatCannotBeReadIsRefusedAndTheStreamGoesOn) {
  FakeMeshService service(path_);
  mesh::v1::View bad = View(5);
  bad.add_bans();
  service.Send(bad);
  Connect();
  {
    absl::MutexLock lock(&mutex_);
    const auto there = [&] { return !refused_.empty(); };
    ASSERT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&there), kLong));
    EXPECT_EQ(refused_, std::vector<uint64_t>{5});
  }
  service.Send(View(6));
  ASSERT_TRUE(WaitForView(6));
  EXPECT_EQ(service.streams_begun(), 1);
}

TEST_F(MeshClientTest, ComesAgainAfterAFailureAndTellsItsStatusAnew) {
  {
    FakeMeshService first(path_);
    first.Send(View(1));
    Connect();
    ASSERT_TRUE(WaitForView(1));
    client_->Report({.view_version = 1, .refused_view_error = "", .spiffe_id = "", .serial = ""});
  }
  ASSERT_TRUE(WaitForEnds(2));  // nobody is there
  FakeMeshService second(path_);
  second.Fail(grpc::StatusCode::PERMISSION_DENIED, "no entry");
  ASSERT_TRUE(WaitForEnds(5));
  second.Send(View(2));
  ASSERT_TRUE(WaitForView(2));
  EXPECT_TRUE(second.WaitForStatus([](const mesh::v1::ProxyStatus& status) { return status.view_version() == 1; }));
}

TEST_F(MeshClientTest, WhatWasObservedIsToldToAnAgentThatAsksForItAndToTheNextOneAnew) {
  const auto report = [](const char* peer) {
    ObservedReport made{absl::FromUnixSeconds(99), {}, 1};
    made.calls.emplace_back();
    made.calls[0].direction = "inbound";
    made.calls[0].local_id = "spiffe://td/web";
    made.calls[0].peer_id = peer;
    return std::make_shared<const ObservedReport>(std::move(made));
  };
  const auto of = [](const std::string& peer) {
    return [peer](const mesh::v1::Observed& observed) {
      return observed.at_unix() == 99 && observed.calls_size() == 1 && observed.calls(0).peer_id() == peer;
    };
  };
  {
    FakeMeshService service(path_);
    service.Send(View(1));
    Connect();
    ASSERT_TRUE(WaitForView(1));
    client_->Report(report("spiffe://td/a"));
    client_->Report({.view_version = 1, .refused_view_error = "", .spiffe_id = "", .serial = ""});
    ASSERT_TRUE(service.WaitForStatus([](const mesh::v1::ProxyStatus& status) { return status.view_version() == 1; }));
    EXPECT_TRUE(service.observed().empty()) << "an agent that does not know it would refuse it";
    mesh::v1::View wanting = View(2);
    wanting.set_wants_observed(true);
    service.Send(wanting);
    EXPECT_TRUE(service.WaitForObserved(of("spiffe://td/a")));
    client_->Report(report("spiffe://td/b"));
    EXPECT_TRUE(service.WaitForObserved(of("spiffe://td/b")));
  }
  FakeMeshService next(path_);
  mesh::v1::View wanting = View(3);
  wanting.set_wants_observed(true);
  next.Send(wanting);
  EXPECT_TRUE(next.WaitForObserved(of("spiffe://td/b")));
}

TEST_F(MeshClientTest, AnAgentThatKnowsNoMeshIsAskedRarely) {
  FakeMeshService service(path_);
  service.Fail(grpc::StatusCode::UNIMPLEMENTED, "unknown service");
  MeshClient::Options options = Quick();
  options.unimplemented_wait = absl::Hours(1);
  Connect(options);
  ASSERT_TRUE(WaitForEnds(1));
  absl::MutexLock lock(&mutex_);
  EXPECT_TRUE(absl::IsUnimplemented(ended_[0].first));
  EXPECT_EQ(ended_[0].second, absl::Hours(1));
}

TEST_F(MeshClientTest, EndsAtOnceWhateverItIsDoing) {
  Connect({.backoff = {.initial = absl::Hours(1), .max = absl::Hours(1), .factor = 1.0}});
  ASSERT_TRUE(WaitForEnds(1));
  client_.reset();  // waits for its next try
  FakeMeshService service(path_);
  service.Send(View(1));
  Connect();
  ASSERT_TRUE(WaitForView(1));
  client_.reset();  // waits for news
  Connect();
  client_.reset();  // connects
}

}  // namespace
}  // namespace lanyard
