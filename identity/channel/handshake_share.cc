#include "identity/channel/handshake_share.h"

#include <utility>

namespace lanyard {

bool HandshakeShare::Ask(const void* owner, std::function<void()> step) {
  if (!waiting_.empty() || Used()) {
    waiting_.push_back({owner, std::move(step)});
    return false;
  }
  if (!begun_) AwaitTurn();
  Take(step);
  return true;
}

void HandshakeShare::Forget(const void* owner) {
  std::erase_if(waiting_, [owner](const Waiting& waiting) { return waiting.owner == owner; });
}

void HandshakeShare::Take(const std::function<void()>& step) {
  begun_ = true;
  const absl::Duration began = EventLoop::Now();
  step();
  spent_ += EventLoop::Now() - began;
}

void HandshakeShare::BeginTurn() {
  begun_ = false;
  spent_ = absl::ZeroDuration();
  while (!waiting_.empty() && !Used()) {
    const std::function<void()> step = std::move(waiting_.front().step);
    waiting_.pop_front();
    Take(step);
  }
  if (begun_) AwaitTurn();
}

// A timer of zero runs in the next turn, before what that finds ready.
void HandshakeShare::AwaitTurn() {
  next_turn_ = loop_.After(absl::ZeroDuration(), [this] { BeginTurn(); });
}

}  // namespace lanyard
