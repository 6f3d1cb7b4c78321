// A verified TLS connection between two Lanyard proxies that speaks "lanyard/1" and carries one stream after another.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "identity/tls/tls_context.h"
#include "proxy/io/event_loop.h"
#include "proxy/link/frame.h"
#include "proxy/link/link_observer.h"
#include "proxy/link/link_parts.h"
#include "proxy/link/stream_machine.h"
#include "proxy/tls/tls_stream.h"

namespace lanyard {

// Belongs to one loop's thread. Holds no buffer while it is idle, and reads exactly what it needs, so that whoever
// reads next finds the next frame. At most one PONG waits to be sent: the latest.
class Link : private StreamObserver {
 public:
  enum class State : uint8_t {
    kIdle,
    kTaken,     // by a stream, or OPEN, ATTACH or VOUCH was read and waits for somebody
    kVouching,  // VOUCH or ATTACH was sent, and its answer is awaited
    kClosing,   // its stream is gone; reads away what still comes of it, then is idle
    kRetiring,  // carries nothing any more: both sides say close_notify, and let go when they read the other's
    kClosed,
  };

  // The peer's closing frame, after this side's.
  static constexpr absl::Duration kClosingDeadline = absl::Seconds(10);
  // The answer to VOUCH, and to ATTACH without a stream.
  static constexpr absl::Duration kVouchDeadline = absl::Seconds(10);
  // Bytes of a stream that nobody wants any more, before the connection is given up instead.
  static constexpr uint64_t kMaxDiscardedBytes = 1 << 20;
  static constexpr int kDiscardsPerTurn = 16;  // reads of 4 KiB of them, in a turn of the loop
  // PING, PONG and GOAWAY, of which no stream hears: so many are taken in a turn, so that the worker's other
  // connections have theirs; and with more in a second, less the other frames that came, the peer means harm.
  static constexpr int kOwnFramesPerTurn = 16;
  static constexpr int kMaxOwnFramesPerSecond = 100;
  // The peer's close_notify. Long, because what was sent before it may wait for a slow application there.
  static constexpr absl::Duration kRetireDeadline = absl::Minutes(10);
  // Of a link that was idle and has sent all: then it is closed, and the kernel still delivers what it was given.
  static constexpr absl::Duration kIdleRetireDeadline = absl::Seconds(10);

  // Whether both sides agreed on kLinkAlpn.
  static bool Speaks(const SSL* ssl);

  // `tls` is open, speaks lanyard/1, and its peer is verified (SharedPeerOf is not null). `own` is the identity shown.
  Link(EventLoop* loop, std::unique_ptr<TlsStream> tls, LinkRole role, std::shared_ptr<const TlsContext> own);
  ~Link() = default;

  // Null: tell nobody; then nothing is read either. What had come before is told in the next turn.
  void Observe(LinkObserver* observer);

  State state() const { return state_; }
  bool idle() const { return state_ == State::kIdle; }
  LinkRole role() const { return role_; }
  const std::shared_ptr<const VerifiedSvid>& peer() const { return peer_; }
  const std::shared_ptr<const TlsContext>& own() const { return own_; }
  const SSL* ssl() const { return tls_->ssl(); }
  absl::Duration opened() const { return opened_; }      // monotonic
  absl::Duration idle_since() const { return idle_since_; }
  absl::Duration quiet_since() const { return quiet_since_; }  // when an idle link's peer was last known to be there
  std::optional<GoAwayReason> going_away() const { return going_away_; }  // opener: came; acceptor: was asked for
  bool awaits_pong() const { return ping_sent_ != pong_seen_; }
  bool has_unsent() const { return tls_->has_unsent(); }  // closed now, it would take bytes with it
  StreamError error() const { return error_; }
  const std::string& error_text() const { return error_text_; }

  // Acceptor: asks the opener to open no more here, and to carry over what is open. Once, and once more when it drains:
  // then the stream is to go wherever else it can, whatever the SVIDs.
  void GoAway(GoAwayReason reason);
  // Asks the peer for a sign of life; see awaits_pong. Does nothing while one is outstanding.
  void Ping();
  // Acceptor, after OnAttach: no. The link is idle then.
  void RefuseAttach(RefuseReason reason, absl::string_view text) { Refuse(reason, text); }
  // Taken, and read by nobody yet: false once the peer has closed it. What the peer has sent is kept.
  bool PeerIsThere() { return PeekFrame() != IoStatus::kError; }
  // Likewise, until a stream takes it or Observe is called: OnClosed is told of the peer's end, and nothing else is.
  // What the peer sends for the stream is the stream's to find: about a record of it is kept here.
  void Watch(LinkObserver* observer);
  // Opener, idle: proves anew, by this link, who carries the stream that `request` names. OnVouched follows.
  void Vouch(const AttachRequest& request);
  // Acceptor, after OnVouch: believed, if `answer` is OK. The link is idle then.
  void AnswerVouch(uint32_t shard, const absl::Status& answer);
  void Retire();  // ends an idle link in good order; OnClosed follows

  // Acceptor, after OnAttach: yes, and the stream is with worker `shard` from now on. Nothing is read here until a
  // stream takes the link.
  void AcceptAttach(uint32_t shard);
  // Opener, idle: asks that this link carry on the stream that `request` names, which another process has at this
  // side. OnVouched follows; where it says OK the link is taken, and read no further until a stream takes it.
  void Attach(const AttachRequest& request);
  // After OnAttach or OnVouch: takes the link apart, to be rebuilt by the worker that has the stream. Invalid fd: it
  // had failed, or has no socket; destroy what is left.
  static LinkParts Release(std::unique_ptr<Link> link);
  // In state kTaken. `pool`'s blocks are as large as where it came from.
  static std::unique_ptr<Link> Rebuild(EventLoop* loop, BufferPool* pool, LinkParts parts);

 private:
  friend class MeshStream;
  // What came, for whoever holds the link.
  struct Frame {
    FrameType type = FrameType::kData;
    absl::string_view payload;  // valid until the next call
  };

  void OnReady() override { Step(); }
  // Each ends with at most one call of the observer, after which `this` may be gone.
  void Step();
  void StepIdle();
  void StepTaken();
  void StepVouching();
  void StepClosing();
  void StepRetiring();
  void OnTimer();
  void OnRequest(const Frame& frame);
  void OnAnswer(const Frame& frame);
  // Whether GOAWAY for `reason` says more than what was said.
  bool Overrides(GoAwayReason reason) const;
  void Refuse(RefuseReason reason, absl::string_view text);
  // Moves a closing stream on; false when the link has failed.
  bool WriteClosing();
  bool ReadClosing();
  // Counts bytes that nobody wants; false: too many, and the link has failed.
  bool Discarded(size_t size_bytes);
  void Enter(State state, absl::Duration deadline);
  void Soon() { timer_.Start(absl::ZeroDuration()); }
  IoStatus Fail(StreamError error, std::string text);  // kError
  IoStatus FailOfTls();
  IoStatus FailOfPeer(absl::string_view what);
  void TellClosed();

  // Reads up to the end of a control frame, or of the header of DATA; keeps PING, PONG and GOAWAY to itself.
  // kWouldBlock: whoever holds the link is told when to try again. kError: error() says why.
  IoStatus ReadFrame(Frame* frame);
  IoStatus ReadAnyFrame(Frame* frame);
  bool KeepToItself();
  bool CountOwnFrame();  // false: too many
  IoStatus PeekFrame();  // as far as the next frame, which ReadFrame or ReadData then gives
  size_t data_left() const { return parser_.data_left(); }
  IoResult ReadData(absl::Span<uint8_t> into);  // part of DATA's payload
  // kOk, or all of it is still to be sent. `head` and `body` go into one record.
  IoStatus WriteFrames(absl::Span<const uint8_t> head, absl::Span<const uint8_t> body, bool more);
  IoStatus WriteFrames(absl::string_view frames);
  IoStatus Flush();
  // Its own frames that wait: PONG, GOAWAY, PING, VOUCH, and answers to ATTACH and VOUCH.
  IoStatus FlushOwn();

  // For the stream that takes it; from then on it is told instead of the link's observer.
  void Take(StreamObserver* observer);
  // Takes it back in a state that follows from `machine`, which is not dead and in no carry-over that goes on;
  // `reset` and `refusal` are what such a frame says if it is still to be sent.
  void Leave(const StreamMachine& machine, ResetReason reset, std::unique_ptr<Refusal> refusal);
  void GoIdle();
  void Reset();

  EventLoop* loop_;
  std::unique_ptr<TlsStream> tls_;
  LinkRole role_;
  State state_ = State::kIdle;
  StreamError error_ = StreamError::kNone;
  ResetReason reset_ = ResetReason::kOther;
  bool go_away_due_ = false;    // to be sent, or (opener) to be told
  bool ping_due_ = false;
  bool peeked_ = false;
  bool watched_ = false;        // in kTaken: by the observer
  bool attaching_ = false;      // in kVouching: by ATTACH
  bool clean_end_ = false;      // the peer said close_notify
  bool was_idle_ = false;       // in kRetiring
  std::optional<GoAwayReason> going_away_;
  std::optional<uint64_t> pong_due_;
  uint32_t ping_sent_ = 0;
  uint32_t pong_seen_ = 0;
  std::unique_ptr<std::string> own_due_;     // VOUCH or ATTACH, or an answer to ATTACH or VOUCH; still to be sent
  std::unique_ptr<Refusal> refusal_;         // of the stream that is gone; likewise
  std::optional<StreamMachine> closing_;     // of the stream that is gone
  uint64_t discarded_bytes_ = 0;
  int own_frames_ = 0;                       // of the peer's, in the second that began then
  absl::Duration own_frames_since_;
  std::shared_ptr<const VerifiedSvid> peer_;
  std::shared_ptr<const TlsContext> own_;
  LinkObserver* observer_ = nullptr;
  StreamObserver* holder_ = nullptr;         // the stream that has taken it
  FrameParser parser_;
  Timer timer_;                              // the next turn, or the deadline
  absl::Duration deadline_ = absl::InfiniteDuration();
  absl::Duration opened_;
  absl::Duration idle_since_;
  absl::Duration quiet_since_;
  std::string error_text_;
};

}  // namespace lanyard
