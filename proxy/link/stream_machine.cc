#include "proxy/link/stream_machine.h"

namespace lanyard {

StreamMachine StreamMachine::Resumed(LinkRole role, bool sent_end, bool received_end) {
  StreamMachine machine(role);
  machine.sending_ = sent_end ? Sending::kClosed : Sending::kOpen;
  if (sent_end) machine.closing_ = FrameType::kEnd;
  machine.receiving_ = received_end ? Receiving::kEnded : Receiving::kOpen;
  return machine;
}

void StreamMachine::Open() {
  if (role_ == LinkRole::kOpener && sending_ == Sending::kUndecided && !over()) sending_ = Sending::kOpening;
}

void StreamMachine::Accept() {
  if (role_ == LinkRole::kAcceptor && sending_ == Sending::kUndecided && !closing_ && !over()) {
    sending_ = Sending::kOpening;
  }
}

void StreamMachine::Refuse() {
  if (role_ != LinkRole::kAcceptor || sending_ != Sending::kUndecided || closing_ || over()) return;
  Fail(Failure::kReset);
  Close(FrameType::kRefuse);
}

void StreamMachine::End() {
  if (sending_ != Sending::kClosed && sending_ != Sending::kUndecided && !closing_ && !dead_) {
    closing_ = FrameType::kEnd;
  }
}

void StreamMachine::Abort() {
  if (over()) return;
  Fail(Failure::kReset);
  // The other side cannot be told that what it sends is unwanted once this direction has ended; and frames
  // that cross a switch would need rules of their own.
  if (sending_ == Sending::kClosed || phase_ != Phase::kSingle) return Die(Failure::kReset);
  if (role_ == LinkRole::kOpener && sending_ <= Sending::kOpening) {
    sending_ = Sending::kClosed;  // the other side never heard of it
    receiving_ = Receiving::kBroken;
    return;
  }
  Close(sending_ <= Sending::kOpening ? FrameType::kRefuse : FrameType::kReset);
}

void StreamMachine::Abandon() {
  if (over()) return;
  discarding_ = true;
  // What was ended well is still on its way, and is not to be overtaken by a reset.
  if (phase_ == Phase::kSingle && closing_.has_value()) return;
  Abort();
}

void StreamMachine::Close(FrameType type) {
  discarding_ = true;
  closing_ = type;
}

bool StreamMachine::may_attach() const {
  if (over() || discarding_ || !answered()) return false;
  return phase_ == Phase::kSingle || (role_ == LinkRole::kAcceptor && phase_ <= Phase::kAwaiting);
}

void StreamMachine::Attach() {
  if (!may_attach()) return;
  phase_ = Phase::kAttachDue;
  dropped_ = Dropped::kNo;
  if (role_ == LinkRole::kAcceptor) lost_next_ = false;
}

void StreamMachine::Leave() {
  if (phase_ == Phase::kReady) phase_ = Phase::kSwitchDue;
}

void StreamMachine::Detach() {
  if (role_ == LinkRole::kOpener && phase_ > Phase::kSingle && phase_ <= Phase::kSwitchDue) DropNext(Dropped::kLost);
}

bool StreamMachine::answered() const {
  if (role_ == LinkRole::kOpener) return receiving_ == Receiving::kOpen || receiving_ == Receiving::kEnded;
  return sending_ == Sending::kOpen || sent_end();
}

StreamMachine::Verdict StreamMachine::OnFrame(Carrier carrier, FrameType type) {
  if (dead_) return Verdict::kDiscard;
  if (carrier == Carrier::kNext && awaits_answer()) return OnAnswer(type);
  if (carrier != reader()) return Illegal();
  const bool unanswered = receiving_ == Receiving::kUnanswered;
  const bool open = receiving_ == Receiving::kOpen;
  switch (type) {
    case FrameType::kAccept:
      if (!unanswered) return Illegal();
      receiving_ = Receiving::kOpen;
      return Verdict::kTake;
    case FrameType::kRefuse:
      if (!unanswered) return Illegal();
      OnBroken(Failure::kRefused);
      return Verdict::kTake;
    case FrameType::kData:
      if (!open) return Illegal();
      return discarding_ ? Verdict::kDiscard : Verdict::kTake;
    case FrameType::kEnd:
      if (!open) return Illegal();
      receiving_ = Receiving::kEnded;
      return Verdict::kTake;
    case FrameType::kReset:
      if (!open) return Illegal();
      OnBroken(Failure::kPeerReset);
      return Verdict::kTake;
    case FrameType::kSwitch: return OnSwitch();
    default: return Illegal();  // OPEN and ATTACH; the link keeps PING, PONG and GOAWAY to itself
  }
}

StreamMachine::Verdict StreamMachine::OnAnswer(FrameType type) {
  if (type == FrameType::kAccept && phase_ == Phase::kAttaching) {
    phase_ = Phase::kReady;
    return Verdict::kTake;
  }
  const bool refused = type == FrameType::kRefuse && phase_ == Phase::kAttaching;
  DropNext(refused ? Dropped::kRefused : Dropped::kLost);
  return Verdict::kTake;  // nonsense there says nothing against the stream here
}

StreamMachine::Verdict StreamMachine::OnSwitch() {
  if (role_ == LinkRole::kOpener) {
    if (phase_ != Phase::kSwitchSent || receiving_ == Receiving::kUnanswered) return Illegal();
    phase_ = Phase::kCarried;
    return Verdict::kTake;
  }
  if (phase_ == Phase::kAwaiting) {
    phase_ = Phase::kSwitchDue;
    return Verdict::kTake;
  }
  if (!lost_next_) return Illegal();
  // The opener could not know that the carrier it switched to had failed here.
  Die(Failure::kCarrierLost);
  return Verdict::kTake;
}

void StreamMachine::OnBroken(Failure failure) {
  receiving_ = Receiving::kBroken;
  Fail(failure);
  if (phase_ != Phase::kSingle) return Die(failure);
  if (sending_ == Sending::kClosed) return;
  // An opener that was refused has sent OPEN, and an acceptor that was reset may not have answered.
  const bool must_refuse = role_ == LinkRole::kAcceptor && sending_ <= Sending::kOpening;
  Close(must_refuse ? FrameType::kRefuse : FrameType::kReset);
}

void StreamMachine::OnLost(Carrier carrier) {
  if (dead_) return;
  if (carrier == Carrier::kCurrent) {
    // Once both SWITCHes are through nothing depends on it.
    if (phase_ != Phase::kCarried && !over()) Die(Failure::kCarrierLost);
    return;
  }
  if (phase_ == Phase::kSingle) return;
  const bool opener_before_switch = role_ == LinkRole::kOpener && phase_ <= Phase::kSwitchDue;
  const bool acceptor_before_switch = role_ == LinkRole::kAcceptor && phase_ <= Phase::kAwaiting;
  if (opener_before_switch || acceptor_before_switch) return DropNext(Dropped::kLost);
  if (!over()) Die(Failure::kCarrierLost);
}

void StreamMachine::DropNext(Dropped why) {
  phase_ = Phase::kSingle;
  dropped_ = why;
  lost_next_ = lost_next_ || why == Dropped::kLost;
}

StreamMachine::Verdict StreamMachine::Illegal() {
  Die(Failure::kProtocol);
  return Verdict::kIllegal;
}

void StreamMachine::Die(Failure failure) {
  Fail(failure);
  dead_ = true;
}

std::optional<FrameType> StreamMachine::NextFrame(Carrier carrier) const {
  if (dead_) return std::nullopt;
  if (carrier == Carrier::kNext && phase_ == Phase::kAttachDue) {
    return role_ == LinkRole::kOpener ? FrameType::kAttach : FrameType::kAccept;
  }
  if (carrier == Carrier::kCurrent && phase_ == Phase::kSwitchDue && !over()) return FrameType::kSwitch;
  if (carrier != writer()) return std::nullopt;
  // A refusal takes the place of the acceptance.
  if (sending_ == Sending::kOpening && closing_ != FrameType::kRefuse) {
    return role_ == LinkRole::kOpener ? FrameType::kOpen : FrameType::kAccept;
  }
  if (sending_ == Sending::kClosed) return std::nullopt;
  return closing_;
}

void StreamMachine::Sent(Carrier carrier, FrameType type) {
  if (carrier == Carrier::kNext && phase_ == Phase::kAttachDue) {
    phase_ = role_ == LinkRole::kOpener ? Phase::kAttaching : Phase::kAwaiting;
    return;
  }
  switch (type) {
    case FrameType::kOpen:
    case FrameType::kAccept:
      sending_ = Sending::kOpen;
      return;
    case FrameType::kSwitch:
      phase_ = role_ == LinkRole::kOpener ? Phase::kSwitchSent : Phase::kCarried;
      return;
    default:
      sending_ = Sending::kClosed;
      return;
  }
}

bool StreamMachine::may_write() const {
  return !dead_ && !closing_ && (sending_ == Sending::kOpening || sending_ == Sending::kOpen);
}

Carrier StreamMachine::writer() const {
  return phase_ == Phase::kSwitchSent || phase_ == Phase::kCarried ? Carrier::kNext : Carrier::kCurrent;
}

}  // namespace lanyard
