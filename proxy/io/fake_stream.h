// A stream in memory whose faults a test chooses.
#pragma once

#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include "proxy/io/event_loop.h"
#include "proxy/io/stream.h"

namespace lanyard {

// One end of a pair. Behaves as TCP does: bounded, in order, half-close, reset. Set its faults at any time;
// after lifting one call Wake.
class FakeStream : public Stream {
 public:
  struct Faults {
    size_t most_read = std::numeric_limits<size_t>::max();   // bytes a Read gives at most
    size_t most_write = std::numeric_limits<size_t>::max();  // bytes a Write takes at most
    bool stall_open = false;
    bool stall_reads = false;
    bool stall_writes = false;
    StreamError fail_open = StreamError::kNone;
    bool has_descriptor = false;  // ReleaseFd gives one, of a socket that nobody is at the other end of
  };

  // Each direction holds at most `capacity_bytes` unread bytes.
  static std::pair<std::unique_ptr<FakeStream>, std::unique_ptr<FakeStream>> Pair(EventLoop* loop,
                                                                                  size_t capacity_bytes = 65536);
  ~FakeStream() override;

  IoResult Open() override;
  IoResult Read(absl::Span<uint8_t> into) override;
  IoResult Write(absl::Span<const uint8_t> from) override;
  IoResult Flush() override;
  IoResult ShutdownWrite() override;
  void Reset() override;
  UniqueFd ReleaseFd() override;
  StreamError error() const override { return error_; }
  std::string error_text() const override { return std::string(StreamErrorName(error_)); }

  Faults& faults() { return faults_; }
  size_t unread_bytes() const { return in_->bytes.size(); }  // that came for this end
  void Wake() { ready_.Start(absl::ZeroDuration()); }

 private:
  // One direction.
  struct Pipe {
    std::string bytes;
    size_t capacity_bytes = 0;
    bool ended = false;
    bool reset = false;
    bool reader_gone = false;
    FakeStream* reader = nullptr;
    FakeStream* writer = nullptr;
  };

  FakeStream(EventLoop* loop, std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out);
  IoResult Fail(StreamError error);
  bool WasReset();

  Timer ready_;
  std::shared_ptr<Pipe> in_;
  std::shared_ptr<Pipe> out_;
  Faults faults_;
  StreamError error_ = StreamError::kNone;
};

}  // namespace lanyard
