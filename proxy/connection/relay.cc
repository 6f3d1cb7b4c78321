#include "proxy/connection/relay.h"

#include <utility>

namespace lanyard {

Relay::Relay(EventLoop* loop, BufferPool* pool, BufferBudget* budget, size_t buffer_bytes, Stream* near, Stream* far,
             std::function<void()> step)
    : loop_(loop),
      budget_(budget),
      step_(std::move(step)),
      again_(loop, [this] { step_(); }),
      forward_(this, near, far, pool, buffer_bytes),
      backward_(this, far, near, pool, buffer_bytes),
      times_{.begun = loop->now(), .last_activity = loop->now()} {}

Relay::~Relay() {
  for (Direction* direction : {&forward_, &backward_}) {
    budget_->Changed(direction->held_bytes, 0);
    direction->from->set_observer(nullptr);
  }
}

RelayState Relay::Pump() {
  if (!preface_.empty() && !WritePreface()) return RelayState::kFarFailed;
  const Moved forward = Move(forward_);
  if (forward == Moved::kFromFailed) return RelayState::kNearFailed;
  if (forward == Moved::kToFailed) return RelayState::kFarFailed;
  const Moved backward = Move(backward_);
  if (backward == Moved::kFromFailed) return RelayState::kFarFailed;
  if (backward == Moved::kToFailed) return RelayState::kNearFailed;
  times_.half_closed = forward_.shut != backward_.shut;
  return forward_.shut && backward_.shut ? RelayState::kFinished : RelayState::kRunning;
}

void Relay::Hold(Way way, bool held) {
  const bool was = std::exchange((way == Way::kForward ? forward_ : backward_).held, held);
  if (was && !held) again_.Start(absl::ZeroDuration());
}

Relay::Moved Relay::Move(Direction& direction) {
  if (!direction.HasWork()) return Moved::kAll;
  const Moved moved = MoveBytes(direction);
  const size_t held = direction.buffer.size();
  if (held != direction.held_bytes) budget_->Changed(std::exchange(direction.held_bytes, held), held);
  return moved;
}

Relay::Moved Relay::MoveBytes(Direction& direction) {
  for (int share = kBuffersPerTurn;; --share) {
    if (!WriteOut(direction)) return Moved::kToFailed;
    // `to` is full, and will say when it is not.
    if (!direction.buffer.empty() || (&direction == &forward_ && !preface_.empty())) return Moved::kAll;
    if (direction.ended || !direction.readable || direction.held) break;
    if (share == 0) {
      again_.Start(absl::ZeroDuration());  // `from` was not read empty, so it will not speak again by itself
      break;
    }
    const absl::Span<uint8_t> space = direction.buffer.space();
    const IoResult read = direction.from->Read(space.first(budget_->MayRead(space.size())));
    direction.readable = read.status != IoStatus::kWouldBlock && !read.drained;
    if (read.status == IoStatus::kWouldBlock) break;
    if (read.status == IoStatus::kError) return Moved::kFromFailed;
    times_.last_activity = loop_->now();
    if (read.status == IoStatus::kOk) direction.buffer.Produced(read.size_bytes);
    direction.ended = read.status == IoStatus::kEnd;
  }
  direction.buffer.Trim();
  if (direction.ended && !direction.shut) {
    const IoResult shut = direction.to->ShutdownWrite();
    if (shut.status == IoStatus::kError) return Moved::kToFailed;
    direction.shut = shut.status == IoStatus::kOk;
  }
  return Moved::kAll;
}

bool Relay::WritePreface() {
  while (!preface_.empty()) {
    const absl::Span<const uint8_t> left(reinterpret_cast<const uint8_t*>(preface_.data()), preface_.size());
    const IoResult written = forward_.to->Write(left);
    if (written.status == IoStatus::kError) return false;
    if (written.status != IoStatus::kOk) return true;
    preface_.erase(0, written.size_bytes);
  }
  preface_ = std::string();  // and its memory
  return true;
}

bool Relay::WriteOut(Direction& direction) {
  if (&direction == &forward_ && !preface_.empty()) return true;
  while (!direction.buffer.empty()) {
    const IoResult written = direction.to->Write(direction.buffer.content());
    if (written.status == IoStatus::kError) return false;
    if (written.status != IoStatus::kOk) return true;
    direction.buffer.Consumed(written.size_bytes);
    direction.bytes += written.size_bytes;
    times_.last_activity = loop_->now();
    times_.carried_bytes = true;
  }
  return true;
}

}  // namespace lanyard
