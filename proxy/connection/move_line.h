// One worker's end of the conversation with another process of this proxy, about streams that move (move_message.h).
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "proxy/connection/move_message.h"
#include "proxy/connection/worker_context.h"
#include "proxy/io/event_loop.h"
#include "proxy/io/passage.h"

namespace lanyard {

// The passage is on the first worker's loop, which sends for the others and passes on to them what comes. For the
// worker's thread.
class MoveLine : private IoHandler {
 public:
  // Read in one turn at most.
  static constexpr int kMessagesPerTurn = 64;
  // Waiting to be sent, of all workers: then there is no room for offers, and where the rest has none either the other
  // process is given up, as it does not read. No stream moves any more then, but those that have left (a descriptor is
  // their application's) are told all the same, however many they are.
  static constexpr size_t kMaxQueued = 65536;
  // Before a message is tried again that the kernel did not take.
  static constexpr absl::Duration kRetryPause = absl::Milliseconds(10);

  // Which process this one is: that says for which of its workers a message is.
  enum class Side : uint8_t { kBefore, kNext };
  struct Events {
    // The descriptor may be invalid.
    std::function<void(const MoveMessage&, UniqueFd)> on_message;
    std::function<void()> on_open = {};
    std::function<void()> on_closed;  // in a later turn
  };
  // `of` finds this line in another worker's context.
  MoveLine(WorkerContext* context, Side side, MoveLine* (*of)(WorkerContext&), Events events);
  ~MoveLine();

  // At the first worker: opens the lines of all of them. The end of a Passage; instead of an earlier one.
  void Open(UniqueFd passage);
  bool open() const { return open_; }
  // Nothing happens where it is not open. False: the message is too long, or an offer for which there is no room, and
  // is not sent.
  bool Send(const MoveMessage& message, UniqueFd fd = UniqueFd());
  // Messages of all workers that wait; while it is not open none do.
  size_t queued() const { return queued_ == nullptr ? 0 : queued_->load(std::memory_order_relaxed); }
  // At the first worker, which ends after the others: waits for what was sent to be taken, for a bounded time.
  void Flush();
  // This worker ends: nothing comes here any more, and no line is opened. At the first worker that closes all of them.
  void Stop();

 private:
  using Count = std::shared_ptr<std::atomic<size_t>>;
  // Counted while it waits, with its worker or with the first.
  struct Waiting {
    Waiting(std::string words, UniqueFd descriptor, Count count);
    ~Waiting();
    const std::string text;
    const UniqueFd fd;
    const Count queued;
  };

  void OnIo(uint32_t events) override;
  void Opened(Count queued);
  void Closed();
  void At(uint64_t worker, std::function<void(MoveLine&)> task);
  void Queue(std::shared_ptr<const Waiting> message);
  void GiveUp();
  void TellClosed();
  void Write();
  void Read();
  void Close(absl::string_view why);

  WorkerContext* context_;
  const Side side_;
  MoveLine* (*of_)(WorkerContext&);
  Events events_;
  bool open_ = false;
  bool ended_ = false;
  Count queued_;                      // of this conversation, shared by the workers
  std::unique_ptr<Passage> passage_;  // at the first worker
  std::deque<std::shared_ptr<const Waiting>> queue_;
  Timer again_;
  Timer closed_;
};

}  // namespace lanyard
