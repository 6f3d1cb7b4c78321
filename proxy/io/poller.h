// The seam between the event loop and the kernel: which descriptors have something to say.
#pragma once

#include <sys/epoll.h>

#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace lanyard {

// Told of the readiness of one descriptor. `events` are epoll's bits.
class IoHandler {
 public:
  virtual void OnIo(uint32_t events) = 0;

 protected:
  ~IoHandler() = default;
};

struct PollEvent {
  IoHandler* handler;
  uint32_t events;
};

// Used by one thread. Implementations: EpollPoller and FakePoller.
class Poller {
 public:
  virtual ~Poller() = default;

  // `events` as of epoll_ctl(2), EPOLLET included. `handler` is borrowed until Remove; to close the descriptor is not
  // enough.
  virtual absl::Status Add(int fd, uint32_t events, IoHandler* handler) = 0;
  virtual void Remove(int fd) = 0;

  // Waits at most `timeout` (infinite: until there is an event), fills the front of `out`, returns how many.
  virtual size_t Wait(absl::Span<PollEvent> out, absl::Duration timeout) = 0;
};

}  // namespace lanyard
