// Work of many users, in turns: who has much waiting holds up nobody else.
#pragma once

#include <sys/types.h>

#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace lanyard {

// Thread-safe. At most one job of a user is under way at once.
template <typename Job>
class FairQueue {
 public:
  FairQueue(size_t max_waiting, size_t max_waiting_of_user)
      : max_waiting_(max_waiting), max_waiting_of_user_(max_waiting_of_user) {}

  // False, and nothing happens, when too many wait, in all or of this user.
  bool Add(uid_t uid, Job job) {
    absl::MutexLock lock(&mutex_);
    const auto user = users_.find(uid);
    const size_t of_user = user == users_.end() ? 0 : user->second.waiting.size();
    if (waiting_ >= max_waiting_ || of_user >= max_waiting_of_user_) return false;
    User& of = users_[uid];
    of.waiting.push_back(std::move(job));
    ++waiting_;
    if (!of.busy && of_user == 0) turns_.push_back(uid);
    return true;
  }

  // The oldest job of the user whose turn it is; waits for one. To be followed by Done. Nothing after Stop.
  std::optional<std::pair<uid_t, Job>> Take() {
    absl::MutexLock lock(&mutex_);
    const auto work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || !turns_.empty(); };
    mutex_.Await(absl::Condition(&work));
    if (stopping_) return std::nullopt;
    const uid_t uid = turns_.front();
    turns_.pop_front();
    User& user = users_.at(uid);
    std::pair<uid_t, Job> taken(uid, std::move(user.waiting.front()));
    user.waiting.pop_front();
    --waiting_;
    user.busy = true;
    return taken;
  }

  void Done(uid_t uid) {
    absl::MutexLock lock(&mutex_);
    const auto user = users_.find(uid);
    user->second.busy = false;
    if (user->second.waiting.empty()) {
      users_.erase(user);
    } else {
      turns_.push_back(uid);
    }
  }

  void Stop() {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }

 private:
  struct User {
    std::deque<Job> waiting;
    bool busy = false;
  };
  const size_t max_waiting_, max_waiting_of_user_;
  absl::Mutex mutex_;
  std::map<uid_t, User> users_ ABSL_GUARDED_BY(mutex_);  // with a job, waiting or under way
  std::deque<uid_t> turns_ ABSL_GUARDED_BY(mutex_);      // with one waiting and none under way
  size_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace lanyard
