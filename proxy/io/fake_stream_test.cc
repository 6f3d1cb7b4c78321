#include "proxy/io/fake_stream.h"

#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "proxy/io/fake_poller.h"
#include "proxy/io/stream_contract_testing.h"

namespace lanyard {
namespace {

class FakeHarness : public StreamHarness {
 public:
  explicit FakeHarness(FakeStream::Faults faults) : faults_(faults) {}
  EventLoop* loop() override { return loop_.get(); }
  StreamEnds Connect() override {
    auto [left, right] = FakeStream::Pair(loop_.get());
    left->faults() = right->faults() = faults_;
    return {std::move(left), std::move(right)};
  }

 private:
  FakeStream::Faults faults_;
  FakeClock clock_;
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(std::make_unique<FakePoller>(&clock_), &clock_).value();
};

std::unique_ptr<StreamHarness> Plain() { return std::make_unique<FakeHarness>(FakeStream::Faults{}); }
std::unique_ptr<StreamHarness> ShortReadsAndWrites() {
  FakeStream::Faults faults;
  faults.most_read = 20011;
  faults.most_write = 17011;
  return std::make_unique<FakeHarness>(faults);
}

INSTANTIATE_TEST_SUITE_P(Fake, StreamContract, testing::Values(Plain, ShortReadsAndWrites));

}  // namespace
}  // namespace lanyard
