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

// What another process must know of a stream to carry it on.
struct StreamState {
  StreamToken token{};
  uint32_t shard = 0;         // opener: where ATTACH finds it
  bool sent_end = false;      // at most one of both
  bool received_end = false;
};

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
  // Frames and parts of DATA that a Read takes: when they are small others are to have their turn too.
  static constexpr int kStepsPerRead = 256;

  // `link` is idle. OPEN leaves with the first bytes written, or with the next turn of the loop. `back` is borrowed.
  static std::unique_ptr<MeshStream> Open(EventLoop* loop, std::unique_ptr<Link> link, const OpenRequest& request,
                                          LinkReturn* back);
  // After LinkObserver::OnOpen. Nothing can be written before Accept.
  static std::unique_ptr<MeshStream> Accepted(EventLoop* loop, std::unique_ptr<Link> link, const StreamToken& token,
                                              LinkReturn* back);
  // One that another process had, and carried over to `link`: taken, after AcceptAttach (acceptor) or Attach (opener).
  static std::unique_ptr<MeshStream> Resumed(EventLoop* loop, std::unique_ptr<Link> link, const StreamState& state,
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

  // To another process of this side, which has the next link (mesh_stream_departure.cc). Depart: ATTACH was accepted
  // there (opener), or is about to be (acceptor, again whenever the opener tries another link). Where it comes to
  // nothing (departing() is false again; Stay) the stream stays where it is, or fails if the opener has switched.
  // While awaits_quiet() the owner reads no more for this stream, writes what it has read, and says Quiet. Once
  // departed() nothing more comes here in either direction, and Leave says what the other process must know: the
  // stream is dead then, and its link ends in good order.
  // Promise (opener): the other process may send ATTACH until then (monotonic), so that CarryOver is refused. For the
  // acceptor takes the link that came last.
  void Promise(absl::Duration until) { promised_until_ = until; }
  absl::Status Depart();
  bool departing() const { return departing_ && !failed(); }
  bool awaits_quiet() const;
  void Quiet();
  void Stay(absl::string_view why);
  bool departed();
  StreamState Leave();
  bool received_end() const { return machine_.received_end(); }

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
  // The next one is null while the stream departs.
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
  void DepartureFailed();
  // SWITCH is not to be sent yet.
  bool held() const { return departing_ && !quiet_; }
  // What is to be sent before anything else.
  std::optional<FrameType> Due() const;
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
  absl::Duration promised_until_ = absl::ZeroDuration();
  bool departing_ = false;
  bool quiet_ = false;
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
