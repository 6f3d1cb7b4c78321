// What every Stream must do. An implementation's test instantiates the suite:
//   INSTANTIATE_TEST_SUITE_P(Tcp, StreamContract, testing::Values(MakeTcpHarness));
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "proxy/io/event_loop.h"
#include "proxy/io/stream.h"

namespace lanyard {

struct StreamEnds {
  std::unique_ptr<Stream> left;
  std::unique_ptr<Stream> right;
};

// Makes connected ends on a loop of its own.
class StreamHarness {
 public:
  virtual ~StreamHarness() = default;
  virtual EventLoop* loop() = 0;
  virtual StreamEnds Connect() = 0;

  // Turns the loop until `done`, for a bounded number of turns; false if it never was.
  bool TurnUntil(const std::function<bool()>& done) {
    for (int turn = 0; turn < 20000; ++turn) {
      if (done()) return true;
      loop()->RunOnce(absl::Milliseconds(5));
    }
    return done();
  }
};

// Gathers everything that can be read from a stream.
class StreamReader {
 public:
  explicit StreamReader(Stream* stream) : stream_(stream) {}
  // Reads until it would block; true once the stream ended or failed.
  bool Drain();
  const std::string& bytes() const { return bytes_; }
  IoStatus last() const { return last_; }

 private:
  Stream* stream_;
  std::string bytes_;
  IoStatus last_ = IoStatus::kWouldBlock;
};

// Writes a text as the stream takes it.
class StreamWriter {
 public:
  StreamWriter(Stream* stream, std::string text) : stream_(stream), text_(std::move(text)) {}
  // True once all was taken and flushed.
  bool Push();

 private:
  Stream* stream_;
  std::string text_;
  size_t at_ = 0;
};

// Reproducible bytes without a period that a buffer's size could share.
std::string TestBytes(size_t size_bytes, uint32_t seed);

class StreamContract : public testing::TestWithParam<std::function<std::unique_ptr<StreamHarness>()>> {
 protected:
  void SetUp() override;
  void TearDown() override;
  bool OpenBoth();

  std::unique_ptr<StreamHarness> harness_;
  StreamEnds ends_;
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StreamContract);

}  // namespace lanyard
