#include "proxy/link/link.h"

#include <openssl/ssl.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/io/tcp_stream.h"

namespace lanyard {
namespace {

absl::Span<const uint8_t> Bytes(absl::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

constexpr size_t kDiscardBytes = 4096;

// No stream hears of it.
bool IsOwn(FrameType type) { return type >= FrameType::kPing && type != FrameType::kVouch; }

absl::string_view LateText(Link::State state) {
  switch (state) {
    case Link::State::kClosing: return "the peer did not close a stream that was reset in time";
    case Link::State::kVouching: return "the peer did not answer VOUCH or ATTACH in time";
    default: return "the peer did not say close_notify in time";
  }
}

}  // namespace

bool Link::Speaks(const SSL* ssl) {
  const uint8_t* name = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl, &name, &size);
  return absl::string_view(reinterpret_cast<const char*>(name), size) == kLinkAlpn;
}

Link::Link(EventLoop* loop, std::unique_ptr<TlsStream> tls, LinkRole role, std::shared_ptr<const TlsContext> own)
    : loop_(loop),
      tls_(std::move(tls)),
      role_(role),
      peer_(SharedPeerOf(tls_->ssl())),
      own_(std::move(own)),
      timer_(loop, [this] { OnTimer(); }),
      opened_(loop->now()),
      idle_since_(opened_),
      quiet_since_(opened_) {
  tls_->set_observer(this);
}

void Link::Observe(LinkObserver* observer) {
  observer_ = observer;
  watched_ = false;
  tls_->set_sparing(false);
  if (observer != nullptr) Soon();
}

void Link::Watch(LinkObserver* observer) {
  Observe(observer);
  watched_ = true;
  tls_->set_sparing(true);
}

void Link::OnTimer() {
  if (holder_ != nullptr) return holder_->OnReady();
  const bool late = loop_->now() >= deadline_;
  if (late && state_ == State::kRetiring && was_idle_ && has_unsent()) {
    was_idle_ = false;  // its peer is slow to read, as after a stream
    Enter(State::kRetiring, kRetireDeadline);
  } else if (late) {
    if (state_ != State::kRetiring || !was_idle_) tls_->Reset();
    Fail(StreamError::kTimedOut, std::string(LateText(state_)));
  } else if (deadline_ != absl::InfiniteDuration()) {
    timer_.Start(deadline_ - loop_->now());
  }
  Step();
}

void Link::Enter(State state, absl::Duration deadline) {
  state_ = state;
  deadline_ = deadline == absl::InfiniteDuration() ? deadline : loop_->now() + deadline;
  if (state == State::kIdle) idle_since_ = quiet_since_ = loop_->now();
  Soon();
}

void Link::Step() {
  switch (state_) {
    case State::kIdle: return StepIdle();
    case State::kTaken: return StepTaken();
    case State::kVouching: return StepVouching();
    case State::kClosing: return StepClosing();
    case State::kRetiring: return StepRetiring();
    case State::kClosed: return TellClosed();
  }
}

void Link::TellClosed() {
  timer_.Stop();
  if (LinkObserver* observer = std::exchange(observer_, nullptr)) observer->OnClosed(this);
}

void Link::StepTaken() {
  const bool lost = FlushOwn() == IoStatus::kError || (watched_ && PeekFrame() == IoStatus::kError);
  if (watched_) lost ? TellClosed() : tls_->Park();
}

// Idle.

void Link::StepIdle() {
  if (FlushOwn() == IoStatus::kError) return TellClosed();
  if (observer_ == nullptr) return;
  Frame frame;
  const bool awaited = awaits_pong();
  const IoStatus status = ReadFrame(&frame);
  if (status == IoStatus::kOk) return OnRequest(frame);
  if (status == IoStatus::kError) {
    if (clean_end_) tls_->ShutdownWrite();  // so that the peer sees a proper end too
    return TellClosed();
  }
  if (role_ == LinkRole::kOpener && std::exchange(go_away_due_, false)) return observer_->OnGoAway(this, *going_away_);
  if (!awaited || awaits_pong()) return;
  quiet_since_ = loop_->now();
  observer_->OnPong(this);
}

void Link::OnRequest(const Frame& frame) {
  OpenRequest open;
  AttachRequest attach;
  if (role_ == LinkRole::kAcceptor && frame.type == FrameType::kOpen && DecodeOpen(frame.payload, &open)) {
    state_ = State::kTaken;
    return observer_->OnOpen(this, open);
  }
  if (role_ == LinkRole::kAcceptor && frame.type == FrameType::kAttach && DecodeAttach(frame.payload, &attach)) {
    state_ = State::kTaken;
    return observer_->OnAttach(this, attach);
  }
  if (role_ == LinkRole::kAcceptor && frame.type == FrameType::kVouch && DecodeAttach(frame.payload, &attach)) {
    state_ = State::kTaken;
    return observer_->OnVouch(this, attach);
  }
  FailOfPeer(absl::StrCat(FrameTypeName(frame.type), " on an idle link"));
  TellClosed();
}

bool Link::Overrides(GoAwayReason reason) const {
  return !going_away_.has_value() || (reason == GoAwayReason::kDraining && going_away_ != reason);
}

void Link::GoAway(GoAwayReason reason) {
  if (role_ != LinkRole::kAcceptor || state_ == State::kRetiring || !Overrides(reason)) return;
  going_away_ = reason;
  go_away_due_ = true;
  if (FlushOwn() == IoStatus::kError) Soon();
}

void Link::Ping() {
  if (awaits_pong() || state_ == State::kClosed || state_ == State::kRetiring) return;
  ++ping_sent_;
  ping_due_ = true;
  if (FlushOwn() == IoStatus::kError) Soon();
}

void Link::Refuse(RefuseReason reason, absl::string_view text) {
  own_due_ = std::make_unique<std::string>(EncodeRefuse({reason, std::string(text)}));
  GoIdle();
}

// Vouching.

void Link::Vouch(const AttachRequest& request) {
  if (role_ != LinkRole::kOpener || state_ != State::kIdle) return;
  attaching_ = false;
  own_due_ = std::make_unique<std::string>(EncodeVouch(request));
  Enter(State::kVouching, kVouchDeadline);
}

void Link::Attach(const AttachRequest& request) {
  if (role_ != LinkRole::kOpener || state_ != State::kIdle) return;
  attaching_ = true;
  own_due_ = std::make_unique<std::string>(EncodeAttach(request));
  Enter(State::kVouching, kVouchDeadline);
}

void Link::AcceptAttach(uint32_t shard) {
  if (state_ != State::kTaken) return;
  own_due_ = std::make_unique<std::string>(EncodeAccept(shard));
  if (FlushOwn() == IoStatus::kError) Soon();
}

void Link::AnswerVouch(uint32_t shard, const absl::Status& answer) {
  if (!answer.ok()) {
    return Refuse(absl::IsPermissionDenied(answer) ? RefuseReason::kWrongIdentity : RefuseReason::kUnknownStream,
                  answer.message());
  }
  own_due_ = std::make_unique<std::string>(EncodeAccept(shard));
  GoIdle();
}

void Link::StepVouching() {
  Frame frame;
  const IoStatus status = FlushOwn() == IoStatus::kError ? IoStatus::kError : ReadFrame(&frame);
  if (status == IoStatus::kError) return TellClosed();
  if (status == IoStatus::kOk) OnAnswer(frame);
}

void Link::OnAnswer(const Frame& frame) {
  uint32_t shard = 0;
  Refusal refusal;
  absl::Status answer;
  if (frame.type == FrameType::kRefuse && DecodeRefuse(frame.payload, &refusal)) {
    answer = absl::FailedPreconditionError(
        absl::StrCat("the far proxy refused ", attaching_ ? "to carry the stream over: " : "to take our word for it: ",
                     RefuseReasonName(refusal.reason), ": ", refusal.text));
  } else if (frame.type != FrameType::kAccept || !DecodeAccept(frame.payload, &shard)) {
    FailOfPeer(absl::StrCat(FrameTypeName(frame.type), " in answer to VOUCH or ATTACH"));
    return TellClosed();
  }
  Enter(attaching_ && answer.ok() ? State::kTaken : State::kIdle, absl::InfiniteDuration());
  if (observer_ != nullptr) observer_->OnVouched(this, answer, shard);
}

void Link::Retire() {
  if (state_ == State::kClosed || state_ == State::kRetiring) return;
  holder_ = nullptr;
  tls_->set_observer(this);
  discarded_bytes_ = 0;
  was_idle_ = state_ == State::kIdle;
  Enter(State::kRetiring, was_idle_ ? kIdleRetireDeadline : kRetireDeadline);
  // The peer is not to wait for our next turn.
  if (tls_->ShutdownWrite().status == IoStatus::kError) FailOfTls();
}

// After a stream.

void Link::Take(StreamObserver* observer) {
  Observe(nullptr);
  holder_ = observer;
  state_ = State::kTaken;
  deadline_ = absl::InfiniteDuration();
  timer_.Stop();
  tls_->set_observer(observer);
}

void Link::Leave(const StreamMachine& machine, ResetReason reset, std::unique_ptr<Refusal> refusal) {
  if (machine.reusable()) return GoIdle();
  holder_ = nullptr;
  tls_->set_observer(this);
  if (state_ == State::kClosed) return;
  if (machine.over()) return Retire();
  closing_ = machine;
  reset_ = reset;
  refusal_ = std::move(refusal);
  discarded_bytes_ = 0;
  Enter(State::kClosing, kClosingDeadline);
  if (!WriteClosing()) Soon();
}

void Link::StepClosing() {
  if (!WriteClosing() || !ReadClosing()) return TellClosed();
  if (!closing_->over()) return;
  const bool reusable = closing_->reusable();
  closing_.reset();
  if (!reusable) return Retire();
  Enter(State::kIdle, absl::InfiniteDuration());
  if (observer_ != nullptr) observer_->OnIdle(this);
}

bool Link::WriteClosing() {
  if (FlushOwn() == IoStatus::kError) return false;
  while (const std::optional<FrameType> type = closing_->NextFrame(Carrier::kCurrent)) {
    const IoStatus status = WriteFrames(*type == FrameType::kReset    ? EncodeReset(reset_)
                                        : *type == FrameType::kRefuse ? EncodeRefuse(*refusal_)
                                                                      : EncodeEmpty(*type));
    if (status != IoStatus::kOk) return status != IoStatus::kError;
    closing_->Sent(Carrier::kCurrent, *type);
  }
  return true;
}

bool Link::Discarded(size_t size_bytes) {
  discarded_bytes_ += size_bytes;
  if (discarded_bytes_ <= kMaxDiscardedBytes) return true;
  tls_->Reset();
  Fail(StreamError::kOther, "the peer goes on sending to a stream that was closed");
  return false;
}

bool Link::ReadClosing() {
  uint8_t discarded[kDiscardBytes];
  for (int share = kDiscardsPerTurn; !closing_->over(); --share) {
    if (share == 0) {
      Soon();  // there may be more, of which nothing else would tell
      return true;
    }
    IoStatus status;
    if (data_left() > 0) {
      const IoResult result = ReadData(discarded);
      status = result.status;
      if (!Discarded(result.size_bytes)) return false;
    } else {
      Frame frame;
      status = ReadFrame(&frame);
      if (status == IoStatus::kOk &&
          closing_->OnFrame(Carrier::kCurrent, frame.type) == StreamMachine::Verdict::kIllegal) {
        FailOfPeer(absl::StrCat(FrameTypeName(frame.type), " out of turn"));
        return false;
      }
    }
    if (status != IoStatus::kOk) return status == IoStatus::kWouldBlock;
    if (!WriteClosing()) return false;
  }
  return true;
}

void Link::StepRetiring() {
  const IoStatus told = tls_->ShutdownWrite().status;
  uint8_t discarded[kDiscardBytes];
  IoStatus status = told == IoStatus::kError ? told : IoStatus::kOk;
  for (int share = kDiscardsPerTurn; status == IoStatus::kOk && share > 0; --share) {
    const IoResult result = tls_->Read(discarded);
    status = result.status;
    if (!Discarded(result.size_bytes)) return TellClosed();
  }
  if (status == IoStatus::kOk) Soon();  // there may be more, of which nothing else would tell
  if (status == IoStatus::kError) FailOfTls();
  if (status == IoStatus::kEnd && told == IoStatus::kOk) state_ = State::kClosed;  // in good order
  if (state_ == State::kClosed) TellClosed();
}

void Link::GoIdle() {
  holder_ = nullptr;
  tls_->set_observer(this);
  if (state_ == State::kTaken) Enter(State::kIdle, absl::InfiniteDuration());
}

void Link::Reset() {
  tls_->Reset();
  if (state_ != State::kClosed) Fail(StreamError::kOther, "reset by this side");
}

// Frames.

IoStatus Link::PeekFrame() {
  if (peeked_ || data_left() > 0) return IoStatus::kOk;
  Frame frame;
  const IoStatus status = ReadFrame(&frame);
  peeked_ = status == IoStatus::kOk && data_left() == 0;
  return status;
}

IoStatus Link::ReadFrame(Frame* frame) {
  int kept = 0;
  IoStatus status = ReadAnyFrame(frame);
  while (status == IoStatus::kOk && IsOwn(frame->type)) {
    if (!KeepToItself()) return FailOfPeer(absl::StrCat("a bad ", FrameTypeName(frame->type)));
    if (!CountOwnFrame()) return FailOfPeer(absl::StrCat("too many frames like ", FrameTypeName(frame->type)));
    if (++kept < kOwnFramesPerTurn) {
      status = ReadAnyFrame(frame);
    } else {
      Soon();  // there may be more, of which nothing else would tell
      status = IoStatus::kWouldBlock;
    }
  }
  if (status == IoStatus::kOk && own_frames_ > 0) --own_frames_;
  if (kept == 0 || status == IoStatus::kError) return status;
  return FlushOwn() == IoStatus::kError ? IoStatus::kError : status;  // one PONG answers all of them
}

IoStatus Link::ReadAnyFrame(Frame* frame) {
  if (!std::exchange(peeked_, false) && parser_.complete()) parser_.Next();
  while (!parser_.complete() && parser_.data_left() == 0) {
    const IoResult result = tls_->Read(parser_.Space());
    if (result.status == IoStatus::kError) return FailOfTls();
    if (result.status == IoStatus::kEnd) {
      clean_end_ = parser_.at_boundary();
      return Fail(clean_end_ && state_ == State::kIdle ? StreamError::kNone : StreamError::kTruncated,
                  clean_end_ ? "the peer closed the link" : "the peer closed the link within a frame");
    }
    if (result.status != IoStatus::kOk) return result.status;
    if (!parser_.Produced(result.size_bytes)) return FailOfPeer(parser_.error());
  }
  frame->type = parser_.type();
  frame->payload = parser_.payload();
  return IoStatus::kOk;
}

// An honest peer asks once before each stream, and says GOAWAY twice.
bool Link::CountOwnFrame() {
  if (loop_->now() - own_frames_since_ >= absl::Seconds(1)) {
    own_frames_since_ = loop_->now();
    own_frames_ = 0;
  }
  return ++own_frames_ <= kMaxOwnFramesPerSecond;
}

bool Link::KeepToItself() {
  uint64_t number = 0;
  if (parser_.type() == FrameType::kGoAway) {
    GoAwayReason reason;
    if (role_ != LinkRole::kOpener || !DecodeGoAway(parser_.payload(), &reason)) return false;
    if (!Overrides(reason)) return true;
    going_away_ = reason;
    go_away_due_ = true;
    return true;
  }
  if (!DecodePing(parser_.payload(), &number)) return false;
  if (parser_.type() == FrameType::kPing) {
    pong_due_ = number;
    return true;
  }
  if (number != ping_sent_ || !awaits_pong()) return false;
  pong_seen_ = ping_sent_;
  return true;
}

IoResult Link::ReadData(absl::Span<uint8_t> into) {
  const IoResult result = tls_->Read(into.first(std::min(into.size(), parser_.data_left())));
  if (result.status == IoStatus::kOk) parser_.Consumed(result.size_bytes);
  if (result.status == IoStatus::kError) return {FailOfTls()};
  if (result.status == IoStatus::kEnd) {
    return {Fail(StreamError::kTruncated, "the peer closed the link within a frame")};
  }
  return result;
}

IoStatus Link::WriteFrames(absl::Span<const uint8_t> head, absl::Span<const uint8_t> body, bool more) {
  const IoStatus status = tls_->WriteRecord(head, body, more).status;
  return status == IoStatus::kError ? FailOfTls() : status;
}

IoStatus Link::WriteFrames(absl::string_view frames) { return WriteFrames({}, Bytes(frames), false); }

IoStatus Link::Flush() {
  const IoStatus status = tls_->Flush().status;
  return status == IoStatus::kError ? FailOfTls() : status;
}

IoStatus Link::FlushOwn() {
  if (state_ == State::kClosed) return IoStatus::kError;
  const bool go_away = role_ == LinkRole::kAcceptor && go_away_due_;
  if (own_due_ == nullptr && !pong_due_.has_value() && !ping_due_ && !go_away) return IoStatus::kOk;
  std::string frames;
  if (own_due_ != nullptr) frames += *own_due_;
  if (pong_due_) frames += EncodePing(FrameType::kPong, *pong_due_);
  if (ping_due_) frames += EncodePing(FrameType::kPing, ping_sent_);
  if (go_away) frames += EncodeGoAway(*going_away_);
  const IoStatus status = WriteFrames(frames);
  if (status != IoStatus::kOk) return status;
  own_due_.reset();
  pong_due_.reset();
  ping_due_ = false;
  if (go_away) go_away_due_ = false;
  return status;
}

IoStatus Link::Fail(StreamError error, std::string text) {
  if (state_ != State::kClosed) {
    state_ = State::kClosed;
    error_ = error;
    error_text_ = std::move(text);
  }
  return IoStatus::kError;
}

IoStatus Link::FailOfTls() { return Fail(tls_->error(), tls_->error_text()); }

IoStatus Link::FailOfPeer(absl::string_view what) {
  return Fail(StreamError::kMeshProtocol, absl::StrCat("the far proxy broke the mesh protocol: ", what));
}

// To another thread.

LinkParts Link::Release(std::unique_ptr<Link> link) {
  LinkParts parts;
  parts.role = link->role_;
  parts.own = link->own_;
  parts.opened = link->opened_;
  parts.going_away = link->going_away_;
  if (link->parser_.complete()) link->parser_.Next();
  if (link->state_ != State::kTaken || !link->parser_.at_boundary() || link->FlushOwn() != IoStatus::kOk) return parts;
  parts.tls = link->tls_->Release();
  if (parts.tls.lower != nullptr) parts.fd = parts.tls.lower->ReleaseFd();
  parts.tls.lower.reset();
  return parts;
}

std::unique_ptr<Link> Link::Rebuild(EventLoop* loop, BufferPool* pool, LinkParts parts) {
  parts.tls.lower = TcpStream::Accepted(loop, std::move(parts.fd));
  auto link = std::make_unique<Link>(loop, TlsStream::Rebuild(std::move(parts.tls), pool), parts.role,
                                     std::move(parts.own));
  link->opened_ = parts.opened;
  link->going_away_ = parts.going_away;
  link->state_ = State::kTaken;
  return link;
}

}  // namespace lanyard
