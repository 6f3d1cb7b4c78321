// How a connection reaches its destination: the seam between its life and the network.
#pragma once

#include <memory>

#include "proxy/io/event_loop.h"
#include "proxy/io/tcp_stream.h"

namespace lanyard {

class Dialer {
 public:
  virtual ~Dialer() = default;
  // Never null; what fails is told by the stream's Open.
  virtual std::unique_ptr<Stream> Dial(const SocketAddress& destination) = 0;
  // From the address of `source`, whoever's it is, with a port that the kernel chooses.
  virtual std::unique_ptr<Stream> DialFrom(const SocketAddress& source, const SocketAddress& destination) = 0;
};

class TcpDialer : public Dialer {
 public:
  explicit TcpDialer(EventLoop* loop) : loop_(loop) {}
  std::unique_ptr<Stream> Dial(const SocketAddress& destination) override {
    return TcpStream::Dialling(loop_, destination);
  }
  std::unique_ptr<Stream> DialFrom(const SocketAddress& source, const SocketAddress& destination) override {
    return TcpStream::DiallingFrom(loop_, source, destination);
  }

 private:
  EventLoop* loop_;
};

}  // namespace lanyard
