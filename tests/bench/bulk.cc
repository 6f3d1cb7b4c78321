#include <algorithm>
#include <cstdio>
#include <vector>

#include "tests/bench/load.h"
#include "tests/bench/wire.h"

namespace lanyard::bench {
namespace {

// One connection that speaks frames, driven as if it were blocking.
class FrameClient {
 public:
  explicit FrameClient(const LoadOptions& options)
      : deadline_ns_(NowNs() + static_cast<uint64_t>(options.timeout_s * 1e9)),
        fd_(Connect(options.target)),
        scratch_(kChunkBytes) {
    poller_.Add(fd_.get(), 0);
    Send({&kFrames, 1});
    SinkBytes(0);  // an answer: the whole way stands
  }

  void SinkBytes(uint64_t count) {
    SendFrame(kSink, count);
    for (uint64_t left = count; left > 0;) {
      const size_t part = std::min<uint64_t>(left, kChunkBytes);
      Send({scratch_.data(), part});
      left -= part;
    }
    char answer[kCountBytes];
    for (size_t have = 0; have < kCountBytes;) have += Receive({answer + have, kCountBytes - have});
    if (GetCount(answer) != count) Die("the server did not receive what was sent");
  }

  void SourceBytes(uint64_t count) {
    SendFrame(kSource, count);
    for (uint64_t left = count; left > 0;) left -= Receive({scratch_.data(), std::min<uint64_t>(left, kChunkBytes)});
  }

 private:
  void SendFrame(char kind, uint64_t count) {
    char frame[kFrameBytes] = {kind};
    PutCount(frame + 1, count);
    Send(frame);
  }

  void Send(std::span<const char> bytes) {
    while (!bytes.empty()) {
      size_t done = 0;
      const Io io = WriteSome(fd_.get(), bytes, done);
      if (io == Io::kWait) poller_.Wait(deadline_ns_);
      if (io == Io::kClosed || io == Io::kError) Die("the connection was closed while sending");
      bytes = bytes.subspan(done);
    }
  }

  size_t Receive(std::span<char> buffer) {
    for (;;) {
      size_t done = 0;
      const Io io = ReadSome(fd_.get(), buffer, done);
      if (io == Io::kProgress) return done;
      if (io != Io::kWait) Die("the connection was closed while receiving");
      poller_.Wait(deadline_ns_);
    }
  }

  uint64_t deadline_ns_;
  Fd fd_;
  Poller poller_;
  std::vector<char> scratch_;
};

template <typename Work>
void RunBulk(const LoadOptions& options, Work work) {
  FrameClient client(options);
  Ready();
  const uint64_t begin_ns = NowNs();
  work(client);
  char text[128];
  snprintf(text, sizeof text, "{\"bytes\": %llu, \"seconds\": %.6f}",
           static_cast<unsigned long long>(options.total_bytes), static_cast<double>(NowNs() - begin_ns) / 1e9);
  Report(text);
}

}  // namespace

void RunBulkUp(const LoadOptions& options) {
  RunBulk(options, [&](FrameClient& client) { client.SinkBytes(options.total_bytes); });
}

void RunBulkDown(const LoadOptions& options) {
  RunBulk(options, [&](FrameClient& client) { client.SourceBytes(options.total_bytes); });
}

}  // namespace lanyard::bench
