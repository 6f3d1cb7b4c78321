// One client connection that sends a message and waits for its echo, again and again.
#pragma once

#include <netinet/in.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/sockets.h"

namespace lanyard::bench {

class Exchange {
 public:
  enum class Progress { kWaiting, kAnswered, kFailed };

  // Starts to connect and to send the first message, of `size` bytes.
  Exchange(const sockaddr_in& target, size_t size);

  int fd() const { return fd_.get(); }

  // When the connection was begun or Again() was called.
  uint64_t started_ns() const { return started_ns_; }

  // After an event: sends and receives what it can (edge-triggered). Nothing is under way after
  // kAnswered, until Again().
  Progress Advance();

  // Sends the next message.
  Progress Again();

 private:
  std::string message_;
  Fd fd_;
  uint64_t started_ns_;
  size_t sent_ = 0;
  size_t received_ = 0;
  bool under_way_ = true;
};

using Exchanges = std::vector<std::unique_ptr<Exchange>>;

// Dies of kFailed: for connections that nobody may close.
Exchange::Progress RequireAlive(Exchange::Progress progress);

}  // namespace lanyard::bench
