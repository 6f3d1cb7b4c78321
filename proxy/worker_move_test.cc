// Streams that move from one process to the next, with two workers of one side as the processes: real sockets, real
// TLS, and a passage between them.
#include <fcntl.h>
#include <sys/resource.h>

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "proxy/io/passage.h"
#include "proxy/worker_pair_testing.h"

namespace lanyard {
namespace {

class WorkerMoveTest : public WorkerPair {
 protected:
  ~WorkerMoveTest() override { callers_.clear(); }
  void TearDown() override {
    callers_.clear();
    for (auto worker = next_.rbegin(); worker != next_.rend(); ++worker) (*worker)->Stop();
    next_.clear();
    WorkerPair::TearDown();
  }

  // Other workers of one process with the same listener, which accept.
  std::vector<Worker*> Group(size_t count, const Worker& before, ListenerKind kind, const std::string& destination,
                             const MeshView& view, ConnectionLimits limits = {}) {
    const std::string name = kind == ListenerKind::kInboundStatic ? "in" : "out";
    std::vector<Worker*> group;
    for (size_t index = 0; index < count; ++index) {
      Worker::Options options;
      options.index = static_cast<int>(index);
      options.listeners = {ListenerSpec{name, kind, before.BoundAddresses()[0], destination}};
      options.limits = limits;
      options.clock = &SystemClock();
      options.sockets.resize(1);
      for (const int fd : before.Sockets()[0]) options.sockets[0].emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, 0));
      next_.push_back(Worker::Create(std::move(options)).value());
      group.push_back(next_.back().get());
    }
    for (Worker* worker : group) {
      worker->SetSiblings(group);
      Publish(*worker, view);
      worker->Start();
    }
    return group;
  }
  Worker* Next(const Worker& before, ListenerKind kind, const std::string& destination, const MeshView& view,
               ConnectionLimits limits = {}) {
    return Group(1, before, kind, destination, view, limits).front();
  }
  Worker* NextOutbound(const Worker& before, MeshView view) {
    return Next(before, ListenerKind::kOutboundStatic, InboundAddress().ToString(), std::move(view));
  }
  Worker* NextInbound(const Worker& before, MeshView view, ConnectionLimits limits = {}) {
    return Next(before, ListenerKind::kInboundStatic, server_->address().ToString(), std::move(view), limits);
  }
  void Upgrade(Worker* before, Worker* next) {
    auto [one, two] = Passage::Pair().value();
    next->TakeStreamsFrom(two.Release());
    before->MoveStreamsTo(one.Release());
    before->Drain([this] { ++idle_; });
  }
  bool Idle(int count, int patience = 1) {
    for (; patience > 0; --patience) {
      if (Eventually([&] { return idle_ == count; })) return true;
    }
    return false;
  }
  Caller& NewCall() {
    callers_.push_back(std::make_unique<Caller>(Call()));
    return *callers_.back();
  }
  static bool Echoes(Caller& caller, size_t size_bytes = 200000) {
    std::string text(size_bytes, 'x');
    for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>('a' + i * 7 % 26);
    return caller.Send(text) && caller.Read(text.size()) == text;
  }
  static uint64_t Closed(const Worker& worker, const std::string& reason) {
    return CountOf(worker.Counters().closes_outbound, reason) + CountOf(worker.Counters().closes_inbound, reason);
  }

  std::vector<std::unique_ptr<Caller>> callers_;
  std::vector<std::unique_ptr<Worker>> next_;
  std::atomic<int> idle_{0};
};

TEST_F(WorkerMoveTest, TheStreamsThatItOpenedGoOn) {
  StartBoth();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Echoes(NewCall()));
  Worker* const next = NextOutbound(*outbound_, OutboundView({kApi}));
  Upgrade(outbound_.get(), next);
  ASSERT_TRUE(Idle(1));
  EXPECT_EQ(Closed(*outbound_, "moved_to_new_process"), 5u);
  EXPECT_TRUE(Eventually([&] { return next->Counters().open_outbound == 5; }));
  for (const auto& caller : callers_) EXPECT_TRUE(Echoes(*caller));
  EXPECT_EQ(Closed(*inbound_, "normal"), 0u);
  for (const auto& caller : callers_) {
    caller->Finish();
    EXPECT_EQ(caller->HowItEnds(), "end");
  }
  EXPECT_TRUE(Eventually([&] { return Closed(*next, "normal") == 5 && Closed(*inbound_, "normal") == 5; }));
}

TEST_F(WorkerMoveTest, TheStreamsThatPeersOpenedGoOn) {
  StartBoth();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Echoes(NewCall()));
  Worker* const next = NextInbound(*inbound_, InboundView({kWeb}));
  Upgrade(inbound_.get(), next);
  ASSERT_TRUE(Idle(1));
  EXPECT_EQ(Closed(*inbound_, "moved_to_new_process"), 5u);
  EXPECT_TRUE(Eventually([&] { return next->Counters().open_inbound == 5; }));
  for (const auto& caller : callers_) EXPECT_TRUE(Echoes(*caller));
  for (const auto& caller : callers_) {
    caller->Finish();
    EXPECT_EQ(caller->HowItEnds(), "end");
  }
  EXPECT_TRUE(Eventually([&] { return Closed(*next, "normal") == 5 && Closed(*outbound_, "normal") == 5; }));
}

TEST_F(WorkerMoveTest, BothSidesAtOnceAndAgain) {
  StartBoth();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Echoes(NewCall()));
  Worker* out = outbound_.get();
  Worker* in = inbound_.get();
  for (int round = 1; round <= 3; ++round) {
    Worker* const next_in = NextInbound(*in, InboundView({kWeb}));
    Worker* const next_out = NextOutbound(*out, OutboundView({kApi}));
    Upgrade(in, next_in);
    Upgrade(out, next_out);
    ASSERT_TRUE(Idle(2 * round));
    in = next_in;
    out = next_out;
    for (const auto& caller : callers_) ASSERT_TRUE(Echoes(*caller));
  }
  EXPECT_EQ(in->Counters().open_inbound, 5u);
  EXPECT_EQ(out->Counters().open_outbound, 5u);
}

TEST_F(WorkerMoveTest, HalfClosedStreamsStaySo) {
  std::atomic<bool> answer{false};
  Serve([&](Caller& caller) {
    const std::string question = caller.ReadAll().first;
    Eventually([&] { return answer.load(); });
    caller.Send(question);
  });
  StartBoth();
  Caller& caller = NewCall();
  ASSERT_TRUE(caller.Send("all of it"));
  caller.Finish();
  ASSERT_TRUE(Eventually([&] { return inbound_->Counters().open_inbound == 1; }));
  Worker* const next_in = NextInbound(*inbound_, InboundView({kWeb}));
  Upgrade(inbound_.get(), next_in);
  ASSERT_TRUE(Idle(1));
  Worker* const next_out = NextOutbound(*outbound_, OutboundView({kApi}));
  Upgrade(outbound_.get(), next_out);
  ASSERT_TRUE(Idle(2));
  answer = true;
  EXPECT_EQ(caller.ReadAll(), std::make_pair(std::string("all of it"), std::string("end")));
  EXPECT_TRUE(Eventually([&] { return Closed(*next_in, "normal") == 1 && Closed(*next_out, "normal") == 1; }));
}

TEST_F(WorkerMoveTest, WhatTheNextOneDoesNotAllowStaysAndGoesOn) {
  StartBoth();
  Caller& caller = NewCall();
  ASSERT_TRUE(Echoes(caller));
  Worker* const next = NextOutbound(*outbound_, OutboundView({"spiffe://example.org/other"}));
  Upgrade(outbound_.get(), next);
  Worker* const next_in = NextInbound(*inbound_, InboundView({"spiffe://example.org/other"}));
  Upgrade(inbound_.get(), next_in);
  ASSERT_TRUE(Eventually([&] {
    const WorkerCounters counters = next_in->Counters();
    return counters.handshakes_full + counters.handshakes_resumed > 0;
  }));
  EXPECT_TRUE(Echoes(caller));
  EXPECT_EQ(next->Counters().open_outbound, 0u);
  EXPECT_EQ(next_in->Counters().open_inbound, 0u);
  PublishAndWait(*next_in, InboundView({kWeb}));
  PublishAndWait(*next, OutboundView({kApi}));
  EXPECT_TRUE(Idle(2)) << "it is asked again";
  EXPECT_TRUE(Echoes(caller));
}

TEST_F(WorkerMoveTest, WithoutANextProcessItStays) {
  StartBoth();
  Caller& caller = NewCall();
  ASSERT_TRUE(Echoes(caller));
  auto [one, two] = Passage::Pair().value();
  two.Release().Reset();
  outbound_->MoveStreamsTo(one.Release());
  outbound_->Drain([this] { ++idle_; });
  EXPECT_TRUE(Echoes(caller));
  EXPECT_EQ(idle_, 0);
  caller.Finish();
  EXPECT_EQ(caller.HowItEnds(), "end");
  EXPECT_TRUE(Idle(1));
}

// Evenly, whatever the one worker before had, and the next process is as well replaced by one of another size.
TEST_F(WorkerMoveTest, HundredsOfStreamsSpreadOverTheWorkersOfTheNextOne) {
  constexpr size_t kStreams = 300, kWorkers = 3;
  rlimit descriptors{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &descriptors), 0);
  descriptors.rlim_cur = descriptors.rlim_max;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &descriptors), 0);
  StartBoth();
  for (size_t i = 0; i < kStreams; ++i) ASSERT_TRUE(Echoes(NewCall(), 100)) << i;
  const auto out = Group(kWorkers, *outbound_, ListenerKind::kOutboundStatic, InboundAddress().ToString(),
                         OutboundView({kApi}));
  Upgrade(outbound_.get(), out.front());
  ASSERT_TRUE(Idle(1, 5));
  for (const auto& caller : callers_) ASSERT_TRUE(Echoes(*caller, 100));
  const auto in = Group(kWorkers, *inbound_, ListenerKind::kInboundStatic, server_->address().ToString(),
                        InboundView({kWeb}));
  Upgrade(inbound_.get(), in.front());
  ASSERT_TRUE(Idle(2, 5));
  for (const auto& caller : callers_) ASSERT_TRUE(Echoes(*caller, 100));
  uint64_t opened = 0, accepted = 0;
  for (size_t i = 0; i < kWorkers; ++i) {
    EXPECT_GT(out[i]->Counters().open_outbound, kStreams / (2 * kWorkers)) << i;
    EXPECT_GT(in[i]->Counters().open_inbound, kStreams / (2 * kWorkers)) << i;
    opened += out[i]->Counters().open_outbound;
    accepted += in[i]->Counters().open_inbound;
  }
  EXPECT_EQ(opened, kStreams);
  EXPECT_EQ(accepted, kStreams);
  for (const auto& caller : callers_) caller->Finish();
  for (const auto& caller : callers_) EXPECT_EQ(caller->HowItEnds(), "end");
}

// What the next process may not take on goes on where it is.
TEST_F(WorkerMoveTest, NoStreamIsLostToItsPeersShareOfConnections) {
  StartBoth();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Echoes(NewCall()));
  ConnectionLimits limits;
  limits.max_connections_per_peer = 2;
  Worker* const next = NextInbound(*inbound_, InboundView({kWeb}), limits);
  Upgrade(inbound_.get(), next);
  ASSERT_TRUE(Eventually([&] {
    return next->Counters().open_inbound >= 2 &&
           CountOf(next->Counters().limits_reached, "max_connections_per_peer") >= 3;
  }));
  EXPECT_TRUE(Eventually([&] { return Closed(*inbound_, "moved_to_new_process") == 2; }));
  EXPECT_EQ(Closed(*next, "limit_peer_connections"), 0u);
  for (const auto& caller : callers_) EXPECT_TRUE(Echoes(*caller));
}

TEST_F(WorkerMoveTest, NewCallersFindRoomBesideTheStreamsThatCame) {
  ConnectionLimits few;
  few.max_link_handshakes = 2;  // links made ahead of need take part in the limit too
  StartInbound(InboundView({kWeb}));
  StartOutbound(OutboundView({kApi}), few);
  for (int i = 0; i < 14; ++i) ASSERT_TRUE(Echoes(NewCall()));
  ConnectionLimits limits;
  limits.max_connections = 16;
  Worker* const next = NextInbound(*inbound_, InboundView({kWeb}), limits);
  Upgrade(inbound_.get(), next);
  ASSERT_TRUE(Eventually([&] { return Closed(*inbound_, "moved_to_new_process") == 12; }));
  EXPECT_TRUE(Echoes(NewCall()));
  for (const auto& caller : callers_) EXPECT_TRUE(Echoes(*caller));
  EXPECT_EQ(Closed(*inbound_, "moved_to_new_process"), 12u);
}

TEST_F(WorkerMoveTest, WhatComesIsCountedAsAccepted) {
  StartBoth();
  ASSERT_TRUE(Echoes(NewCall()));
  Worker* const next = NextInbound(*inbound_, InboundView({kWeb}));
  Upgrade(inbound_.get(), next);
  ASSERT_TRUE(Idle(1));
  EXPECT_TRUE(Eventually([&] { return next->Counters().accepted_inbound == 1; }));
}

// The next process is told of every worker's streams that they are gone; the first worker, which tells, ends last.
TEST_F(WorkerMoveTest, WhatEndsWithItsProcessIsWithdrawnByEveryWorker) {
  constexpr int kStreams = 8;
  StartBoth();
  for (int i = 0; i < kStreams; ++i) ASSERT_TRUE(Echoes(NewCall()));
  const auto group = Group(2, *inbound_, ListenerKind::kInboundStatic, server_->address().ToString(),
                           InboundView({kWeb}));
  Upgrade(inbound_.get(), group.front());
  ASSERT_TRUE(Idle(1));
  auto [one, two] = Passage::Pair().value();
  group.front()->MoveStreamsTo(one.Release());
  for (Worker* worker : group) worker->Drain([] {});
  std::multiset<std::string> offered, withdrawn;
  const auto id = [](const std::string& text) {
    const size_t at = text.find('\n') + 1;
    return text.substr(at, text.find('\n', at) - at);
  };
  for (int i = 0; i < kStreams; ++i) {
    const auto message = two.Receive(absl::Seconds(kPatienceSeconds));
    ASSERT_TRUE(message.ok()) << message.status();
    offered.insert(id(message->text));
  }
  group.back()->Stop();
  group.front()->Stop();
  for (int i = 0; i < kStreams; ++i) {
    const auto message = two.Receive(absl::Seconds(kPatienceSeconds));
    ASSERT_TRUE(message.ok()) << message.status();
    EXPECT_EQ(message->text.rfind("cancel", 0), 0u);
    withdrawn.insert(id(message->text));
  }
  EXPECT_EQ(withdrawn, offered);
}

// Bytes are on their way in both directions all the time.
TEST_F(WorkerMoveTest, UnderLoadNoByteIsLost) {
  StartBoth();
  std::atomic<int> rounds{0};
  std::atomic<bool> stop{false}, wrong{false};
  Caller& caller = NewCall();
  ASSERT_TRUE(Echoes(caller));
  std::thread load([&] {
    while (!stop && !wrong) {
      if (!Echoes(caller)) wrong = true;
      ++rounds;
    }
  });
  Worker* out = outbound_.get();
  Worker* in = inbound_.get();
  for (int round = 1; round <= 4; ++round) {
    Worker* const next_out = NextOutbound(*out, OutboundView({kApi}));
    Upgrade(out, next_out);
    EXPECT_TRUE(Idle(2 * round - 1));
    Worker* const next_in = NextInbound(*in, InboundView({kWeb}));
    Upgrade(in, next_in);
    EXPECT_TRUE(Idle(2 * round));
    in = next_in;
    out = next_out;
    const int seen = rounds;
    EXPECT_TRUE(Eventually([&] { return wrong || rounds > seen + 2; }));
  }
  stop = true;
  load.join();
  EXPECT_FALSE(wrong);
}

}  // namespace
}  // namespace lanyard
