#include "proxy/echo_testing.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "proxy/process_testing.h"

namespace lanyard {
namespace {

int Listen() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const SocketAddress any = SocketAddress::Parse("127.0.0.1:0").value();
  EXPECT_EQ(bind(fd, any.raw(), any.raw_size()), 0);
  EXPECT_EQ(listen(fd, 64), 0);
  return fd;
}

SocketAddress LocalAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size), 0);
  return SocketAddress::FromSockaddr(storage);
}

// -1 when refused.
int Connect(const SocketAddress& address) {
  const int fd = socket(address.raw()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience = {absl::ToInt64Seconds(kTestPatience), 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  if (connect(fd, address.raw(), address.raw_size()) == 0) return fd;
  close(fd);
  return -1;
}

void EchoAll(int fd) {
  char bytes[4096];
  ssize_t size;
  while ((size = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
    if (send(fd, bytes, static_cast<size_t>(size), MSG_NOSIGNAL) != size) break;
  }
  close(fd);
}

}  // namespace

EchoServer::EchoServer() : fd_(Listen()), address_(LocalAddress(fd_)), acceptor_([this] { Serve(); }) {}

EchoServer::~EchoServer() {
  shutdown(fd_, SHUT_RDWR);
  acceptor_.join();
  close(fd_);
}

void EchoServer::Serve() {
  int fd;
  while ((fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0) connections_.emplace_back(EchoAll, fd);
  for (std::thread& connection : connections_) connection.join();
}

EchoClient::EchoClient(const SocketAddress& address) : fd_(Connect(address)) {}

bool EchoClient::Echoes(const std::string& text) {
  if (fd_ < 0 || send(fd_, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) return false;
  std::string received(text.size(), '\0');
  return recv(fd_, received.data(), received.size(), MSG_WAITALL) == static_cast<ssize_t>(text.size()) &&
         received == text;
}

void EchoClient::Close() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

std::string HttpGet(const SocketAddress& address, const std::string& path) {
  const int fd = Connect(address);
  if (fd < 0) return "";
  const std::string request = absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  send(fd, request.data(), request.size(), MSG_NOSIGNAL);
  std::string response;
  char bytes[4096];
  ssize_t size;
  while ((size = recv(fd, bytes, sizeof(bytes), 0)) > 0) response.append(bytes, static_cast<size_t>(size));
  close(fd);
  return response;
}

bool AwaitRefused(const SocketAddress& address) {
  const absl::Time deadline = absl::Now() + kTestPatience;
  while (absl::Now() < deadline) {
    const int fd = Connect(address);
    if (fd < 0) return true;
    close(fd);
    poll(nullptr, 0, 5);
  }
  return false;
}

}  // namespace lanyard
