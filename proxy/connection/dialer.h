// How a connection reaches its destination: the seam between its life and the network.
#pragma once

#include <cstdint>
#include <memory>

#include "proxy/io/event_loop.h"
#include "proxy/io/tcp_stream.h"

namespace lanyard {

class Dialer {
 public:
  virtual ~Dialer() = default;
  // Never null; what fails is told by the stream's Open. `hops`: as OwnSockets counts them.
  virtual std::unique_ptr<Stream> Dial(const SocketAddress& destination, uint8_t hops) = 0;
  // From the address of `source`, whoever's it is, with a port that the kernel chooses.
  virtual std::unique_ptr<Stream> DialFrom(const SocketAddress& source, const SocketAddress& destination,
                                           uint8_t hops) = 0;
};

class TcpDialer : public Dialer {
 public:
  TcpDialer(EventLoop* loop, OwnSockets* own) : loop_(loop), own_(own) {}
  std::unique_ptr<Stream> Dial(const SocketAddress& destination, uint8_t hops) override {
    return TcpStream::Dialling(loop_, destination, own_, hops);
  }
  std::unique_ptr<Stream> DialFrom(const SocketAddress& source, const SocketAddress& destination,
                                   uint8_t hops) override {
    return TcpStream::DiallingFrom(loop_, source, destination, own_, hops);
  }

 private:
  EventLoop* loop_;
  OwnSockets* own_;
};

}  // namespace lanyard
