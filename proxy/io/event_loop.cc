#include "proxy/io/event_loop.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace lanyard {

// Wakes the loop from another thread.
class EventLoop::Doorbell : public IoHandler {
 public:
  explicit Doorbell(UniqueFd fd) : fd_(std::move(fd)) {}
  int fd() const { return fd_.get(); }
  void Ring() const { eventfd_write(fd_.get(), 1); }
  void OnIo(uint32_t) override {
    eventfd_t count = 0;
    eventfd_read(fd_.get(), &count);
  }

 private:
  UniqueFd fd_;
};

EventLoop::EventLoop(std::unique_ptr<Poller> poller, const Clock* clock)
    : poller_(std::move(poller)), clock_(clock), now_(clock->Monotonic()), batch_(kEventsPerTurn) {}

EventLoop::~EventLoop() {
  for (Timer* timer : timers_) timer->heap_index_ = Timer::kIdle;
}

absl::StatusOr<std::unique_ptr<EventLoop>> EventLoop::Create(std::unique_ptr<Poller> poller, const Clock* clock) {
  std::unique_ptr<EventLoop> loop(new EventLoop(std::move(poller), clock));
  UniqueFd fd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!fd.valid()) return absl::ErrnoToStatus(errno, "no eventfd could be made; raise the descriptor limit");
  loop->doorbell_ = std::make_unique<Doorbell>(std::move(fd));
  absl::Status watched = loop->Watch(loop->doorbell_->fd(), EPOLLIN, loop->doorbell_.get());
  if (!watched.ok()) return watched;
  return loop;
}

void EventLoop::Unwatch(int fd, IoHandler* handler) {
  poller_->Remove(fd);
  for (size_t i = 0; i < batch_size_; ++i) {
    if (batch_[i].handler == handler) batch_[i].handler = nullptr;
  }
}

void EventLoop::Post(std::function<void()> task) {
  bool first = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    first = posted_.empty();
    posted_.push_back(std::move(task));
    has_posted_.store(true, std::memory_order_release);
  }
  if (first) doorbell_->Ring();
}

void EventLoop::Run() {
  while (!stopped_) RunOnce(absl::InfiniteDuration());
}

void EventLoop::RunOnce(absl::Duration max_wait) {
  if (!timers_.empty()) max_wait = std::min(max_wait, timers_.front()->deadline_ - clock_->Monotonic());
  if (has_posted_.load(std::memory_order_acquire)) max_wait = absl::ZeroDuration();
  batch_size_ = poller_->Wait(absl::MakeSpan(batch_), max_wait);
  now_ = clock_->Monotonic();
  for (size_t i = 0; i < batch_size_; ++i) {
    if (batch_[i].handler != nullptr) batch_[i].handler->OnIo(batch_[i].events);
  }
  batch_size_ = 0;
  RunTimers();
  if (has_posted_.load(std::memory_order_acquire)) RunPosted();
  // A destructor may dispose of more.
  while (!disposed_.empty()) std::exchange(disposed_, {}).clear();
}

void EventLoop::RunTimers() {
  // What is started from here on waits for the next turn, or a timer of zero would hold this one for ever.
  const uint64_t first_new = next_sequence_;
  while (!timers_.empty()) {
    Timer* timer = timers_.front();
    if (timer->deadline_ > now_ || timer->sequence_ >= first_new) return;
    RemoveTimer(timer);
    timer->callback_();
  }
}

void EventLoop::RunPosted() {
  std::vector<std::function<void()>> tasks;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    tasks.swap(posted_);
    has_posted_.store(false, std::memory_order_release);
  }
  for (auto& task : tasks) task();
}

void Timer::Start(absl::Duration after) {
  Stop();
  deadline_ = loop_->now() + std::max(after, absl::ZeroDuration());
  loop_->InsertTimer(this);
}

void Timer::Stop() {
  if (running()) loop_->RemoveTimer(this);
}

void EventLoop::InsertTimer(Timer* timer) {
  timer->sequence_ = next_sequence_++;
  timers_.push_back(timer);
  timer->heap_index_ = timers_.size() - 1;
  SiftUp(timer->heap_index_);
}

void EventLoop::RemoveTimer(Timer* timer) {
  const size_t index = timer->heap_index_;
  Timer* last = timers_.back();
  timers_.pop_back();
  timer->heap_index_ = Timer::kIdle;
  if (last == timer) return;
  Place(index, last);
  SiftUp(index);
  SiftDown(last->heap_index_);
}

void EventLoop::Place(size_t index, Timer* timer) {
  timers_[index] = timer;
  timer->heap_index_ = index;
}

void EventLoop::SiftUp(size_t index) {
  Timer* timer = timers_[index];
  for (; index > 0 && timer->Before(*timers_[(index - 1) / 2]); index = (index - 1) / 2) {
    Place(index, timers_[(index - 1) / 2]);
  }
  Place(index, timer);
}

void EventLoop::SiftDown(size_t index) {
  Timer* timer = timers_[index];
  for (;;) {
    size_t child = 2 * index + 1;
    if (child >= timers_.size()) break;
    if (child + 1 < timers_.size() && timers_[child + 1]->Before(*timers_[child])) ++child;
    if (!timers_[child]->Before(*timer)) break;
    Place(index, timers_[child]);
    index = child;
  }
  Place(index, timer);
}

}  // namespace lanyard
