#include "proxy/connection/move_line.h"

#include <sys/resource.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "identity/base/clock.h"
#include "proxy/io/epoll_poller.h"

namespace lanyard {
namespace {

// An ordinary user, who may have no more than 128 descriptors on their way.
class OrdinaryUser {
 public:
  OrdinaryUser() {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    if (root_) { EXPECT_EQ(seteuid(65534), 0); }
    const rlimit tight = {128, before_.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &tight), 0);
  }
  ~OrdinaryUser() {
    if (root_) { EXPECT_EQ(seteuid(0), 0); }
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before_), 0);
  }

 private:
  rlimit before_{};
  const bool root_ = geteuid() == 0;
};

// Two workers on one loop, whose lines find each other as a process's do.
class MoveLineTest : public testing::Test {
 protected:
  struct Worker {
    WorkerContext context;
    std::unique_ptr<MoveLine> line;
    std::vector<std::pair<std::string, bool>> received;  // and whether a descriptor came
    int opened = 0, closed = 0;
  };
  void Make(MoveLine::Side side) {
    for (int i = 0; i < 2; ++i) {
      Worker& worker = workers_[i];
      worker.context.loop = loop_.get();
      worker.context.worker = i;
      worker.context.workers = 2;
      worker.context.post_to = [this](uint32_t to, std::function<void(WorkerContext&)> task) {
        if (to > 1) return false;
        loop_->Post([this, to, task = std::move(task)] { task(workers_[to].context); });
        return true;
      };
      worker.line = std::make_unique<MoveLine>(
          &worker.context, side, [](WorkerContext& context) { return lines_[context.worker]; },
          MoveLine::Events{.on_message =
                               [&worker](const MoveMessage& message, UniqueFd fd) {
                                 worker.received.emplace_back(EncodeMove(message), fd.valid());
                               },
                           .on_open = [&worker] { ++worker.opened; },
                           .on_closed = [&worker] { ++worker.closed; }});
      lines_[i] = worker.line.get();
    }
  }
  void Open(MoveLine::Side side = MoveLine::Side::kBefore) {
    Make(side);
    auto [ours, theirs] = Passage::Pair().value();
    other_ = std::make_unique<Passage>(theirs.Release());
    workers_[0].line->Open(ours.Release());
    EXPECT_TRUE(Until([&] { return workers_[0].opened + workers_[1].opened == 2; }));
  }
  bool Until(const std::function<bool()>& done) {
    for (int turn = 0; turn < 3000; ++turn) {
      if (done()) return true;
      loop_->RunOnce(absl::Milliseconds(10));
    }
    return false;
  }

  // More descriptors than an ordinary user may have on their way: the kernel takes more once some have arrived.
  void HandOverTooMany() {
    for (uint64_t id = 1; id <= kTooMany; ++id) {
      workers_[0].line->Send({.kind = MoveKind::kYours, .id = id << 8}, UniqueFd(dup(application_.first.fd())));
    }
    EXPECT_GT(workers_[0].line->queued(), 0u);
  }

  static constexpr uint64_t kTooMany = 200;
  static MoveLine* lines_[2];
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(EpollPoller::Create().value(), &SystemClock()).value();
  Worker workers_[2];
  std::unique_ptr<Passage> other_;
  std::pair<Passage, Passage> application_ = Passage::Pair().value();  // whose socket is passed
};
MoveLine* MoveLineTest::lines_[2];

TEST_F(MoveLineTest, WhatComesIsForTheWorkerThatOffered) {
  Open();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const UniqueFd one(ends[0]), two(ends[1]);
  ASSERT_TRUE(other_->Send("ready\n256").ok());
  ASSERT_TRUE(other_->Send("yours\n257\n0\n1", one.get()).ok());
  ASSERT_TRUE(other_->Send("go\n1").ok());
  ASSERT_TRUE(other_->Send("go\n7").ok());  // there is no such worker
  ASSERT_TRUE(Until([&] { return workers_[0].received.size() == 1 && workers_[1].received.size() == 2; }));
  EXPECT_EQ(workers_[0].received[0], std::make_pair(std::string("ready\n256"), false));
  EXPECT_EQ(workers_[1].received[0], std::make_pair(std::string("yours\n257\n0\n1"), true));
  EXPECT_EQ(workers_[1].received[1].first, "go\n1");
}

TEST_F(MoveLineTest, InTheNextProcessTheTokenSaysForWhichWorker) {
  Open(MoveLine::Side::kNext);
  StreamToken token{};
  token[0] = 5;
  const uint64_t odd = MoveId(9, token, 200);
  token[0] = 6;
  const uint64_t even = MoveId(9, token, 201);
  ASSERT_TRUE(other_->Send(absl::StrCat("go\n", odd)).ok());
  ASSERT_TRUE(other_->Send(absl::StrCat("go\n", even)).ok());
  ASSERT_TRUE(Until([&] { return workers_[0].received.size() == 1 && workers_[1].received.size() == 1; }));
  EXPECT_EQ(workers_[0].received[0].first, absl::StrCat("go\n", even));
  EXPECT_EQ(workers_[1].received[0].first, absl::StrCat("go\n", odd));
}

TEST_F(MoveLineTest, EveryWorkerSendsThroughTheFirst) {
  Open();
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const UniqueFd reader(ends[0]);
  workers_[1].line->Send({.kind = MoveKind::kYours, .id = 257, .sent_end = true}, UniqueFd(ends[1]));
  workers_[1].line->Send({.kind = MoveKind::kCancel, .id = 513});
  loop_->RunOnce(absl::ZeroDuration());
  const auto first = other_->Receive(absl::Seconds(30)), second = other_->Receive(absl::Seconds(30));
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->text, "yours\n257\n1\n0");
  EXPECT_TRUE(first->fd.valid());
  EXPECT_EQ(second->text, "cancel\n513");
}

TEST_F(MoveLineTest, AFullPassageLosesNothing) {
  Open();
  constexpr uint64_t kMessages = 5000;
  for (uint64_t id = 0; id < kMessages; ++id) workers_[0].line->Send({.kind = MoveKind::kCancel, .id = id});
  for (uint64_t id = 0; id < kMessages; ++id) {
    loop_->RunOnce(absl::ZeroDuration());
    const auto message = other_->Receive(absl::Seconds(30));
    ASSERT_TRUE(message.ok()) << message.status();
    ASSERT_EQ(message->text, EncodeMove({.kind = MoveKind::kCancel, .id = id}));
  }
}

TEST_F(MoveLineTest, TheEndOfTheOtherProcessIsToldToEveryWorker) {
  Open();
  ASSERT_TRUE(other_->Send("ready\n257").ok());
  other_.reset();
  ASSERT_TRUE(Until([&] { return workers_[0].closed + workers_[1].closed == 2; }));
  EXPECT_EQ(workers_[1].received.size(), 1u) << "what was said before is heard";
  EXPECT_FALSE(workers_[0].line->open() || workers_[1].line->open());
  workers_[1].line->Send({.kind = MoveKind::kCancel, .id = 1});  // nothing happens
  loop_->RunOnce(absl::ZeroDuration());
}

// The next process must not lose a socket that it was given, whatever becomes of who gave it.
TEST_F(MoveLineTest, WhatWasHandedOverBeforeTheEndIsTakenThoughNothingCanBeSentAnyMore) {
  Open();
  ASSERT_TRUE(other_->Send("yours\n257\n0\n1", application_.first.fd()).ok());
  other_.reset();
  workers_[0].line->Send({.kind = MoveKind::kReady, .id = 256});
  ASSERT_TRUE(Until([&] { return workers_[0].closed + workers_[1].closed == 2; }));
  ASSERT_EQ(workers_[1].received.size(), 1u);
  EXPECT_TRUE(workers_[1].received[0].second);
}

TEST_F(MoveLineTest, WhatWasHandedOverBeforeTheEndIsTakenThoughTheOtherProcessDidNotReadAll) {
  Open();
  workers_[0].line->Send({.kind = MoveKind::kReady, .id = 256});
  ASSERT_TRUE(other_->Send("yours\n257\n0\n1", application_.first.fd()).ok());
  other_.reset();
  ASSERT_TRUE(Until([&] { return workers_[0].closed + workers_[1].closed == 2; }));
  ASSERT_EQ(workers_[1].received.size(), 1u);
  EXPECT_TRUE(workers_[1].received[0].second);
}

TEST_F(MoveLineTest, DescriptorsThatTheKernelDoesNotTakeNowAreSentLater) {
  Open();
  const OrdinaryUser user;
  HandOverTooMany();
  for (uint64_t id = 1; id <= kTooMany; ++id) {
    absl::StatusOr<Passage::Message> message = absl::UnknownError("none yet");
    ASSERT_TRUE(Until([&] { return (message = other_->Receive(absl::ZeroDuration())).ok(); })) << id;
    EXPECT_EQ(message->text, absl::StrCat("yours\n", id << 8, "\n0\n0"));
    EXPECT_TRUE(message->fd.valid());
  }
  EXPECT_EQ(workers_[0].line->queued(), 0u);
}

TEST_F(MoveLineTest, TheEndWaitsForTheKernelToTakeThemAll) {
  Open();
  const OrdinaryUser user;
  HandOverTooMany();
  uint64_t received = 0;
  std::thread reader([&] {
    while (received < kTooMany && other_->Receive(absl::Seconds(30)).ok()) ++received;
  });
  workers_[0].line->Flush();
  reader.join();
  EXPECT_EQ(received, kTooMany);
  EXPECT_EQ(workers_[0].line->queued(), 0u);
}

TEST_F(MoveLineTest, HowManyWaitIsKnownToEveryWorker) {
  Open();
  constexpr uint64_t kMessages = 5000;
  for (uint64_t id = 0; id < kMessages; ++id) workers_[1].line->Send({.kind = MoveKind::kCancel, .id = id});
  EXPECT_EQ(workers_[0].line->queued(), kMessages) << "those that are on their way to the first count too";
  loop_->RunOnce(absl::ZeroDuration());
  EXPECT_GT(workers_[1].line->queued(), 0u);
  EXPECT_LT(workers_[1].line->queued(), kMessages);
  for (uint64_t id = 0; id < kMessages; ++id) {
    loop_->RunOnce(absl::ZeroDuration());
    ASSERT_TRUE(other_->Receive(absl::Seconds(30)).ok());
  }
  EXPECT_EQ(workers_[1].line->queued(), 0u);
}

// Their applications would be reset, and nobody would go on with them.
TEST_F(MoveLineTest, WhoHasLeftIsToldOfToAProcessThatDidNotRead) {
  constexpr uint64_t kTakenByTheKernel = 5000;  // fewer
  Open();
  MoveLine& line = *workers_[0].line;
  const auto yours = [&](uint64_t number) {
    line.Send({.kind = MoveKind::kYours, .id = number << 8}, UniqueFd(dup(application_.first.fd())));
  };
  for (uint64_t id = 0; id < kTakenByTheKernel; ++id) line.Send({.kind = MoveKind::kCancel, .id = id});
  yours(1);
  while (line.queued() < MoveLine::kMaxQueued) line.Send({.kind = MoveKind::kCancel, .id = 1});
  EXPECT_FALSE(line.Send({.kind = MoveKind::kOffer, .id = 1}));
  yours(2);
  EXPECT_EQ(line.queued(), MoveLine::kMaxQueued + 1);
  EXPECT_TRUE(line.open());
  line.Send({.kind = MoveKind::kCancel, .id = 1});
  EXPECT_FALSE(line.open());
  EXPECT_TRUE(Until([&] { return workers_[0].closed + workers_[1].closed == 2; }));
  std::vector<std::string> heard;
  EXPECT_TRUE(Until([&] {
    for (auto message = other_->Receive(absl::ZeroDuration()); message.ok();
         message = other_->Receive(absl::ZeroDuration())) {
      if (message->fd.valid()) heard.push_back(message->text);
    }
    return heard.size() == 2;
  }));
  EXPECT_EQ(heard, (std::vector<std::string>{"yours\n256\n0\n0", "yours\n512\n0\n0"}));
  EXPECT_EQ(line.queued(), 0u);
}

TEST_F(MoveLineTest, WhatIsTooLongIsNotSent) {
  Open();
  MoveMessage offer{.kind = MoveKind::kOffer, .id = 1};
  offer.offer.listener = std::string(Passage::kMaxMessageBytes, 'x');
  EXPECT_FALSE(workers_[0].line->Send(offer));
  EXPECT_TRUE(workers_[0].line->Send({.kind = MoveKind::kCancel, .id = 7}));
  EXPECT_EQ(other_->Receive(absl::Seconds(30))->text, "cancel\n7");
}

TEST_F(MoveLineTest, AWorkerThatEndsHearsNothingMore) {
  Open();
  workers_[1].line->Stop();
  ASSERT_TRUE(other_->Send("yours\n257\n0\n1", application_.first.fd()).ok());
  ASSERT_TRUE(other_->Send("go\n256").ok());
  ASSERT_TRUE(Until([&] { return workers_[0].received.size() == 1; }));
  for (int turn = 0; turn < 3; ++turn) loop_->RunOnce(absl::ZeroDuration());
  EXPECT_TRUE(workers_[1].received.empty());
  workers_[0].line->Stop();
  EXPECT_TRUE(absl::IsUnavailable(other_->Receive(absl::Seconds(30)).status()));
  auto [ours, theirs] = Passage::Pair().value();
  workers_[0].line->Open(ours.Release());
  EXPECT_TRUE(absl::IsUnavailable(theirs.Receive(absl::Seconds(30)).status()));
  EXPECT_FALSE(workers_[0].line->open());
}

TEST_F(MoveLineTest, NonsenseEndsTheConversation) {
  Open();
  ASSERT_TRUE(other_->Send("yours\n257").ok());
  ASSERT_TRUE(Until([&] { return workers_[0].closed + workers_[1].closed == 2; }));
  EXPECT_TRUE(workers_[1].received.empty());
  EXPECT_TRUE(absl::IsUnavailable(other_->Receive(absl::Seconds(30)).status()));
}

}  // namespace
}  // namespace lanyard
