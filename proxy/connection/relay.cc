#include "proxy/connection/relay.h"

#include <utility>

namespace lanyard {

Relay::Relay(EventLoop* loop, BufferPool* pool, size_t buffer_bytes, Stream* near, Stream* far,
             std::function<void()> again)
    : loop_(loop),
      again_(loop, std::move(again)),
      forward_{near, far, Buffer(pool, buffer_bytes)},
      backward_{far, near, Buffer(pool, buffer_bytes)},
      last_activity_(loop->now()) {}

RelayState Relay::Pump() {
  const Moved forward = Move(forward_);
  if (forward == Moved::kFromFailed) return RelayState::kNearFailed;
  if (forward == Moved::kToFailed) return RelayState::kFarFailed;
  const Moved backward = Move(backward_);
  if (backward == Moved::kFromFailed) return RelayState::kFarFailed;
  if (backward == Moved::kToFailed) return RelayState::kNearFailed;
  return forward_.shut && backward_.shut ? RelayState::kFinished : RelayState::kRunning;
}

Relay::Moved Relay::Move(Direction& direction) {
  for (int share = kBuffersPerTurn;; --share) {
    if (!WriteOut(direction)) return Moved::kToFailed;
    if (!direction.buffer.empty()) return Moved::kAll;  // `to` is full, and will say when it is not
    if (direction.ended) break;
    if (share == 0) {
      again_.Start(absl::ZeroDuration());  // `from` was not read empty, so it will not speak again by itself
      break;
    }
    const IoResult read = direction.from->Read(direction.buffer.space());
    if (read.status == IoStatus::kWouldBlock) break;
    if (read.status == IoStatus::kError) return Moved::kFromFailed;
    last_activity_ = loop_->now();
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

bool Relay::WriteOut(Direction& direction) {
  while (!direction.buffer.empty()) {
    const IoResult written = direction.to->Write(direction.buffer.content());
    if (written.status == IoStatus::kError) return false;
    if (written.status != IoStatus::kOk) return true;
    direction.buffer.Consumed(written.size_bytes);
    direction.bytes += written.size_bytes;
    last_activity_ = loop_->now();
  }
  return true;
}

}  // namespace lanyard
