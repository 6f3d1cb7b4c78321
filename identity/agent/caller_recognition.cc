#include "identity/agent/caller_recognition.h"

#include <optional>
#include <utility>

namespace lanyard {

CallerRecognition::CallerRecognition(ProcessInfo& processes, Options options)
    : processes_(processes),
      looking_(options.max_waiting, options.max_waiting_of_uid),
      hashing_(options.max_waiting, options.max_waiting_of_uid) {
  for (int i = 0; i < options.threads; ++i) {
    threads_.emplace_back([this] { Run(looking_, &CallerRecognition::Look); });
  }
  for (int i = 0; i < options.hashing_threads; ++i) {
    threads_.emplace_back([this] { Run(hashing_, &CallerRecognition::Hash); });
  }
}

CallerRecognition::~CallerRecognition() {
  looking_.Stop();
  hashing_.Stop();
  for (std::thread& thread : threads_) thread.join();
}

bool CallerRecognition::Submit(std::shared_ptr<const LocalPeer> peer, std::weak_ptr<const void> wanted,
                               WantsHash wants_hash, Done done) {
  const uid_t uid = peer->uid();
  return looking_.Add(uid, Job{std::move(peer), std::move(wanted), std::move(wants_hash), std::move(done), {}});
}

void CallerRecognition::Run(FairQueue<Job>& queue, void (CallerRecognition::*step)(Job)) {
  while (auto taken = queue.Take()) {
    if (!taken->second.wanted.expired()) (this->*step)(std::move(taken->second));
    queue.Done(taken->first);
  }
}

void CallerRecognition::Look(Job job) {
  absl::StatusOr<SelectorSet> selectors = RecognizeCaller(*job.peer, processes_, &job.caller.unknown);
  if (!selectors.ok()) return job.done(selectors.status());
  job.caller.selectors = *std::move(selectors);
  if (!job.wants_hash(job.caller.selectors)) return job.done(std::move(job.caller));
  const uid_t uid = job.peer->uid();
  const Done done = job.done;
  if (!hashing_.Add(uid, std::move(job))) done(absl::UnavailableError("too many callers at once; try again"));
}

void CallerRecognition::Hash(Job job) {
  const absl::Status hashed = AddSha256(*job.peer, processes_, job.caller.selectors, &job.caller.unknown);
  if (!hashed.ok()) return job.done(hashed);
  job.caller.hashed = true;
  job.done(std::move(job.caller));
}

}  // namespace lanyard
