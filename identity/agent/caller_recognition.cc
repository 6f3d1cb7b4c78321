#include "identity/agent/caller_recognition.h"

#include <utility>

namespace lanyard {

CallerRecognition::CallerRecognition(ProcessInfo& processes, int threads, size_t max_waiting)
    : processes_(processes), max_waiting_(max_waiting) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

CallerRecognition::~CallerRecognition() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  for (std::thread& thread : threads_) thread.join();
}

bool CallerRecognition::Submit(std::shared_ptr<const LocalPeer> peer, bool wants_sha256, Done done) {
  absl::MutexLock lock(&mutex_);
  if (waiting_.size() >= max_waiting_) return false;
  waiting_.push_back({std::move(peer), wants_sha256, std::move(done)});
  return true;
}

void CallerRecognition::Run() {
  const auto work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !waiting_.empty(); };
  for (;;) {
    Job job;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&work));
      if (stopping_) return;
      job = std::move(waiting_.front());
      waiting_.pop_front();
    }
    job.done(RecognizeCaller(*job.peer, processes_, job.wants_sha256));
  }
}

}  // namespace lanyard
