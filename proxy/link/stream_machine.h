// What one side of a stream may send, must send and may receive, on which of its links: the mesh protocol without
// bytes, sockets or time. The state tables are in proxy/README.md.
#pragma once

#include <cstdint>
#include <optional>

#include "proxy/link/frame.h"

namespace lanyard {

// Who opened the TLS connection below. The opener opens streams and attaches links; the acceptor answers.
enum class LinkRole : uint8_t { kOpener, kAcceptor };

// A stream travels on one link, and during a carry-over on two.
enum class Carrier : uint8_t { kCurrent, kNext };

// A value; whoever owns the links tells it what happened and does what it asks:
//   - after every input: if dead(), reset both links; if over(), the stream is done (see reusable);
//     if carried(), let go of the current link and call Advance; if next_refused() or next_lost(), drop the next;
//   - write NextFrame(carrier), if any, before anything else on that carrier, and say Sent;
//   - write DATA on writer() while may_write();
//   - read frames from reader() until over(), and from the next carrier too while awaits_answer();
//   - while awaits_leave(), call Leave once both directions of the current link are known to flow.
class StreamMachine {
 public:
  enum class Verdict : uint8_t {
    kTake,
    kDiscard,  // DATA that nobody wants any more
    kIllegal,  // the machine is dead
  };
  // Why the stream did not end well; the first cause stays.
  enum class Failure : uint8_t {
    kNone,
    kReset,         // by this side
    kPeerReset,
    kRefused,       // by the acceptor
    kCarrierLost,
    kProtocol,
  };

  // An opener starts before OPEN is sent, an acceptor after OPEN was read.
  explicit StreamMachine(LinkRole role)
      : role_(role), receiving_(role == LinkRole::kOpener ? Receiving::kUnanswered : Receiving::kOpen) {}
  // One that was accepted and carried over in another process, in which these directions have ended well; not both.
  static StreamMachine Resumed(LinkRole role, bool sent_end, bool received_end);

  // What this side wants. Calls that come too late do nothing.
  void Open();      // opener
  void Accept();    // acceptor
  void Refuse();    // acceptor, instead of Accept
  void End();       // nothing more will be written
  void Abort();     // ends both directions badly
  // Nobody here cares any more. As Abort, but what was ended well stays so: the other side's bytes are discarded.
  void Abandon();
  // Whether a next carrier may be joined now; Attach may replace an earlier one that the opener has given up.
  bool may_attach() const;
  void Attach();
  // Opener, after the answer to ATTACH: the current link may be left. Not earlier, because SWITCH is only read behind
  // all that is on its way there, and from then on there is no going back.
  void Leave();
  // Opener: gives the next carrier up, if it is not too late.
  void Detach();

  // What the carriers say.
  Verdict OnFrame(Carrier carrier, FrameType type);
  // It ended, well or badly, or broke the protocol below the stream.
  void OnLost(Carrier carrier);

  // What is to be done.
  std::optional<FrameType> NextFrame(Carrier carrier) const;
  void Sent(Carrier carrier, FrameType type);
  bool may_write() const;
  // Data may be written, and no carrier has another frame due: the usual state of a stream.
  bool flowing() const {
    return phase_ == Phase::kSingle && sending_ == Sending::kOpen && !closing_.has_value() && !dead_;
  }
  Carrier writer() const;
  Carrier reader() const {
    if (phase_ == Phase::kCarried) return Carrier::kNext;
    return role_ == LinkRole::kAcceptor && phase_ == Phase::kSwitchDue ? Carrier::kNext : Carrier::kCurrent;
  }
  // From the next carrier, or (opener, answered) the news that it is lost.
  bool awaits_answer() const { return phase_ == Phase::kAttaching || phase_ == Phase::kReady; }
  bool awaits_leave() const { return phase_ == Phase::kReady; }
  bool carried() const { return phase_ == Phase::kCarried; }
  void Advance() {
    phase_ = Phase::kSingle;
    lost_next_ = false;
  }
  // Since the latest Attach. The next carrier is idle again after a refusal.
  bool next_refused() const { return dropped_ == Dropped::kRefused; }
  bool next_lost() const { return dropped_ == Dropped::kLost; }
  void NextDropped() { dropped_ = Dropped::kNo; }

  bool over() const { return dead_ || (sending_ == Sending::kClosed && receiving_ >= Receiving::kEnded); }
  // Both links are to be reset: the protocol cannot say what happened, or nobody would believe it.
  bool dead() const { return dead_; }
  // Over, and the current link may carry another stream. Not so when a carry-over was under way, or came to nothing
  // at one side: the two may disagree about which link is in use, so that both links are closed, in order.
  bool reusable() const { return over() && !dead_ && phase_ == Phase::kSingle && !lost_next_; }

  bool carrying_over() const { return phase_ != Phase::kSingle; }
  // Acceptor: it has accepted, and the opener has neither switched nor given the next carrier up.
  bool awaits_switch() const { return phase_ == Phase::kAwaiting; }
  bool answered() const;        // opener: ACCEPT came; acceptor: ACCEPT was sent
  bool sent_end() const { return sending_ == Sending::kClosed && closing_ == FrameType::kEnd; }
  bool received_end() const { return receiving_ == Receiving::kEnded; }
  bool receiving_open() const { return !dead_ && receiving_ <= Receiving::kOpen; }
  Failure failure() const { return failure_; }

 private:
  enum class Sending : uint8_t {
    kUndecided,  // acceptor: neither Accept nor Refuse was called; opener: not Open
    kOpening,    // OPEN or ACCEPT is to be sent
    kOpen,
    kClosed,     // END, RESET or REFUSE was sent
  };
  enum class Receiving : uint8_t { kUnanswered, kOpen, kEnded, kBroken };
  enum class Phase : uint8_t {
    kSingle,
    kAttachDue,    // opener: ATTACH is to be sent on the next carrier; acceptor: ACCEPT is
    kAttaching,    // opener: awaits ACCEPT or REFUSE there; acceptor (kAwaiting) awaits SWITCH
    kAwaiting,
    kReady,        // opener: accepted there; SWITCH waits for Leave
    kSwitchDue,    // SWITCH is to be sent on the current carrier; an acceptor has read the opener's
    kSwitchSent,   // opener: awaits the acceptor's SWITCH
    kCarried,      // both SWITCHes are through
  };
  enum class Dropped : uint8_t { kNo, kRefused, kLost };

  Verdict Illegal();
  void Die(Failure failure);
  void Fail(Failure failure) { failure_ = failure_ == Failure::kNone ? failure : failure_; }
  void DropNext(Dropped why);
  void Close(FrameType type);      // wishes for this closing frame
  void OnBroken(Failure failure);  // RESET or REFUSE came
  Verdict OnAnswer(FrameType type);
  Verdict OnSwitch();

  LinkRole role_;
  Sending sending_ = Sending::kUndecided;
  Receiving receiving_;
  Phase phase_ = Phase::kSingle;
  Dropped dropped_ = Dropped::kNo;
  Failure failure_ = Failure::kNone;
  std::optional<FrameType> closing_;  // wished for, or sent when kClosed
  bool discarding_ = false;
  bool dead_ = false;
  bool lost_next_ = false;            // the other side may think that a carrier dropped here is still to be used
};

}  // namespace lanyard
