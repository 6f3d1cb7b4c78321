// Moves bytes between an outer connection and gRPC's inner socket, both ways, within bounded
// buffers: who reads slowly stops the other from sending. Private to identity/channel.
#pragma once

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "identity/base/descriptor.h"
#include "identity/channel/event_loop.h"
#include "identity/channel/stream_limit.h"
#include "identity/channel/transport.h"

namespace lanyard {

// Lives on the loop's thread, from construction to destruction, which closes both sides.
class Relay final : private EventLoop::Handler {
 public:
  static constexpr size_t kBufferSizeBytes = 64 << 10;   // a direction; none is held while it is empty
  // How long what is left may take to flow off once one side has ended.
  static constexpr absl::Duration kLinger = absl::Seconds(10);

  // `on_end` runs once, as the last thing the relay does, and may destroy it. `streams`: what the outer side, a client,
  // may ask for; beyond that the relay ends with ResourceExhausted. Null: as much as it likes.
  Relay(EventLoop& loop, std::unique_ptr<Transport> outer, Descriptor inner,
        std::function<void(const absl::Status&)> on_end, std::unique_ptr<StreamLimit> streams = nullptr);
  ~Relay();

  void Start();

  const Transport& outer() const { return *outer_; }

 private:
  struct Flow {
    std::unique_ptr<char[]> buffer;
    size_t begin = 0, end = 0;
    bool source_ended = false, sink_closed = false;
    bool empty() const { return begin == end; }
    bool full() const { return end == kBufferSizeBytes; }
  };
  struct Interest {
    uint32_t outer = 0, inner = 0;
  };

  void OnReady(uint32_t events) override;
  // One step of each kind; true if anything moved. Adds what it waits for to `interest`.
  bool MoveInward(Interest& interest);
  bool MoveOutward(Interest& interest);
  bool Took(Flow& flow, const IoResult& result, uint32_t& interest);
  bool Gave(Flow& flow, const IoResult& result, uint32_t& interest);
  absl::Span<char> RoomIn(Flow& flow);
  absl::Span<const char> DataOf(const Flow& flow) const;
  void Watch(const Interest& interest);
  bool WatchOne(int fd, uint32_t old_events, uint32_t new_events);
  void Count(const Flow& flow, absl::Span<const char> bytes);
  void Fail(absl::Status status);
  void StartLinger();

  EventLoop& loop_;
  const std::unique_ptr<Transport> outer_;
  const Descriptor inner_;
  std::function<void(const absl::Status&)> on_end_;
  const std::unique_ptr<StreamLimit> streams_;
  Flow inward_, outward_;
  Interest watched_;
  EventLoop::TimerId again_ = {}, linger_ = {};
  bool lingering_ = false;
  bool ended_ = false;
  absl::Status status_;
};

}  // namespace lanyard
