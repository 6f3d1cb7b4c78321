// Carries bytes both ways between two open streams until both have finished.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/time/time.h"
#include "proxy/connection/buffer_budget.h"
#include "proxy/connection/stream_deadline.h"
#include "proxy/io/buffer_pool.h"
#include "proxy/io/event_loop.h"
#include "proxy/io/stream.h"

namespace lanyard {

enum class RelayState {
  kRunning,
  kFinished,     // each side ended, and the other was told after its last byte
  kNearFailed,   // the stream's error() says why
  kFarFailed,
};

// `near` is the side that was accepted, `far` the one that was dialled. A direction reads only when
// what it read before is written: a slow reader slows its writer, and at most `buffer_bytes` wait in
// between (beside what a TLS stream holds: one block each way), or less when the worker's budget is used up. Blocks are
// borrowed only while they hold bytes.
class Relay {
 public:
  // One direction moves at most this many buffers in a turn, so that one flow does not starve the others.
  static constexpr int kBuffersPerTurn = 4;

  // Streams are borrowed, and observed from now on. `step` is called when either is ready, and in a later turn when
  // this one's share was used up; it is to call Pump, and the relay outlives it.
  Relay(EventLoop* loop, BufferPool* pool, BufferBudget* budget, size_t buffer_bytes, Stream* near, Stream* far,
        std::function<void()> step);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  // Bytes of `near` that were read before; first to be written to `far`.
  void Preload(Buffer& received) { forward_.buffer.Adopt(received); }
  // What `far` is told before them, whether `near` says anything or not; not counted as carried.
  void Preface(std::string header) { preface_ = std::move(header); }

  // Of a stream that goes on elsewhere. `from` is not read any more, or is again; what was read before is written.
  enum class Way { kForward, kBackward };  // near to far, far to near
  void Hold(Way way, bool held);
  // Everything that was read has been written.
  bool Empty(Way way) const { return Of(way).buffer.empty() && (way == Way::kBackward || preface_.empty()); }
  // It has ended, and `to` was told.
  bool Told(Way way) const { return Of(way).shut; }

  // Moves what can be moved. Call at first, and from `step`.
  RelayState Pump();

  uint64_t bytes_forward() const { return forward_.bytes; }    // near to far, written
  uint64_t bytes_backward() const { return backward_.bytes; }
  absl::Duration last_activity() const { return times_.last_activity; }  // monotonic
  const StreamTimes& times() const { return times_; }
  // It was begun, and has carried bytes, in another process.
  void Resumed() { times_.carried_bytes = true; }

 private:
  // Hears when the stream that it reads from is ready; nothing is read before that.
  struct Direction final : StreamObserver {
    Direction(Relay* of, Stream* source, Stream* sink, BufferPool* pool, size_t buffer_bytes)
        : relay(of), from(source), to(sink), buffer(pool, buffer_bytes) {
      from->set_observer(this);
    }
    void OnReady() override {
      readable = true;
      relay->step_();
    }
    bool HasWork() const { return readable || !buffer.empty() || (ended && !shut); }

    Relay* relay;
    Stream* from;
    Stream* to;
    Buffer buffer;
    bool readable = true;
    bool ended = false;  // `from` has
    bool shut = false;   // `to` was told
    bool held = false;
    size_t held_bytes = 0;  // as the budget knows it
    uint64_t bytes = 0;
  };
  const Direction& Of(Way way) const { return way == Way::kForward ? forward_ : backward_; }
  enum class Moved { kAll, kFromFailed, kToFailed };
  Moved Move(Direction& direction);
  Moved MoveBytes(Direction& direction);
  // False when `to` failed.
  bool WriteOut(Direction& direction);
  // False when `far` failed.
  bool WritePreface();

  EventLoop* loop_;
  BufferBudget* budget_;
  std::function<void()> step_;
  Timer again_;
  std::string preface_;  // what is left of it
  Direction forward_;
  Direction backward_;
  StreamTimes times_;
};

}  // namespace lanyard
