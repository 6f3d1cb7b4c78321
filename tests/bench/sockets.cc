#include "tests/bench/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cstdio>

namespace lanyard::bench {

void Die(const std::string& message) {
  fprintf(stderr, "lanyard-bench-load: %s\n", message.c_str());
  exit(1);
}

uint64_t NowNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this == &other) return *this;
  if (fd_ >= 0) close(fd_);
  fd_ = other.fd_;
  other.fd_ = -1;
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) close(fd_);
}

sockaddr_in ParseAddress(const std::string& text) {
  const size_t colon = text.rfind(':');
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  if (colon == std::string::npos || inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) != 1) {
    Die("\"" + text + "\" is not an IPv4 address with a port, such as 127.0.0.1:8080");
  }
  address.sin_port = htons(static_cast<uint16_t>(atoi(text.c_str() + colon + 1)));
  return address;
}

namespace {

Fd NewSocket() {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd.get() < 0) Die(std::string("cannot make a socket: ") + strerror(errno));
  return fd;
}

void SetNoDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Io Outcome(ssize_t moved, size_t& done) {
  if (moved > 0) {
    done = static_cast<size_t>(moved);
    return Io::kProgress;
  }
  done = 0;
  if (moved == 0) return Io::kClosed;
  // ENOTCONN: the connection is still being made.
  return errno == EAGAIN || errno == EINTR || errno == ENOTCONN ? Io::kWait : Io::kError;
}

}  // namespace

Fd Listen(const sockaddr_in& address) {
  Fd fd = NewSocket();
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  SetNoDelay(fd.get());  // accepted connections inherit it
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 || listen(fd.get(), 4096) != 0) {
    Die(std::string("cannot listen: ") + strerror(errno));
  }
  return fd;
}

Fd Connect(const sockaddr_in& address) {
  Fd fd = NewSocket();
  SetNoDelay(fd.get());
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 && errno != EINPROGRESS) {
    Die(std::string("cannot connect: ") + strerror(errno));
  }
  return fd;
}

uint16_t LocalPort(const Fd& fd) {
  sockaddr_in address = {};
  socklen_t size = sizeof address;
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) Die("cannot read the own address");
  return ntohs(address.sin_port);
}

Io ReadSome(int fd, std::span<char> buffer, size_t& done) {
  return Outcome(recv(fd, buffer.data(), buffer.size(), 0), done);
}

Io WriteSome(int fd, std::span<const char> buffer, size_t& done) {
  return Outcome(send(fd, buffer.data(), buffer.size(), MSG_NOSIGNAL), done);
}

Poller::Poller() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_.get() < 0) Die(std::string("cannot make an epoll: ") + strerror(errno));
}

void Poller::Control(int fd, uint64_t tag, uint32_t events) {
  epoll_event event = {};
  event.events = events;
  event.data.u64 = tag;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) Die(std::string("epoll_ctl failed: ") + strerror(errno));
}

void Poller::Add(int fd, uint64_t tag) { Control(fd, tag, EPOLLIN | EPOLLOUT | EPOLLET); }

void Poller::AddReadable(int fd, uint64_t tag) { Control(fd, tag, EPOLLIN); }

std::span<epoll_event> Poller::Wait(uint64_t deadline_ns) {
  const uint64_t now_ns = NowNs();
  if (now_ns >= deadline_ns) Die("the load did not finish in its time; see --timeout");
  const uint64_t left_ms = (deadline_ns - now_ns) / 1'000'000 + 1;
  const int ready = epoll_wait(epoll_.get(), events_, 256, static_cast<int>(left_ms < 60'000 ? left_ms : 60'000));
  if (ready < 0 && errno != EINTR) Die(std::string("epoll_wait failed: ") + strerror(errno));
  return {events_, static_cast<size_t>(ready > 0 ? ready : 0)};
}

}  // namespace lanyard::bench
