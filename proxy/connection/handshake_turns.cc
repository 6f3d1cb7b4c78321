#include "proxy/connection/handshake_turns.h"

#include <algorithm>
#include <utility>

namespace lanyard {

void HandshakePlace::Leave() {
  if (HandshakeTurns* const turns = std::exchange(turns_, nullptr)) turns->queue_.erase(at_);
}

void HandshakeTurns::Ask(HandshakePlace* place, std::function<void()> step) {
  if (place->waiting()) return;
  place->turns_ = this;
  place->at_ = queue_.insert(queue_.end(), {place, std::move(step)});
  // A timer of zero runs when the descriptors of the turn have had theirs.
  if (!run_.running()) run_.Start(absl::ZeroDuration());
}

void HandshakeTurns::TakeFirst() {
  HandshakePlace::Entry first = std::move(queue_.front());
  first.place->Leave();
  first.step();
}

void HandshakeTurns::Run() {
  const absl::Duration began = loop_->clock().Monotonic();
  const absl::Duration share = std::min(began - loop_->now(), kMostOfATurn);
  while (!queue_.empty()) {
    TakeFirst();
    if (loop_->clock().Monotonic() - began >= share) break;
  }
  if (!queue_.empty()) run_.Start(absl::ZeroDuration());
}

}  // namespace lanyard
