// Plain TCP for tests of whole proxies: a server that sends back what it gets, a client that checks it, and one
// HTTP request. Everything waits at most kTestPatience.
#pragma once

#include <string>
#include <thread>
#include <vector>

#include "proxy/io/address.h"

namespace lanyard {

// Serves until destroyed, a thread a connection.
class EchoServer {
 public:
  EchoServer();
  ~EchoServer();
  const SocketAddress& address() const { return address_; }

 private:
  void Serve();

  int fd_;
  SocketAddress address_;
  std::vector<std::thread> connections_;  // the acceptor's
  std::thread acceptor_;                  // last: it uses what stands above
};

// One connection to `address`.
class EchoClient {
 public:
  explicit EchoClient(const SocketAddress& address);
  ~EchoClient() { Close(); }
  EchoClient(const EchoClient&) = delete;

  // Sends `text` and receives the same.
  bool Echoes(const std::string& text);
  void Close();

 private:
  int fd_;
};

// The whole answer to GET `path`; "" when there is none.
std::string HttpGet(const SocketAddress& address, const std::string& path);

// Waits until nobody listens on `address` any more.
bool AwaitRefused(const SocketAddress& address);

}  // namespace lanyard
