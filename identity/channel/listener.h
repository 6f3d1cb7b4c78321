// Accepts connections on a listening socket, and survives running out of descriptors. Private to identity/channel.
#pragma once

#include <sys/socket.h>

#include <functional>

#include "absl/status/status.h"
#include "identity/base/descriptor.h"
#include "identity/channel/event_loop.h"
#include "identity/channel/log_limit.h"

namespace lanyard {

// Lives on the loop's thread, from Start on.
class Listener final : private EventLoop::Handler {
 public:
  // After accept(2) failed for want of descriptors or memory, nothing is accepted for so long: no busy loop.
  static constexpr absl::Duration kPause = absl::Milliseconds(100);

  // `on_accept` is given each new socket, non-blocking; it must not destroy the listener.
  Listener(EventLoop& loop, Descriptor socket, std::function<void(Descriptor)> on_accept)
      : loop_(loop), socket_(std::move(socket)), on_accept_(std::move(on_accept)) {}
  ~Listener();

  absl::Status Start();

 private:
  void OnReady(uint32_t events) override;
  void Pause(int error);
  void Resume();

  EventLoop& loop_;
  const Descriptor socket_;
  const std::function<void(Descriptor)> on_accept_;
  EventLoop::TimerId resume_ = {};
  LogLimit log_limit_;
};

}  // namespace lanyard
