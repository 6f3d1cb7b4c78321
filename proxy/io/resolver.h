// Names to addresses, away from the loop's thread, because the system's resolver blocks.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "proxy/io/address.h"
#include "proxy/io/event_loop.h"

namespace lanyard {

// "host:port" of a static listener, parsed once: a number, or a name to look up at each dial.
class Destination {
 public:
  static absl::StatusOr<Destination> Parse(absl::string_view text);
  const std::string& ToString() const { return text_; }
  bool is_numeric() const { return !numeric_.empty(); }
  const std::vector<SocketAddress>& numeric() const { return numeric_; }
  const std::string& host() const { return host_; }
  uint16_t port() const { return port_; }

 private:
  Destination() = default;
  std::string text_;
  std::string host_;
  uint16_t port_ = 0;
  std::vector<SocketAddress> numeric_;  // one, or none
};

// One thread, made at the first name. Belongs to the loop's thread.
class Resolver {
 public:
  // Names waiting at most; more are ResourceExhausted.
  static constexpr size_t kMaxWaiting = 1024;
  using Answer = std::function<void(absl::StatusOr<std::vector<SocketAddress>>)>;

  explicit Resolver(EventLoop* loop);
  // Answers still owed are never given. Does not wait for a lookup that hangs.
  ~Resolver();

  // `answer` runs on the loop's thread, in a later turn.
  void Resolve(const Destination& destination, Answer answer);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace lanyard
