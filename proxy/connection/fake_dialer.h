// A dialer whose connections end in the test's hands.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "proxy/connection/dialer.h"
#include "proxy/io/fake_stream.h"

namespace lanyard {

class FakeDialer : public Dialer {
 public:
  explicit FakeDialer(EventLoop* loop) : loop_(loop) {}

  std::unique_ptr<Stream> Dial(const SocketAddress& destination, uint8_t hops) override {
    auto [near, far] = FakeStream::Pair(loop_);
    near->faults() = next_faults;
    dialled.push_back(destination);
    last_hops = hops;
    last = near.get();
    answerers.push_back(std::move(far));
    return std::move(near);
  }

  std::unique_ptr<Stream> DialFrom(const SocketAddress& source, const SocketAddress& destination,
                                   uint8_t hops) override {
    sources.push_back(source);
    return Dial(destination, hops);
  }

  FakeStream::Faults next_faults;                       // of the proxy's end
  std::vector<SocketAddress> dialled;
  std::vector<SocketAddress> sources;                   // of those that had to have one
  FakeStream* last = nullptr;                           // the proxy's end of the newest
  uint8_t last_hops = 0;                                // likewise
  std::vector<std::unique_ptr<FakeStream>> answerers;   // the other ends

 private:
  EventLoop* loop_;
};

}  // namespace lanyard
