#include "proxy/connection/move_line.h"

#include <poll.h>
#include <sys/epoll.h>

#include "identity/base/logging.h"

namespace lanyard {

MoveLine::Waiting::Waiting(std::string words, UniqueFd descriptor, Count count)
    : text(std::move(words)), fd(std::move(descriptor)), queued(std::move(count)) {
  queued->fetch_add(1, std::memory_order_relaxed);
}

MoveLine::Waiting::~Waiting() { queued->fetch_sub(1, std::memory_order_relaxed); }

MoveLine::MoveLine(WorkerContext* context, Side side, MoveLine* (*of)(WorkerContext&), Events events)
    : context_(context),
      side_(side),
      of_(of),
      events_(std::move(events)),
      again_(context->loop, [this] { OnIo(0); }),
      closed_(context->loop, [this] { events_.on_closed(); }) {}

MoveLine::~MoveLine() {
  if (passage_ != nullptr) context_->loop->Unwatch(passage_->fd(), this);
}

void MoveLine::Open(UniqueFd passage) {
  if (ended_) return;
  if (passage_ != nullptr) Close("another process has taken its place");
  passage_ = std::make_unique<Passage>(std::move(passage));
  const absl::Status watched = context_->loop->Watch(passage_->fd(), EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, this);
  if (!watched.ok()) {
    passage_.reset();
    Log(LogLevel::kWarning, "no stream can move to or from the other process", {{"error", watched}});
    return;
  }
  const auto queued = std::make_shared<std::atomic<size_t>>(0);
  for (uint64_t worker = 0; worker < context_->workers; ++worker) {
    At(worker, [queued](MoveLine& line) { line.Opened(queued); });
  }
}

void MoveLine::Opened(Count queued) {
  if (ended_) return;
  queued_ = std::move(queued);
  open_ = true;
  if (events_.on_open) events_.on_open();
}

// Later, because whoever sends may be in the middle of a list of streams.
void MoveLine::Closed() {
  if (std::exchange(open_, false)) closed_.Start(absl::ZeroDuration());
}

void MoveLine::Stop() {
  ended_ = true;
  open_ = false;
  closed_.Stop();
  if (passage_ != nullptr) Close("this process ends");
}

void MoveLine::At(uint64_t worker, std::function<void(MoveLine&)> task) {
  if (worker == static_cast<uint64_t>(context_->worker) || context_->post_to == nullptr) return task(*this);
  context_->post_to(static_cast<uint32_t>(worker),
                    [of = of_, task = std::move(task)](WorkerContext& context) { task(*of(context)); });
}

bool MoveLine::Send(const MoveMessage& message, UniqueFd fd) {
  if (!open_) return true;
  if (message.kind == MoveKind::kOffer && queued() >= kMaxQueued) return false;
  std::string text = EncodeMove(message);
  if (text.size() > Passage::kMaxMessageBytes) return false;
  At(0, [waiting = std::make_shared<const Waiting>(std::move(text), std::move(fd), queued_)](MoveLine& first) {
    first.Queue(waiting);
  });
  return true;
}

// What was said in an earlier conversation is not said in this one.
void MoveLine::Queue(std::shared_ptr<const Waiting> message) {
  if (passage_ == nullptr || message->queued != queued_) return;
  if (!message->fd.valid() && queue_.size() >= kMaxQueued) return GiveUp();
  queue_.push_back(std::move(message));
  Write();
}

// Whoever has left has nobody here any more: his socket goes out as soon as it is taken.
void MoveLine::GiveUp() {
  Log(LogLevel::kWarning, "no more streams move to or from the other process", {{"why", "it does not read"}});
  std::erase_if(queue_, [](const std::shared_ptr<const Waiting>& each) { return !each->fd.valid(); });
  TellClosed();
}

// EPOLLOUT tells of room, but not of memory or of descriptors that are on their way.
void MoveLine::Write() {
  while (passage_ != nullptr && !queue_.empty()) {
    const absl::Status sent = passage_->TrySend(queue_.front()->text, queue_.front()->fd.get());
    if (absl::IsResourceExhausted(sent)) {
      if (!again_.running()) again_.Start(kRetryPause);
      return;
    }
    // The other process has ended, and what it had handed over before is still to be read.
    if (absl::IsUnavailable(sent)) {
      queue_.clear();
      return again_.Start(absl::ZeroDuration());
    }
    queue_.pop_front();
  }
}

void MoveLine::Flush() {
  const absl::Duration end = context_->loop->clock().Monotonic() + Passage::kSendTimeout;
  while (passage_ != nullptr && !queue_.empty() && context_->loop->clock().Monotonic() < end) {
    const absl::Status sent = passage_->TrySend(queue_.front()->text, queue_.front()->fd.get());
    if (absl::IsResourceExhausted(sent)) {
      poll(nullptr, 0, static_cast<int>(absl::ToInt64Milliseconds(kRetryPause)));
      continue;
    }
    if (!sent.ok()) return;
    queue_.pop_front();
  }
}

void MoveLine::OnIo(uint32_t) {
  Write();
  Read();
}

void MoveLine::Read() {
  for (int share = kMessagesPerTurn; passage_ != nullptr; --share) {
    if (share == 0) return again_.Start(absl::ZeroDuration());
    absl::StatusOr<Passage::Message> received = passage_->Receive(absl::ZeroDuration());
    if (absl::IsDeadlineExceeded(received.status())) return;
    if (!received.ok()) return Close(received.status().message());
    absl::StatusOr<MoveMessage> message = ParseMove(received->text);
    if (!message.ok()) return Close(message.status().message());
    const uint64_t id = message->id;
    auto fd = std::make_shared<UniqueFd>(std::move(received->fd));
    At(side_ == Side::kBefore ? WorkerBefore(id) : WorkerNext(id, context_->workers),
       [message = *std::move(message), fd](MoveLine& line) {
         if (line.open_) line.events_.on_message(message, std::move(*fd));
       });
  }
}

void MoveLine::Close(absl::string_view why) {
  Log(LogLevel::kDebug, "no more streams move to or from the other process", {{"why", why}});
  again_.Stop();
  context_->loop->Unwatch(passage_->fd(), this);
  passage_.reset();
  queue_.clear();
  TellClosed();
}

void MoveLine::TellClosed() {
  for (uint64_t worker = 0; worker < context_->workers; ++worker) At(worker, [](MoveLine& line) { line.Closed(); });
}

}  // namespace lanyard
