// The load generator's system calls. A failure that no measurement survives ends the process
// with one sentence on standard error and exit status 1.
#pragma once

#include <netinet/in.h>
#include <sys/epoll.h>

#include <cstdint>
#include <span>
#include <string>

namespace lanyard::bench {

[[noreturn]] void Die(const std::string& message);

// CLOCK_MONOTONIC.
uint64_t NowNs();

// Owns one descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Fd& operator=(Fd&& other) noexcept;
  ~Fd();

  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

// "127.0.0.1:8080"; dies on anything else.
sockaddr_in ParseAddress(const std::string& text);

// Both are non-blocking; a connection has TCP_NODELAY. Connect is still under way when it returns.
Fd Listen(const sockaddr_in& address);
Fd Connect(const sockaddr_in& address);
uint16_t LocalPort(const Fd& fd);

enum class Io { kProgress, kWait, kClosed, kError };

// One read or write; `done` is the number of bytes moved with kProgress.
Io ReadSome(int fd, std::span<char> buffer, size_t& done);
Io WriteSome(int fd, std::span<const char> buffer, size_t& done);

class Poller {
 public:
  Poller();

  // Edge-triggered, for reading and writing. Closing the descriptor takes it out.
  void Add(int fd, uint64_t tag);

  // Level-triggered, for reading only.
  void AddReadable(int fd, uint64_t tag);

  // Ready ones, in epoll_event::data.u64 the tag. Dies when `deadline_ns` (NowNs) passes.
  std::span<epoll_event> Wait(uint64_t deadline_ns);

 private:
  void Control(int fd, uint64_t tag, uint32_t events);

  Fd epoll_;
  epoll_event events_[256];
};

}  // namespace lanyard::bench
