// A Stream between two Lanyard proxies over a Link, which can be carried over to a freshly authenticated link without
// its users noticing.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "proxy/io/event_loop.h"
#include "proxy/io/stream.h"
#include "proxy/link/frame.h"
#include "proxy/link/link.h"
#include "proxy/link/stream_machine.h"

namespace lanyard {

// Ends in good order only if both sides' bytes and ENDs came through; whatever fails is an error, never an end. Its
// destructor and Reset leave the link with the LinkReturn: idle when the stream had ended, else to be closed. A stream
// destroyed before its end resets the other side; after its own end it lets the link discard what still comes.
// Belongs to one loop's thread.
class MeshStream : public Stream, private StreamObserver {
 public:
  // ACCEPT waits so long for data to leave with.
  static constexpr absl::Duration kAcceptHold = absl::Milliseconds(20);
  // The acceptor's answer to ATTACH, both directions being read, and SWITCH leaving after it. Beyond it the stream
  // stays where it is.
  static constexpr absl::Duration kAttachDeadline = absl::Seconds(10);
  // Opener: the acceptor's SWITCH after its own; acceptor: the opener's SWITCH after ACCEPT, and its own leaving.
  // Beyond it the stream fails (kCarryOverTimedOut), or stays where it is if the opener has not switched. Long,
  // because what was sent before may wait for a slow application.
  static constexpr absl::Duration kSwitchDeadline = absl::Minutes(10);

  // `link` is idle. OPEN leaves with the first bytes written, or with the next turn of the loop. `back` is borrowed.
  static std::unique_ptr<MeshStream> Open(EventLoop* loop, std::unique_ptr<Link> link, const OpenRequest& request,
                                          LinkReturn* back);
  // After LinkObserver::OnOpen. Nothing can be written before Accept.
  static std::unique_ptr<MeshStream> Accepted(EventLoop* loop, std::unique_ptr<Link> link, const StreamToken& token,
                                              LinkReturn* back);
  ~MeshStream() override;

  // Acceptor, one of both. `shard`: where the opener's ATTACH finds this stream. After Refuse only the destructor.
  void Accept(uint32_t shard);
  void Refuse(RefuseReason reason, absl::string_view text);

  IoResult Open() override { return {failed() ? IoStatus::kError : IoStatus::kOk}; }
  // Moves several records a call.
  IoResult Read(absl::Span<uint8_t> into) override;
  // Full records; several leave in one system call. Multiples of kMaxDataBytes fill them best.
  IoResult Write(absl::Span<const uint8_t> from) override;
  IoResult Flush() override;
  IoResult ShutdownWrite() override;
  void Reset() override { ResetFor(ResetReason::kStream); }
  void ResetFor(ResetReason reason);
  StreamError error() const override { return error_; }
  std::string error_text() const override { return error_text_; }

  // Told once how it went: OK, when both directions have moved and the old link is left; else the stream stays where it
  // was. Never from within another call, and not at all once the stream has failed; the stream may be destroyed from
  // within. It waits for bytes on their way to be read, so that a stream which is not read at both ends stays.
  using Carried = std::function<void(absl::Status)>;
  // Opener: carries the stream over to `next`, idle, of the same peer. An error: not now, and `next` is left. SWITCH
  // leaves when a PING through both directions of the link in use has been answered.
  absl::Status CarryOver(std::unique_ptr<Link> next, Carried done);
  // Acceptor: `next` is where ATTACH came from. An error: it was refused there, and is left. A later Attach replaces
  // an earlier one that the opener has given up, whose `done` is then not called.
  absl::Status Attach(std::unique_ptr<Link> next, Carried done);
  bool carrying_over() const { return machine_.carrying_over(); }
  // Either side: who carries the stream was proven anew by `link` (VOUCH), whose peer is the same; the stream stays
  // where it is. An error: it is another's, or the stream has failed.
  absl::Status Vouched(const Link& link);

  const StreamToken& token() const { return token_; }
  // Opener: ACCEPT has come, so that CarryOver is possible.
  bool answered() const { return machine_.answered(); }
  uint32_t shard() const { return shard_; }
  // The link in use (during a carry-over the old one); null once the stream has failed.
  const Link* link() const { return current_.get(); }
  // Of the link that was authenticated last: in use, or vouching for it.
  const std::shared_ptr<const VerifiedSvid>& peer() const { return peer_; }
  const std::shared_ptr<const TlsContext>& own() const { return own_; }
  // The certificates that it showed. Null once the stream has failed.
  const STACK_OF(CRYPTO_BUFFER)* peer_chain() const;
  // Opener: the peer asks to be carried over. Learnt by reading.
  std::optional<GoAwayReason> peer_going_away() const;
  // Acceptor: asks the opener for it.
  void GoAway(GoAwayReason reason);
  // What the peer said, if the error is kMeshRefused, or kReset by RESET.
  const std::optional<Refusal>& refusal() const { return refusal_; }
  std::optional<ResetReason> reset_reason() const { return reset_reason_; }

 private:
  MeshStream(EventLoop* loop, LinkRole role, std::unique_ptr<Link> link, const StreamToken& token, LinkReturn* back);
  void OnReady() override;
  bool failed() const { return error_ != StreamError::kNone; }
  Link* Of(Carrier carrier) { return carrier == Carrier::kCurrent ? current_.get() : next_.get(); }

  // Sends the frames that are due on a carrier; the opening one only if it is not held, or `force`.
  void Push(Carrier carrier, bool force);
  void PushAll(bool force);
  bool OpeningDue() const;
  // What was accepted ends by RESET, not by REFUSE.
  void SendAcceptance();
  std::string Encode(Carrier carrier, FrameType type) const;
  IoResult WriteData(absl::Span<const uint8_t> from);
  IoResult FlushLinks();
  // Reads one frame and acts on it.
  IoStatus TakeFrame(Carrier carrier);
  bool Decode(Carrier carrier, FrameType type, absl::string_view payload);
  // Opener: leaves the current link once both of its directions are known to flow.
  void LeaveIfItFlows();
  // When nobody reads any more: what still concerns the stream.
  void ReadQuietly();
  void Lose(Carrier carrier);
  // Acts on what the machine says after an input.
  void Settle();
  void Advance();
  void DropNext();
  void Tell(absl::Status status);
  void OnCarryTimer();
  void OnSwitchLate();
  void Fail(StreamError error, std::string text);
  void FailOfMachine();
  void LeaveLinks();
  void Give(std::unique_ptr<Link> link);

  EventLoop* loop_;
  LinkReturn* back_;
  StreamMachine machine_;
  StreamError error_ = StreamError::kNone;
  ResetReason reset_ = ResetReason::kStream;     // what our RESET says
  std::optional<ResetReason> reset_reason_;
  uint32_t shard_ = 0;
  StreamToken token_;
  std::unique_ptr<Link> current_;
  std::unique_ptr<Link> next_;
  std::shared_ptr<const VerifiedSvid> peer_;
  std::shared_ptr<const TlsContext> own_;
  bssl::UniquePtr<SSL_SESSION> voucher_;         // of the link that vouched for both, where it is not the one in use
  absl::Duration authenticated_;                 // when that was; monotonic
  absl::Duration switch_deadline_ = absl::InfiniteDuration();
  std::string opening_;                          // OPEN or ACCEPT, until sent
  std::optional<Refusal> refusal_;
  Refusal next_refusal_{};                       // of ATTACH
  Timer hold_;
  Timer carry_;                                  // the deadline, or `told_` is due
  Carried done_;
  std::optional<absl::Status> told_;
  std::string error_text_;
};

}  // namespace lanyard
