#include "proxy/link/mesh_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace lanyard {

std::unique_ptr<MeshStream> MeshStream::Open(EventLoop* loop, std::unique_ptr<Link> link, const OpenRequest& request,
                                             LinkReturn* back) {
  std::unique_ptr<MeshStream> stream(
      new MeshStream(loop, LinkRole::kOpener, std::move(link), request.token, back));
  stream->opening_ = EncodeOpen(request);
  stream->machine_.Open();
  stream->hold_.Start(absl::ZeroDuration());
  return stream;
}

std::unique_ptr<MeshStream> MeshStream::Accepted(EventLoop* loop, std::unique_ptr<Link> link, const StreamToken& token,
                                                 LinkReturn* back) {
  return std::unique_ptr<MeshStream>(new MeshStream(loop, LinkRole::kAcceptor, std::move(link), token, back));
}

MeshStream::MeshStream(EventLoop* loop, LinkRole role, std::unique_ptr<Link> link, const StreamToken& token,
                       LinkReturn* back)
    : loop_(loop),
      back_(back),
      machine_(role),
      token_(token),
      current_(std::move(link)),
      peer_(current_->peer()),
      own_(current_->own()),
      authenticated_(current_->opened()),
      hold_(loop, [this] { PushAll(true); }),
      carry_(loop, [this] { OnCarryTimer(); }) {
  current_->Take(this);
  if (current_->state() == Link::State::kClosed) Lose(Carrier::kCurrent);
}

MeshStream::~MeshStream() {
  SendAcceptance();
  LeaveLinks();
}

void MeshStream::Accept(uint32_t shard) {
  if (failed()) return;
  shard_ = shard;
  opening_ = EncodeAccept(shard);
  machine_.Accept();
  hold_.Start(kAcceptHold);
}

void MeshStream::Refuse(RefuseReason reason, absl::string_view text) {
  if (failed()) return;
  refusal_ = Refusal{reason, std::string(text)};
  machine_.Refuse();
  Fail(StreamError::kOther, "refused by this side");
}

void MeshStream::ResetFor(ResetReason reason) {
  SendAcceptance();
  if (failed()) return;
  reset_ = reason;
  machine_.Abort();
  Fail(StreamError::kOther, "reset by this side");
}

// Reading.

IoResult MeshStream::Read(absl::Span<uint8_t> into) {
  size_t done = 0;
  IoStatus status = IoStatus::kOk;
  const auto goes_on = [&] { return status == IoStatus::kOk && machine_.receiving_open() && !failed(); };
  for (int share = kStepsPerRead; done < into.size() && (share > 0 || done == 0) && goes_on(); --share) {
    const Carrier carrier = machine_.reader();
    Link* link = Of(carrier);
    if (link == nullptr || link->data_left() == 0) {
      status = TakeFrame(carrier);
      continue;
    }
    const size_t wanted = std::min(into.size() - done, link->data_left());
    const IoResult result = link->ReadData(into.subspan(done, wanted));
    if (result.size_bytes < wanted) share = 1;  // its records are small, or there is no more
    status = result.drained ? IoStatus::kWouldBlock : result.status;
    if (result.status == IoStatus::kOk) done += result.size_bytes;
    if (status == IoStatus::kError) Lose(carrier);
  }
  if (machine_.received_end()) ReadQuietly();
  if (done > 0) return {IoStatus::kOk, done, status == IoStatus::kWouldBlock && machine_.receiving_open() && !failed()};
  if (failed()) return {IoStatus::kError};
  return {machine_.received_end() ? IoStatus::kEnd : IoStatus::kWouldBlock};
}

IoStatus MeshStream::TakeFrame(Carrier carrier) {
  if (Of(carrier) == nullptr) return IoStatus::kWouldBlock;  // it is another process's
  Link::Frame frame;
  const IoStatus status = Of(carrier)->ReadFrame(&frame);
  if (status == IoStatus::kWouldBlock) {
    LeaveIfItFlows();  // a PONG may have come
    return status;
  }
  if (status == IoStatus::kError) {
    Lose(carrier);
    return failed() ? status : IoStatus::kOk;
  }
  if (!Decode(carrier, frame.type, frame.payload)) {
    Of(carrier)->FailOfPeer(absl::StrCat("a malformed ", FrameTypeName(frame.type)));
    Lose(carrier);
    return failed() ? IoStatus::kError : IoStatus::kOk;
  }
  if (machine_.OnFrame(carrier, frame.type) == StreamMachine::Verdict::kIllegal) {
    Fail(StreamError::kMeshProtocol,
         absl::StrCat("the far proxy broke the mesh protocol: ", FrameTypeName(frame.type), " out of turn"));
  } else if (frame.type == FrameType::kData) {
    LeaveIfItFlows();  // nothing else follows from it
    return failed() ? IoStatus::kError : IoStatus::kOk;
  }
  Settle();
  return failed() ? IoStatus::kError : IoStatus::kOk;
}

bool MeshStream::Decode(Carrier carrier, FrameType type, absl::string_view payload) {
  switch (type) {
    case FrameType::kAccept: return DecodeAccept(payload, &shard_);
    case FrameType::kRefuse:
      return DecodeRefuse(payload, carrier == Carrier::kNext ? &next_refusal_ : &refusal_.emplace());
    case FrameType::kReset: return DecodeReset(payload, &reset_reason_.emplace());
    case FrameType::kEnd:
    case FrameType::kSwitch: return payload.empty();
    default: return true;
  }
}

void MeshStream::LeaveIfItFlows() {
  if (failed() || !machine_.awaits_leave() || current_->awaits_pong() || held()) return;
  machine_.Leave();
  PushAll(false);
}

void MeshStream::ReadQuietly() {
  while (!failed() && !machine_.over() && TakeFrame(machine_.reader()) == IoStatus::kOk) {
  }
}

// Writing.

IoResult MeshStream::Write(absl::Span<const uint8_t> from) {
  if (failed()) return {IoStatus::kError};
  if (from.empty()) return {IoStatus::kOk, 0};
  if (machine_.flowing()) return WriteData(from);
  if (!OpeningDue()) PushAll(false);
  if (failed()) return {IoStatus::kError};
  // A closing frame or SWITCH goes first.
  const bool first = Due().has_value() && !OpeningDue();
  if (!machine_.may_write() || first || Of(machine_.writer()) == nullptr) return {IoStatus::kWouldBlock};
  return WriteData(from);
}

IoResult MeshStream::WriteData(absl::Span<const uint8_t> from) {
  const Carrier carrier = machine_.writer();
  uint8_t head[kMaxControlBytes + 2 * kFrameHeaderBytes];  // OPEN or ACCEPT, and the header of DATA
  size_t done = 0;
  while (done < from.size()) {
    const bool opening = !machine_.flowing() && OpeningDue();
    const size_t before = opening ? opening_.size() : 0;
    std::memcpy(head, opening_.data(), before);
    const absl::Span<const uint8_t> data = from.subspan(done, kMaxRecordBytes - kFrameHeaderBytes - before);
    WriteDataHeader(data.size(), head + before);
    const IoStatus status = Of(carrier)->WriteFrames({head, before + kFrameHeaderBytes}, data,
                                                     done + data.size() < from.size());
    if (status == IoStatus::kError) {
      Lose(carrier);
      return {IoStatus::kError};
    }
    if (status != IoStatus::kOk) break;
    if (opening) {
      machine_.Sent(carrier, *machine_.NextFrame(carrier));
      hold_.Stop();
      std::string().swap(opening_);
    }
    done += data.size();
  }
  return done > 0 ? IoResult{IoStatus::kOk, done} : IoResult{IoStatus::kWouldBlock};
}

void MeshStream::SendAcceptance() {
  if (machine_.NextFrame(Carrier::kCurrent) == FrameType::kAccept) Push(Carrier::kCurrent, true);
}

bool MeshStream::OpeningDue() const {
  const std::optional<FrameType> type = machine_.NextFrame(Carrier::kCurrent);
  return type == FrameType::kOpen || type == FrameType::kAccept;
}

void MeshStream::Push(Carrier carrier, bool force) {
  while (!failed() && Of(carrier) != nullptr) {
    const std::optional<FrameType> type = machine_.NextFrame(carrier);
    if (!type.has_value()) return;
    const bool opening = carrier == Carrier::kCurrent && OpeningDue();
    if (opening && !force && hold_.running()) return;
    if (*type == FrameType::kSwitch && held()) return;
    const IoStatus status = Of(carrier)->WriteFrames(Encode(carrier, *type));
    if (status == IoStatus::kWouldBlock) return;
    if (status == IoStatus::kError) return Lose(carrier);
    machine_.Sent(carrier, *type);
    if (opening) {
      hold_.Stop();
      std::string().swap(opening_);
    }
    if (*type == FrameType::kSwitch) switch_deadline_ = loop_->now() + kSwitchDeadline;
    if (machine_.carried()) return Settle();
  }
}

void MeshStream::PushAll(bool force) {
  Push(Carrier::kCurrent, force);
  Push(Carrier::kNext, force);
}

std::string MeshStream::Encode(Carrier carrier, FrameType type) const {
  switch (type) {
    case FrameType::kOpen: return opening_;
    case FrameType::kAccept: return carrier == Carrier::kCurrent ? opening_ : EncodeAccept(shard_);
    case FrameType::kRefuse: return EncodeRefuse(refusal_.value_or(Refusal{RefuseReason::kCancelled, ""}));
    case FrameType::kReset: return EncodeReset(reset_);
    case FrameType::kAttach: return EncodeAttach({token_, shard_});
    default: return EncodeEmpty(type);
  }
}

IoResult MeshStream::Flush() {
  PushAll(true);
  return FlushLinks();
}

IoResult MeshStream::FlushLinks() {
  for (const Carrier carrier : {Carrier::kCurrent, Carrier::kNext}) {
    if (failed()) return {IoStatus::kError};
    if (Of(carrier) == nullptr) continue;
    const IoStatus status = Of(carrier)->Flush();
    if (status == IoStatus::kError) Lose(carrier);
    if (status == IoStatus::kWouldBlock) return {status};
  }
  if (failed()) return {IoStatus::kError};
  return {Due() ? IoStatus::kWouldBlock : IoStatus::kOk};
}

IoResult MeshStream::ShutdownWrite() {
  machine_.End();
  PushAll(true);
  const IoResult flushed = FlushLinks();
  if (flushed.status != IoStatus::kOk) return flushed;
  return {machine_.sent_end() ? IoStatus::kOk : IoStatus::kWouldBlock};
}

void MeshStream::OnReady() {
  for (const Carrier carrier : {Carrier::kCurrent, Carrier::kNext}) {
    if (!failed() && Of(carrier) != nullptr && Of(carrier)->FlushOwn() == IoStatus::kError) Lose(carrier);
  }
  if (!machine_.flowing()) PushAll(false);
  while (!failed() && machine_.awaits_answer() && TakeFrame(Carrier::kNext) == IoStatus::kOk) {
  }
  // An opener that gives the next link up closes it.
  const bool watched = !failed() && machine_.awaits_switch() && next_ != nullptr;
  if (watched && next_->PeekFrame() == IoStatus::kError) Lose(Carrier::kNext);
  if (machine_.received_end()) ReadQuietly();
  if (observer_ != nullptr) observer_->OnReady();
}

// The carry-over.

absl::Status MeshStream::CarryOver(std::unique_ptr<Link> next, Carried done) {
  absl::Status status;
  if (next->role() != LinkRole::kOpener || !next->idle()) {
    status = absl::InvalidArgumentError("a stream is carried over to an idle link that this side opened");
  } else if (failed() || told_.has_value() || !machine_.may_attach()) {
    status = absl::FailedPreconditionError("the stream is not accepted yet, at its end, or being carried over");
  } else if (loop_->now() < promised_until_) {
    status = absl::FailedPreconditionError("the stream is offered to another process");
  } else if (current_->awaits_pong()) {  // SWITCH would wait behind what was sent since that PING
    status = absl::UnavailableError("what was sent before is not read at one end");
  } else if (next->peer()->id != peer_->id) {
    status = absl::PermissionDeniedError(absl::StrCat("the new link's peer is ", next->peer()->id.ToString(),
                                                      ", the stream's is ", peer_->id.ToString()));
  }
  if (!status.ok()) {
    Give(std::move(next));
    return status;
  }
  next_ = std::move(next);
  next_->Take(this);
  done_ = std::move(done);
  machine_.Attach();
  switch_deadline_ = absl::InfiniteDuration();
  carry_.Start(kAttachDeadline);
  current_->Ping();
  Push(Carrier::kNext, true);
  return absl::OkStatus();
}

absl::Status MeshStream::Attach(std::unique_ptr<Link> next, Carried done) {
  RefuseReason reason = RefuseReason::kBusy;
  absl::Status status;
  if (failed() || told_.has_value() || !machine_.may_attach()) {
    status = absl::FailedPreconditionError("the stream is at its end, or being carried over");
  } else if (next->peer()->id != peer_->id) {
    reason = RefuseReason::kWrongIdentity;
    status = absl::PermissionDeniedError(absl::StrCat("the new link's peer is ", next->peer()->id.ToString(),
                                                      ", the stream's is ", peer_->id.ToString()));
  }
  if (!status.ok()) {
    next->RefuseAttach(reason, status.message());
    Give(std::move(next));
    return status;
  }
  if (next_ != nullptr) next_->Reset();
  departing_ = false;  // the opener found this process after all
  next_ = std::move(next);
  next_->Take(this);
  done_ = std::move(done);
  machine_.Attach();
  switch_deadline_ = loop_->now() + kSwitchDeadline;
  carry_.Start(kSwitchDeadline);
  Push(Carrier::kNext, true);
  return absl::OkStatus();
}

absl::Status MeshStream::Vouched(const Link& link) {
  if (failed() || machine_.over()) return absl::FailedPreconditionError("the stream is at its end");
  if (link.peer()->id != peer_->id) {
    return absl::PermissionDeniedError(absl::StrCat("the link's peer is ", link.peer()->id.ToString(),
                                                    ", the stream's is ", peer_->id.ToString()));
  }
  if (link.opened() < authenticated_) return absl::OkStatus();  // it says nothing new
  peer_ = link.peer();
  own_ = link.own();
  authenticated_ = link.opened();
  voucher_ = bssl::UniquePtr<SSL_SESSION>(SSL_get1_session(const_cast<SSL*>(link.ssl())));
  return absl::OkStatus();
}

const STACK_OF(CRYPTO_BUFFER)* MeshStream::peer_chain() const {
  if (current_ == nullptr) return nullptr;
  return voucher_ != nullptr ? SSL_SESSION_get0_peer_certificates(voucher_.get())
                             : SSL_get0_peer_certificates(current_->ssl());
}

void MeshStream::OnCarryTimer() {
  if (told_.has_value()) {
    const absl::Status status = *std::exchange(told_, std::nullopt);
    if (Carried done = std::exchange(done_, nullptr)) done(status);
    return;
  }
  if (loop_->now() >= switch_deadline_) return OnSwitchLate();
  machine_.Detach();
  if (machine_.next_lost()) {
    constexpr char kWhy[] = "the far proxy did not take the stream over in time: it did not answer, or what was sent "
                            "before is not read at one end";
    if (departing_) {
      DepartureFailed();
      if (observer_ != nullptr) observer_->OnReady();
      return;
    }
    next_->Fail(StreamError::kTimedOut, kWhy);
    Settle();
  } else if (switch_deadline_ != absl::InfiniteDuration()) {
    carry_.Start(switch_deadline_ - loop_->now());
  }
}

void MeshStream::OnSwitchLate() {
  if (machine_.awaits_switch()) {
    if (departing_) {
      Stay("the far proxy neither switched to the other process nor gave it up in time");
      if (observer_ != nullptr) observer_->OnReady();
      return;
    }
    next_->Fail(StreamError::kTimedOut, "the far proxy neither switched to it nor gave it up in time");
    return Lose(Carrier::kNext);
  }
  Fail(StreamError::kCarryOverTimedOut, absl::StrCat("the far proxy did not finish carrying the stream over within ",
                                                     absl::FormatDuration(kSwitchDeadline)));
  if (observer_ != nullptr) observer_->OnReady();
}

void MeshStream::Tell(absl::Status status) {
  told_ = std::move(status);
  carry_.Start(absl::ZeroDuration());
}

void MeshStream::Advance() {
  machine_.Advance();
  std::unique_ptr<Link> old = std::exchange(current_, std::move(next_));
  if (current_->opened() >= authenticated_) {
    peer_ = current_->peer();
    own_ = current_->own();
    authenticated_ = current_->opened();
    voucher_.reset();
  }
  Tell(absl::OkStatus());
  old->Retire();
  Give(std::move(old));
}

void MeshStream::DropNext() {
  std::unique_ptr<Link> next = std::move(next_);
  if (machine_.next_refused()) {
    Tell(absl::FailedPreconditionError(absl::StrCat("the far proxy refused to carry the stream over: ",
                                                    RefuseReasonName(next_refusal_.reason), ": ",
                                                    next_refusal_.text)));
    next->GoIdle();
    Give(std::move(next));
  } else {
    Tell(absl::UnavailableError(absl::StrCat("the new link failed: ", next->error_text())));
    next->Reset();
  }
  machine_.NextDropped();
}

void MeshStream::Settle() {
  if (failed()) return;
  if (machine_.carried() && !departing_) Advance();
  if (machine_.next_refused() || machine_.next_lost()) DropNext();
  LeaveIfItFlows();
  if (machine_.failure() != StreamMachine::Failure::kNone) FailOfMachine();
  PushAll(false);
}

// Failing.

void MeshStream::Lose(Carrier carrier) {
  const Link* link = Of(carrier);
  const StreamError error = link->error() == StreamError::kNone ? StreamError::kTruncated : link->error();
  const std::string text = link->error_text();
  machine_.OnLost(carrier);
  if (machine_.dead()) {
    return carrier == Carrier::kNext ? Fail(StreamError::kCarryOverFailed,
                                    absl::StrCat("the link it was being carried over to failed: ", text))
                             : Fail(error, text);
  }
  Settle();
}

void MeshStream::FailOfMachine() {
  switch (machine_.failure()) {
    case StreamMachine::Failure::kRefused:
      return Fail(StreamError::kMeshRefused, absl::StrCat("the far proxy refused the stream: ",
                                                          RefuseReasonName(refusal_->reason),
                                                          refusal_->text.empty() ? "" : ": ", refusal_->text));
    case StreamMachine::Failure::kPeerReset:
      return Fail(StreamError::kReset,
                  absl::StrCat("the far proxy reset the stream: ", ResetReasonName(*reset_reason_)));
    case StreamMachine::Failure::kCarrierLost:
      return Fail(StreamError::kCarryOverFailed, "the link it was being carried over to had failed here");
    default: return Fail(StreamError::kMeshProtocol, "the far proxy broke the mesh protocol");
  }
}

void MeshStream::Fail(StreamError error, std::string text) {
  if (failed()) return;
  error_ = error;
  error_text_ = std::move(text);
  hold_.Stop();
  carry_.Stop();
  LeaveLinks();
}

void MeshStream::LeaveLinks() {
  std::unique_ptr<Link> current = std::move(current_), next = std::move(next_);
  if (current == nullptr) return;
  if (OpeningDue()) machine_.Abort();  // the link alone cannot send OPEN or ACCEPT
  machine_.Abandon();
  if (machine_.dead()) {
    current->Reset();
    if (next != nullptr) next->Reset();
    return;
  }
  if (next != nullptr) {
    next->Retire();
    Give(std::move(next));
  }
  current->Leave(machine_, reset_, std::make_unique<Refusal>(refusal_.value_or(Refusal{RefuseReason::kCancelled, ""})));
  Give(std::move(current));
}

void MeshStream::Give(std::unique_ptr<Link> link) {
  if (link->state() != Link::State::kClosed) back_->TakeBack(std::move(link));
}

std::optional<GoAwayReason> MeshStream::peer_going_away() const {
  return current_ == nullptr || current_->role() == LinkRole::kAcceptor ? std::nullopt : current_->going_away();
}

void MeshStream::GoAway(GoAwayReason reason) {
  if (current_ != nullptr) current_->GoAway(reason);
}

}  // namespace lanyard
