#include "proxy/control/mesh_watch.h"

#include <stdlib.h>

#include <filesystem>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "gtest/gtest.h"
#include "identity/base/atomic_file.h"
#include "identity/base/fake_clock.h"
#include "proxy/control/fake_mesh_service.h"
#include "proxy/control/kept_view.h"
#include "proxy/control/mesh_view_proto.h"

namespace lanyard {
namespace {

using Source = RulesInForce::Source;
constexpr absl::Duration kLong = absl::Seconds(20);

mesh::v1::View View(uint64_t version) {
  mesh::v1::View view;
  view.set_version(version);
  view.set_has_rules(true);
  return view;
}

class MeshWatchTest : public testing::Test {
 protected:
  static std::string NewFolder() {
    std::string folder = "/tmp/lanyard.XXXXXX";  // a socket's path has a hundred bytes
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    return folder;
  }

  ~MeshWatchTest() override {
    loop_.Stop();
    watch_.reset();
    std::filesystem::remove_all(folder_);
  }
  void Start(bool keep = true) {
    watch_ = std::make_unique<MeshWatch>(
        MeshWatch::Options{.address = "unix:" + path_,
                           .state_file = state_file_,
                           .keep = keep,
                           .clock = &clock_,
                           .client = {.backoff = {.initial = absl::Milliseconds(5), .max = absl::Milliseconds(20)}},
                           .on_view =
                               [this](std::shared_ptr<const MeshUpdate> view, Source source) {
                                 absl::MutexLock lock(&mutex_);
                                 seen_.push_back({view->version, source});
                               },
                           .on_first_word =
                               [this] {
                                 absl::MutexLock lock(&mutex_);
                                 spoken_after_.push_back(seen_.size());
                               }},
        loop_);
    watch_->Start();
    loop_.Start();
  }
  using Seen = std::vector<std::pair<uint64_t, Source>>;
  bool WaitFor(const Seen& seen) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&] { return seen_ == seen; };
    return mutex_.AwaitWithTimeout(absl::Condition(&there), kLong);
  }
  // Asked on the control thread.
  template <typename Ask>
  bool WaitUntil(Ask ask) {
    for (const absl::Duration start = SystemClock().Monotonic(); SystemClock().Monotonic() - start < kLong;) {
      absl::Mutex mutex;
      bool answered = false, answer = false;
      loop_.Post([&] {
        absl::MutexLock lock(&mutex);
        answer = ask();
        answered = true;
      });
      absl::MutexLock lock(&mutex);
      mutex.Await(absl::Condition(&answered));
      if (answer) return true;
    }
    return false;
  }

  const std::string folder_ = NewFolder();
  const std::string path_ = folder_ + "/agent.sock";
  const std::string state_file_ = folder_ + "/mesh.view";
  FakeClock clock_;
  ControlLoop loop_;
  absl::Mutex mutex_;
  Seen seen_;
  std::vector<size_t> spoken_after_;  // how many views, at each first word
  std::unique_ptr<MeshWatch> watch_;
};

TEST_F(MeshWatchTest, AViewIsHandedOnKeptAndAcknowledgedOnceApplied) {
  FakeMeshService service(path_);
  service.Send(View(4));
  Start();
  ASSERT_TRUE(WaitFor({{4, Source::kAgent}}));
  for (const auto& status : service.statuses()) EXPECT_EQ(status.view_version(), 0u);
  loop_.Post([this] { watch_->Applied(4); });
  ASSERT_TRUE(service.WaitForStatus([](const auto& status) { return status.view_version() == 4; }));
  const auto kept = ReadKeptView(state_file_);
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_EQ((*kept)->version, 4u);
  EXPECT_TRUE(WaitUntil([this] { return watch_->connected() && watch_->views() == 1; }));
}

TEST_F(MeshWatchTest, WhileAnotherProcessKeepsViewsThisOneWritesNone) {
  FakeMeshService service(path_);
  service.Send(View(4));
  Start(false);
  ASSERT_TRUE(WaitFor({{4, Source::kAgent}}));
  loop_.Post([this] { watch_->Applied(4); });
  // The status is sent by the thread that keeps, after it would have.
  ASSERT_TRUE(service.WaitForStatus([](const auto& status) { return status.view_version() == 4; }));
  EXPECT_TRUE(absl::IsNotFound(ReadKeptView(state_file_).status()));
  watch_->KeepViews(true);
  EXPECT_EQ((*ReadKeptView(state_file_))->version, 4u) << "what came meanwhile";
  watch_->KeepViews(false);
  service.Send(View(5));
  ASSERT_TRUE(WaitFor({{4, Source::kAgent}, {5, Source::kAgent}}));
  loop_.Post([this] { watch_->Applied(5); });
  ASSERT_TRUE(service.WaitForStatus([](const auto& status) { return status.view_version() == 5; }));
  EXPECT_EQ((*ReadKeptView(state_file_))->version, 4u);
}

TEST_F(MeshWatchTest, WithoutTheAgentTheKeptViewIsUsedUntilItSpeaks) {
  ASSERT_TRUE(WriteKeptView(state_file_, **ReadView(View(3))).ok());
  Start();
  ASSERT_TRUE(WaitFor({{3, Source::kDisk}}));
  EXPECT_TRUE(WaitUntil([this] { return !watch_->last_error().empty(); }));
  FakeMeshService service(path_);
  service.Send(View(5));
  ASSERT_TRUE(WaitFor({{3, Source::kDisk}, {5, Source::kAgent}}));
}

TEST_F(MeshWatchTest, TheFirstWordIsTheFirstViewWhereverItIsFrom) {
  ASSERT_TRUE(WriteKeptView(state_file_, **ReadView(View(3))).ok());
  FakeMeshService service(path_);
  service.Send(View(5));
  Start();
  ASSERT_TRUE(WaitFor({{3, Source::kDisk}, {5, Source::kAgent}}));
  EXPECT_TRUE(WaitUntil([this] { return watch_->views() == 1 && watch_->has_spoken(); }));
  absl::MutexLock lock(&mutex_);
  EXPECT_EQ(spoken_after_, std::vector<size_t>{1});
}

TEST_F(MeshWatchTest, AnAgentThatCannotAnswerYetHasNotSpokenAndOneThatKnowsNoMeshHas) {
  FakeMeshService service(path_);
  service.Fail(grpc::StatusCode::UNAVAILABLE, "not yet");
  Start();
  EXPECT_TRUE(WaitUntil([this] { return !watch_->last_error().empty(); }));
  EXPECT_TRUE(WaitUntil([this] { return !watch_->has_spoken(); }));
  service.Fail(grpc::StatusCode::UNIMPLEMENTED, "unknown service");
  EXPECT_TRUE(WaitUntil([this] { return watch_->has_spoken(); }));
  absl::MutexLock lock(&mutex_);
  EXPECT_EQ(spoken_after_, std::vector<size_t>{0});
}

// Another process kept a newer one meanwhile.
TEST_F(MeshWatchTest, WhatIsKeptNowCanBeReadAtAnyTime) {
  Start(false);
  EXPECT_EQ(watch_->ReadKept(), nullptr);
  ASSERT_TRUE(WriteKeptView(state_file_, **ReadView(View(3))).ok());
  ASSERT_NE(watch_->ReadKept(), nullptr);
  ASSERT_TRUE(WriteKeptView(state_file_, **ReadView(View(4))).ok());
  ASSERT_NE(watch_->ReadKept(), nullptr);
  EXPECT_EQ(watch_->ReadKept()->version, 4u);
  ASSERT_TRUE(WriteFileAtomically(state_file_, "rubbish", 0600).ok());
  EXPECT_EQ(watch_->ReadKept(), nullptr);
}

TEST_F(MeshWatchTest, ADamagedKeptViewIsLeftAlone) {
  ASSERT_TRUE(WriteFileAtomically(state_file_, "lanyard-view 1 00\nrubbish", 0600).ok());
  FakeMeshService service(path_);
  service.Send(View(5));
  Start();
  ASSERT_TRUE(WaitFor({{5, Source::kAgent}}));
}

TEST_F(MeshWatchTest, ABadViewIsRefusedReportedAndNotKept) {
  FakeMeshService service(path_);
  service.Send(View(1));
  Start();
  ASSERT_TRUE(WaitFor({{1, Source::kAgent}}));
  mesh::v1::View bad = View(2);
  bad.add_bans();
  service.Send(bad);
  ASSERT_TRUE(service.WaitForStatus([](const auto& status) {
    return status.refused_view_version() == 2 && !status.refused_view_error().empty();
  }));
  EXPECT_TRUE(WaitUntil([this] { return watch_->refused() == 1; }));
  EXPECT_EQ((*ReadKeptView(state_file_))->version, 1u);
  service.Send(View(3));
  ASSERT_TRUE(WaitFor({{1, Source::kAgent}, {3, Source::kAgent}}));
  EXPECT_TRUE(WaitUntil([this] { return watch_->status().refused_view_version == 0; }));
}

TEST_F(MeshWatchTest, TheStatusSaysWhoThisIs) {
  FakeMeshService service(path_);
  service.Send(View(1));
  Start();
  loop_.Post([this] {
    watch_->Shows("spiffe://td/web", "0a", absl::FromUnixSeconds(77));
    watch_->OpenConnections(9);
  });
  EXPECT_TRUE(service.WaitForStatus([](const auto& status) {
    return status.spiffe_id() == "spiffe://td/web" && status.serial() == "0a" && status.not_after_unix() == 77 &&
           status.open_connections() == 9;
  }));
}

}  // namespace
}  // namespace lanyard
