// A stream that goes on in another process: the carry-over of mesh_stream.cc, with the next link over there.
#include <utility>

#include "proxy/link/mesh_stream.h"

namespace lanyard {

std::unique_ptr<MeshStream> MeshStream::Resumed(EventLoop* loop, std::unique_ptr<Link> link, const StreamState& state,
                                                LinkReturn* back) {
  const LinkRole role = link->role();
  std::unique_ptr<MeshStream> stream(new MeshStream(loop, role, std::move(link), state.token, back));
  if (stream->failed()) return stream;
  stream->machine_ = StreamMachine::Resumed(role, state.sent_end, state.received_end);
  stream->shard_ = state.shard;
  return stream;
}

// The frames on the other process's link are told to the machine as if they had come and gone here.
absl::Status MeshStream::Depart() {
  if (failed() || told_.has_value() || next_ != nullptr || !machine_.may_attach()) {
    return absl::FailedPreconditionError("the stream is not accepted yet, at its end, or being carried over");
  }
  const bool opener = current_->role() == LinkRole::kOpener;
  if (opener && current_->awaits_pong()) {  // as in CarryOver
    return absl::UnavailableError("what was sent before is not read at one end");
  }
  machine_.Attach();
  machine_.Sent(Carrier::kNext, opener ? FrameType::kAttach : FrameType::kAccept);
  if (opener) machine_.OnFrame(Carrier::kNext, FrameType::kAccept);
  departing_ = true;
  quiet_ = false;
  switch_deadline_ = opener ? absl::InfiniteDuration() : loop_->now() + kSwitchDeadline;
  carry_.Start(opener ? kAttachDeadline : kSwitchDeadline);
  if (opener) current_->Ping();
  return absl::OkStatus();
}

std::optional<FrameType> MeshStream::Due() const {
  const std::optional<FrameType> due = machine_.NextFrame(machine_.writer());
  return held() && due == FrameType::kSwitch ? std::nullopt : due;
}

bool MeshStream::awaits_quiet() const {
  if (!departing() || quiet_) return false;
  if (machine_.awaits_leave()) return !current_->awaits_pong();
  return current_->role() == LinkRole::kAcceptor && machine_.NextFrame(Carrier::kCurrent) == FrameType::kSwitch;
}

void MeshStream::Quiet() {
  if (!awaits_quiet()) return;
  quiet_ = true;
  machine_.Leave();
  PushAll(false);
}

void MeshStream::Stay(absl::string_view why) {
  if (!departing() || machine_.over()) return;
  machine_.OnLost(Carrier::kNext);
  machine_.dead() ? Fail(StreamError::kCarryOverFailed, std::string(why)) : DepartureFailed();
}

void MeshStream::DepartureFailed() {
  machine_.NextDropped();
  departing_ = quiet_ = false;
  carry_.Stop();
  PushAll(false);
}

// What this process still holds for the link must not depend on how long it lives.
bool MeshStream::departed() {
  if (!departing() || !machine_.carried()) return false;
  const IoStatus flushed = current_->Flush();
  if (flushed == IoStatus::kError) {
    Fail(StreamError::kCarryOverFailed, "the link that it was leaving failed before everything was sent there");
  }
  return flushed == IoStatus::kOk;
}

StreamState MeshStream::Leave() {
  const StreamState state = {.token = token_, .shard = shard_, .sent_end = machine_.sent_end(),
                             .received_end = machine_.received_end()};
  error_ = StreamError::kOther;
  error_text_ = "it goes on in another process";
  hold_.Stop();
  carry_.Stop();
  std::unique_ptr<Link> old = std::move(current_);
  old->Retire();
  Give(std::move(old));
  return state;
}

}  // namespace lanyard
