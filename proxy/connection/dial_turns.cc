#include "proxy/connection/dial_turns.h"

#include <utility>

#include "absl/time/time.h"

namespace lanyard {

void DialPlace::Leave() {
  DialTurns* const turns = std::exchange(turns_, nullptr);
  if (turns == nullptr) return;
  if (std::exchange(waiting_, false)) {
    turns->queue_.erase(at_);
    return;
  }
  --turns->dialling_;
  if (!turns->queue_.empty() && !turns->run_.running()) turns->run_.Start(absl::ZeroDuration());
}

bool DialTurns::Ask(DialPlace* place, std::function<void()> turn) {
  place->turns_ = this;
  if (dialling_ < most_ && queue_.empty()) {
    ++dialling_;
    return true;
  }
  place->waiting_ = true;
  place->at_ = queue_.insert(queue_.end(), {place, std::move(turn)});
  return false;
}

void DialTurns::Run() {
  while (dialling_ < most_ && !queue_.empty()) {
    const DialPlace::Entry first = std::move(queue_.front());
    queue_.pop_front();
    first.place->waiting_ = false;
    ++dialling_;
    first.turn();
  }
}

}  // namespace lanyard
