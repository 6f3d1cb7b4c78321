#include "proxy/link/stream_machine.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

using Verdict = StreamMachine::Verdict;
using Failure = StreamMachine::Failure;
constexpr Carrier kCurrent = Carrier::kCurrent;
constexpr Carrier kNext = Carrier::kNext;

// Sends what is due on a carrier; the names of the frames.
std::string SendDue(StreamMachine* machine, Carrier carrier = kCurrent) {
  std::string sent;
  while (const std::optional<FrameType> type = machine->NextFrame(carrier)) {
    if (!sent.empty()) sent += " ";
    sent += std::string(FrameTypeName(*type));
    machine->Sent(carrier, *type);
    if (machine->carried()) break;
  }
  return sent;
}

StreamMachine Opener() {
  StreamMachine machine(LinkRole::kOpener);
  machine.Open();
  EXPECT_EQ(SendDue(&machine), "OPEN");
  EXPECT_EQ(machine.OnFrame(kCurrent, FrameType::kAccept), Verdict::kTake);
  return machine;
}
StreamMachine Acceptor() {
  StreamMachine machine(LinkRole::kAcceptor);
  machine.Accept();
  EXPECT_EQ(SendDue(&machine), "ACCEPT");
  return machine;
}

TEST(StreamMachine, AnOpenerWritesBeforeTheAnswer) {
  StreamMachine machine(LinkRole::kOpener);
  EXPECT_FALSE(machine.may_write());
  machine.Open();
  EXPECT_TRUE(machine.may_write());
  EXPECT_EQ(SendDue(&machine), "OPEN");
  EXPECT_TRUE(machine.may_write());
  EXPECT_FALSE(machine.answered());
}

TEST(StreamMachine, FlowsWhileNoFrameIsDue) {
  for (const bool opens : {true, false}) {
    StreamMachine machine(opens ? LinkRole::kOpener : LinkRole::kAcceptor);
    EXPECT_FALSE(machine.flowing());
    opens ? machine.Open() : machine.Accept();
    EXPECT_FALSE(machine.flowing());
    SendDue(&machine);
    EXPECT_TRUE(machine.flowing());
    if (opens) {
      EXPECT_EQ(machine.OnFrame(kCurrent, FrameType::kAccept), Verdict::kTake);
      EXPECT_TRUE(machine.flowing());
    }
    StreamMachine ended = machine, aborted = machine, lost = machine;
    machine.Attach();
    EXPECT_FALSE(machine.flowing());
    ended.End();
    EXPECT_FALSE(ended.flowing());
    SendDue(&ended);
    EXPECT_FALSE(ended.flowing());
    aborted.Abort();
    EXPECT_FALSE(aborted.flowing());
    lost.OnLost(kCurrent);
    EXPECT_FALSE(lost.flowing());
  }
}

TEST(StreamMachine, AnAcceptorWritesAfterItsAnswer) {
  StreamMachine machine(LinkRole::kAcceptor);
  EXPECT_FALSE(machine.may_write());
  EXPECT_EQ(machine.OnFrame(kCurrent, FrameType::kData), Verdict::kTake) << "the opener need not wait";
  machine.Accept();
  EXPECT_TRUE(machine.may_write());
  EXPECT_EQ(SendDue(&machine), "ACCEPT");
}

TEST(StreamMachine, EndsBothWaysAreTheEnd) {
  for (StreamMachine machine : {Opener(), Acceptor()}) {
    machine.End();
    EXPECT_FALSE(machine.may_write());
    EXPECT_EQ(SendDue(&machine), "END");
    EXPECT_FALSE(machine.over());
    EXPECT_EQ(machine.OnFrame(kCurrent, FrameType::kData), Verdict::kTake) << "the other half goes on";
    EXPECT_EQ(machine.OnFrame(kCurrent, FrameType::kEnd), Verdict::kTake);
    EXPECT_TRUE(machine.over());
    EXPECT_TRUE(machine.reusable());
    EXPECT_EQ(machine.failure(), Failure::kNone);
  }
}

TEST(StreamMachine, ARefusalIsAnsweredByAReset) {
  StreamMachine machine(LinkRole::kOpener);
  machine.Open();
  SendDue(&machine);
  EXPECT_EQ(machine.OnFrame(kCurrent, FrameType::kRefuse), Verdict::kTake);
  EXPECT_EQ(machine.failure(), Failure::kRefused);
  EXPECT_FALSE(machine.over());
  EXPECT_EQ(SendDue(&machine), "RESET");
  EXPECT_TRUE(machine.reusable());
}

TEST(StreamMachine, ARefuserDiscardsUntilTheOpenersClosingFrame) {
  for (const FrameType closing : {FrameType::kReset, FrameType::kEnd}) {
    StreamMachine machine(LinkRole::kAcceptor);
    machine.Refuse();
    machine.Accept();  // too late
    EXPECT_EQ(SendDue(&machine), "REFUSE");
    EXPECT_EQ(machine.OnFrame(kCurrent, FrameType::kData), Verdict::kDiscard);
    EXPECT_EQ(machine.OnFrame(kCurrent, closing), Verdict::kTake);
    EXPECT_TRUE(machine.reusable());
  }
}

TEST(StreamMachine, AResetIsAnsweredOnce) {
  for (StreamMachine machine : {Opener(), Acceptor()}) {
    EXPECT_EQ(machine.OnFrame(kCurrent, FrameType::kReset), Verdict::kTake);
    EXPECT_EQ(machine.failure(), Failure::kPeerReset);
    EXPECT_FALSE(machine.may_write());
    EXPECT_EQ(SendDue(&machine), "RESET");
    EXPECT_TRUE(machine.reusable());
  }
}

TEST(StreamMachine, AnEndIsAnswerEnoughToAReset) {
  StreamMachine machine = Opener();
  machine.End();
  SendDue(&machine);
  EXPECT_EQ(machine.OnFrame(kCurrent, FrameType::kReset), Verdict::kTake);
  EXPECT_EQ(SendDue(&machine), "");
  EXPECT_TRUE(machine.reusable());
}

TEST(StreamMachine, AnAcceptorThatHasNotAnsweredAnswersAResetByRefusing) {
  StreamMachine machine(LinkRole::kAcceptor);
  EXPECT_EQ(machine.OnFrame(kCurrent, FrameType::kReset), Verdict::kTake);
  EXPECT_EQ(SendDue(&machine), "REFUSE");
  EXPECT_TRUE(machine.reusable());
}

TEST(StreamMachine, AnAbortDiscardsWhatComes) {
  for (StreamMachine machine : {Opener(), Acceptor()}) {
    machine.Abort();
    EXPECT_EQ(machine.failure(), Failure::kReset);
    EXPECT_EQ(SendDue(&machine), "RESET");
    EXPECT_EQ(machine.OnFrame(kCurrent, FrameType::kData), Verdict::kDiscard);
    EXPECT_FALSE(machine.over());
    EXPECT_EQ(machine.OnFrame(kCurrent, FrameType::kEnd), Verdict::kTake);
    EXPECT_TRUE(machine.reusable());
  }
}

TEST(StreamMachine, AnAbortAfterTheOwnEndTakesTheLinkWithIt) {
  StreamMachine machine = Opener();
  machine.End();
  SendDue(&machine);
  machine.Abort();
  EXPECT_TRUE(machine.dead());
}

TEST(StreamMachine, AbandoningAfterTheOwnEndDoesNot) {
  StreamMachine machine = Opener();
  machine.End();
  machine.Abandon();
  EXPECT_FALSE(machine.dead());
  EXPECT_EQ(SendDue(&machine), "END");
  EXPECT_EQ(machine.OnFrame(kCurrent, FrameType::kData), Verdict::kDiscard);
  EXPECT_EQ(machine.OnFrame(kCurrent, FrameType::kEnd), Verdict::kTake);
  EXPECT_TRUE(machine.reusable());
}

TEST(StreamMachine, AStreamThatWasNeverOpenedLeavesNoTrace) {
  StreamMachine machine(LinkRole::kOpener);
  machine.Open();
  machine.Abort();
  EXPECT_EQ(SendDue(&machine), "");
  EXPECT_TRUE(machine.reusable());
}

// For each state a way to it, and the frames that are legal there on the current carrier; all others kill.
TEST(StreamMachine, EveryOtherFrameIsIllegal) {
  struct Case {
    const char* state;
    StreamMachine machine;
    std::vector<FrameType> legal;
  };
  StreamMachine unanswered(LinkRole::kOpener);
  unanswered.Open();
  SendDue(&unanswered);
  StreamMachine ended_opener = Opener(), ended_acceptor = Acceptor();
  ended_opener.OnFrame(kCurrent, FrameType::kEnd);
  ended_acceptor.OnFrame(kCurrent, FrameType::kEnd);
  StreamMachine switched = Opener();
  switched.Attach();
  SendDue(&switched, kNext);
  StreamMachine attaching = switched;
  switched.OnFrame(kNext, FrameType::kAccept);
  StreamMachine ready = switched;
  switched.Leave();
  EXPECT_EQ(SendDue(&switched), "SWITCH");
  StreamMachine awaiting = Acceptor();
  awaiting.Attach();
  EXPECT_EQ(SendDue(&awaiting, kNext), "ACCEPT");
  const std::vector<FrameType> stream = {FrameType::kData, FrameType::kEnd, FrameType::kReset};
  std::vector<FrameType> with_switch = stream;
  with_switch.push_back(FrameType::kSwitch);
  const Case cases[] = {
      {"unanswered opener", unanswered, {FrameType::kAccept, FrameType::kRefuse}},
      {"opener", Opener(), stream},
      {"acceptor", Acceptor(), stream},
      {"opener, other side ended", ended_opener, {}},
      {"acceptor, other side ended", ended_acceptor, {}},
      {"opener, attaching", attaching, stream},
      {"opener, ready", ready, stream},
      {"opener, switched", switched, with_switch},
      {"acceptor, awaits the switch", awaiting, with_switch},
  };
  for (const Case& each : cases) {
    for (uint8_t number = 1; number <= kLastFrameType; ++number) {
      const auto type = static_cast<FrameType>(number);
      const bool legal = std::find(each.legal.begin(), each.legal.end(), type) != each.legal.end();
      StreamMachine machine = each.machine;
      EXPECT_EQ(machine.OnFrame(kCurrent, type) != Verdict::kIllegal, legal)
          << each.state << " " << FrameTypeName(type);
      EXPECT_EQ(machine.failure() == Failure::kProtocol, !legal) << each.state;
    }
  }
}

TEST(StreamMachine, CarriesOver) {
  StreamMachine opener = Opener(), acceptor = Acceptor();
  ASSERT_TRUE(opener.may_attach());
  opener.Attach();
  EXPECT_EQ(SendDue(&opener, kNext), "ATTACH");
  EXPECT_TRUE(opener.awaits_answer());
  ASSERT_TRUE(acceptor.may_attach());
  acceptor.Attach();
  EXPECT_EQ(SendDue(&acceptor, kNext), "ACCEPT");
  EXPECT_EQ(acceptor.NextFrame(kCurrent), std::nullopt) << "the opener goes first";
  EXPECT_EQ(opener.OnFrame(kNext, FrameType::kAccept), Verdict::kTake);
  EXPECT_EQ(opener.writer(), kCurrent);
  EXPECT_TRUE(acceptor.awaits_switch());
  opener.Leave();
  EXPECT_EQ(SendDue(&opener), "SWITCH");
  EXPECT_EQ(opener.writer(), kNext);
  EXPECT_EQ(opener.reader(), kCurrent);
  EXPECT_EQ(acceptor.OnFrame(kCurrent, FrameType::kSwitch), Verdict::kTake);
  EXPECT_EQ(acceptor.reader(), kNext);
  EXPECT_EQ(acceptor.writer(), kCurrent);
  EXPECT_EQ(SendDue(&acceptor), "SWITCH");
  EXPECT_TRUE(acceptor.carried());
  EXPECT_EQ(acceptor.writer(), kNext);
  acceptor.Advance();
  EXPECT_EQ(opener.OnFrame(kCurrent, FrameType::kData), Verdict::kTake) << "what was before the switch";
  EXPECT_EQ(opener.OnFrame(kCurrent, FrameType::kSwitch), Verdict::kTake);
  EXPECT_TRUE(opener.carried());
  opener.Advance();
  for (StreamMachine* machine : {&opener, &acceptor}) {
    EXPECT_FALSE(machine->carrying_over());
    EXPECT_EQ(machine->reader(), kCurrent);
    EXPECT_EQ(machine->writer(), kCurrent);
  }
  EXPECT_TRUE(opener.may_attach());
}

StreamMachine Ready() {
  StreamMachine machine = Opener();
  machine.Attach();
  SendDue(&machine, kNext);
  EXPECT_EQ(machine.OnFrame(kNext, FrameType::kAccept), Verdict::kTake);
  return machine;
}

TEST(StreamMachine, AnOpenerThatMayNotLeaveYetGoesOnWhereItIs) {
  StreamMachine machine = Ready();
  EXPECT_TRUE(machine.awaits_leave());
  EXPECT_EQ(SendDue(&machine), "");
  EXPECT_TRUE(machine.may_write());
  EXPECT_EQ(machine.writer(), kCurrent);
  EXPECT_EQ(machine.OnFrame(kCurrent, FrameType::kData), Verdict::kTake);
  machine.End();
  EXPECT_EQ(SendDue(&machine), "END") << "not held up by what waits";
  machine.Leave();
  EXPECT_FALSE(machine.awaits_leave());
  EXPECT_EQ(SendDue(&machine), "SWITCH");
  StreamMachine early(LinkRole::kOpener);
  early.Leave();
  EXPECT_EQ(SendDue(&early), "") << "nothing to leave";
}

TEST(StreamMachine, WhileItMayNotLeaveTheNextCarrierMayBeLostOrGivenUp) {
  StreamMachine lost = Ready(), given_up = Ready(), nonsense = Ready();
  lost.OnLost(kNext);
  given_up.Detach();
  EXPECT_EQ(nonsense.OnFrame(kNext, FrameType::kRefuse), Verdict::kTake) << "it has accepted before";
  for (StreamMachine* machine : {&lost, &given_up, &nonsense}) {
    EXPECT_TRUE(machine->next_lost());
    EXPECT_FALSE(machine->next_refused() || machine->over());
    machine->NextDropped();
    EXPECT_TRUE(machine->may_attach());
  }
}

TEST(StreamMachine, DirectionsThatHaveEndedSwitchToo) {
  StreamMachine opener = Opener(), acceptor = Acceptor();
  opener.End();
  SendDue(&opener);
  acceptor.OnFrame(kCurrent, FrameType::kEnd);
  opener.Attach();
  SendDue(&opener, kNext);
  acceptor.Attach();
  SendDue(&acceptor, kNext);
  opener.OnFrame(kNext, FrameType::kAccept);
  opener.Leave();
  EXPECT_EQ(SendDue(&opener), "SWITCH");
  EXPECT_EQ(acceptor.OnFrame(kCurrent, FrameType::kSwitch), Verdict::kTake);
  EXPECT_EQ(SendDue(&acceptor), "SWITCH");
  acceptor.Advance();
  EXPECT_EQ(opener.OnFrame(kCurrent, FrameType::kSwitch), Verdict::kTake);
  opener.Advance();
  acceptor.End();
  EXPECT_EQ(SendDue(&acceptor), "END");
  EXPECT_EQ(opener.OnFrame(kCurrent, FrameType::kEnd), Verdict::kTake);
  EXPECT_TRUE(opener.reusable() && acceptor.reusable());
}

TEST(StreamMachine, ARefusedAttachChangesNothing) {
  StreamMachine machine = Opener();
  machine.Attach();
  SendDue(&machine, kNext);
  EXPECT_EQ(machine.OnFrame(kNext, FrameType::kRefuse), Verdict::kTake);
  EXPECT_TRUE(machine.next_refused());
  machine.NextDropped();
  EXPECT_FALSE(machine.carrying_over());
  machine.End();
  SendDue(&machine);
  machine.OnFrame(kCurrent, FrameType::kEnd);
  EXPECT_TRUE(machine.reusable());
}

TEST(StreamMachine, LosingTheNextCarrierBeforeTheSwitchIsHarmless) {
  StreamMachine machine = Opener();
  machine.Attach();
  SendDue(&machine, kNext);
  machine.OnLost(kNext);
  EXPECT_TRUE(machine.next_lost());
  EXPECT_FALSE(machine.over());
  machine.NextDropped();
  EXPECT_TRUE(machine.may_attach()) << "another may be tried";
  machine.End();
  SendDue(&machine);
  machine.OnFrame(kCurrent, FrameType::kEnd);
  EXPECT_TRUE(machine.over() && !machine.reusable()) << "the acceptor may still wait for the switch";
}

TEST(StreamMachine, LosingEitherCarrierAfterTheSwitchEndsTheStream) {
  StreamMachine switched = Opener();
  switched.Attach();
  SendDue(&switched, kNext);
  switched.OnFrame(kNext, FrameType::kAccept);
  switched.Leave();
  SendDue(&switched);
  for (const Carrier carrier : {kCurrent, kNext}) {
    StreamMachine machine = switched;
    machine.OnLost(carrier);
    EXPECT_TRUE(machine.dead());
    EXPECT_EQ(machine.failure(), Failure::kCarrierLost);
  }
}

TEST(StreamMachine, ASwitchToACarrierLostHereEndsTheStream) {
  StreamMachine machine = Acceptor();
  machine.Attach();
  SendDue(&machine, kNext);
  machine.OnLost(kNext);
  EXPECT_FALSE(machine.dead());
  machine.NextDropped();
  EXPECT_EQ(machine.OnFrame(kCurrent, FrameType::kSwitch), Verdict::kTake);
  EXPECT_TRUE(machine.dead());
  EXPECT_EQ(machine.failure(), Failure::kCarrierLost);
}

TEST(StreamMachine, AnAcceptorTakesASecondAttachForOneGivenUp) {
  StreamMachine machine = Acceptor();
  machine.Attach();
  SendDue(&machine, kNext);
  ASSERT_TRUE(machine.may_attach());
  machine.Attach();
  EXPECT_EQ(SendDue(&machine, kNext), "ACCEPT");
  EXPECT_EQ(machine.OnFrame(kCurrent, FrameType::kSwitch), Verdict::kTake);
  EXPECT_FALSE(machine.may_attach()) << "not before this one is complete";
}

TEST(StreamMachine, AnAbortInACarryOverTakesBothLinksWithIt) {
  StreamMachine machine = Opener();
  machine.Attach();
  machine.Abort();
  EXPECT_TRUE(machine.dead());
}

TEST(StreamMachine, AStreamThatEndsInACarryOverTakesTheLinksAlong) {
  StreamMachine machine = Opener();
  machine.End();
  SendDue(&machine);
  machine.Attach();
  SendDue(&machine, kNext);
  machine.OnFrame(kCurrent, FrameType::kEnd);
  EXPECT_TRUE(machine.over());
  EXPECT_FALSE(machine.dead());
  EXPECT_FALSE(machine.reusable());
}

TEST(StreamMachine, OneOfAnotherProcessGoesOnWhereItWas) {
  for (const LinkRole role : {LinkRole::kOpener, LinkRole::kAcceptor}) {
    StreamMachine open = StreamMachine::Resumed(role, false, false);
    EXPECT_TRUE(open.answered() && open.may_write() && open.may_attach());
    EXPECT_FALSE(open.NextFrame(Carrier::kCurrent).has_value()) << "OPEN and ACCEPT were said";
    StreamMachine sent = StreamMachine::Resumed(role, true, false);
    EXPECT_TRUE(sent.sent_end() && sent.answered() && sent.receiving_open());
    EXPECT_FALSE(sent.NextFrame(Carrier::kCurrent).has_value());
    EXPECT_EQ(sent.OnFrame(Carrier::kCurrent, FrameType::kEnd), StreamMachine::Verdict::kTake);
    EXPECT_TRUE(sent.over() && sent.reusable());
    StreamMachine received = StreamMachine::Resumed(role, false, true);
    EXPECT_TRUE(received.received_end() && received.may_write());
    EXPECT_EQ(received.OnFrame(Carrier::kCurrent, FrameType::kData), StreamMachine::Verdict::kIllegal);
  }
}

TEST(StreamMachine, WhatIsNotAnsweredOrOverCannotBeCarriedOver) {
  StreamMachine unanswered(LinkRole::kOpener);
  unanswered.Open();
  SendDue(&unanswered);
  EXPECT_FALSE(unanswered.may_attach());
  EXPECT_FALSE(StreamMachine(LinkRole::kAcceptor).may_attach());
  StreamMachine aborted = Acceptor();
  aborted.Abort();
  EXPECT_FALSE(aborted.may_attach());
  StreamMachine twice = Opener();
  twice.Attach();
  EXPECT_FALSE(twice.may_attach());
}

}  // namespace
}  // namespace lanyard
