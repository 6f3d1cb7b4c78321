#include "identity/channel/event_loop.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>

#include "absl/synchronization/notification.h"
#include "identity/base/clock.h"

namespace lanyard {
namespace {

constexpr int kEventsPerTurn = 128;

// A descriptor's number is reused; its generation is not, so that an event of a closed one is recognised.
uint64_t KeyOf(int fd, uint32_t generation) { return uint64_t{generation} << 32 | static_cast<uint32_t>(fd); }

bool Control(int epoll, int operation, int fd, uint32_t events, uint64_t key) {
  epoll_event event = {};
  event.events = events;
  event.data.u64 = key;
  return epoll_ctl(epoll, operation, fd, &event) == 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventLoop>> EventLoop::Start(const char* thread_name) {
  Descriptor epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return absl::ErrnoToStatus(errno, "cannot create an epoll descriptor");
  Descriptor wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid() || !Control(epoll.get(), EPOLL_CTL_ADD, wake.get(), EPOLLIN, KeyOf(wake.get(), 0))) {
    return absl::ErrnoToStatus(errno, "cannot create an event descriptor");
  }
  std::unique_ptr<EventLoop> loop(new EventLoop(std::move(epoll), std::move(wake)));
  loop->thread_ = std::thread([raw = loop.get()] { raw->Run(); });
  pthread_setname_np(loop->thread_.native_handle(), thread_name);
  return loop;
}

EventLoop::~EventLoop() { Stop(); }

void EventLoop::Post(std::function<void()> task) {
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) return;
    tasks_.push_back(std::move(task));
  }
  eventfd_write(wake_.get(), 1);
}

void EventLoop::RunAndWait(std::function<void()> task) {
  absl::Notification done;
  // Notified when the task is destroyed: after it ran, or unrun because of Stop.
  std::shared_ptr<void> notifier(nullptr, [&done](void*) { done.Notify(); });
  Post([task = std::move(task), notifier = std::move(notifier)] { task(); });
  done.WaitForNotification();
}

void EventLoop::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  eventfd_write(wake_.get(), 1);
  if (thread_.joinable()) thread_.join();
}

bool EventLoop::Watch(int fd, uint32_t events, Handler* handler) {
  const uint32_t generation = next_generation_++;
  if (!Control(epoll_.get(), EPOLL_CTL_ADD, fd, events, KeyOf(fd, generation))) return false;
  watched_[fd] = {generation, handler};
  return true;
}

void EventLoop::Change(int fd, uint32_t events) {
  const auto found = watched_.find(fd);
  if (found != watched_.end()) Control(epoll_.get(), EPOLL_CTL_MOD, fd, events, KeyOf(fd, found->second.generation));
}

void EventLoop::Forget(int fd) {
  if (watched_.erase(fd) != 0) Control(epoll_.get(), EPOLL_CTL_DEL, fd, 0, 0);
}

EventLoop::TimerId EventLoop::After(absl::Duration delay, std::function<void()> task) {
  const TimerId timer(Now() + std::max(delay, absl::ZeroDuration()), next_timer_++);
  timers_.emplace(timer, std::move(task));
  return timer;
}

void EventLoop::Cancel(TimerId timer) { timers_.erase(timer); }

absl::Duration EventLoop::Now() { return SystemClock().Monotonic(); }

int EventLoop::WaitTimeoutMs() const {
  if (timers_.empty()) return -1;
  const absl::Duration left = timers_.begin()->first.first - Now();
  // Rounded up, or the last millisecond would be spun away.
  return static_cast<int>(std::clamp<int64_t>(absl::ToInt64Milliseconds(left + absl::Microseconds(999)), 0, 60000));
}

void EventLoop::Run() {
  epoll_event events[kEventsPerTurn];
  while (RunTasks()) {
    RunTimers();
    const int count = epoll_wait(epoll_.get(), events, kEventsPerTurn, WaitTimeoutMs());
    for (int i = 0; i < count; ++i) Dispatch(events[i].data.u64, events[i].events);
  }
}

void EventLoop::Dispatch(uint64_t key, uint32_t events) {
  const int fd = static_cast<int>(static_cast<uint32_t>(key));
  if (fd == wake_.get()) {
    eventfd_t count;
    eventfd_read(fd, &count);
    return;
  }
  const auto found = watched_.find(fd);
  if (found != watched_.end() && found->second.generation == key >> 32) found->second.handler->OnReady(events);
}

bool EventLoop::RunTasks() {
  std::vector<std::function<void()>> tasks;
  {
    absl::MutexLock lock(&mutex_);
    tasks.swap(tasks_);
    // What was waiting is dropped, which also tells whoever waits for it.
    if (stopping_) return false;
  }
  for (auto& posted : tasks) {
    const std::function<void()> task = std::move(posted);
    task();
  }
  return true;
}

void EventLoop::RunTimers() {
  const absl::Duration now = Now();
  while (!timers_.empty() && timers_.begin()->first.first <= now) {
    auto timer = timers_.extract(timers_.begin());
    timer.mapped()();
  }
}

}  // namespace lanyard
