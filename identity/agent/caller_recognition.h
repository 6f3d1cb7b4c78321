// Recognises callers on threads of its own: reading /proc, a user database or a large binary may take long. Binaries
// are hashed on others than the rest is done on, and users take turns: who runs a large binary that changes all the
// time holds up itself alone.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "identity/agent/caller.h"
#include "identity/agent/fair_queue.h"

namespace lanyard {

// Thread-safe. Borrows `processes`.
class CallerRecognition {
 public:
  struct Options {
    int threads = 2;
    int hashing_threads = 2;
    size_t max_waiting = 2048;  // for each of the two
    size_t max_waiting_of_uid = 1024;
  };
  struct Caller {
    SelectorSet selectors;
    SelectorKinds unknown;  // could not be found out for the moment
    bool hashed = false;  // unix:sha256 is among them, if it could be found out
  };
  // Whether the hash of a caller with these selectors matters.
  using WantsHash = std::function<bool(const SelectorSet&)>;
  using Done = std::function<void(absl::StatusOr<Caller>)>;

  CallerRecognition(ProcessInfo& processes, Options options);
  ~CallerRecognition();  // finishes what is running, forgets what waits

  // Both functions run on one of the threads. `done` gets Unavailable when too many wait to be hashed, PermissionDenied
  // as RecognizeCaller says. Nothing is done, nor `done` called, once nobody holds `wanted` any more. False, and
  // nothing happens, when too many wait.
  bool Submit(std::shared_ptr<const LocalPeer> peer, std::weak_ptr<const void> wanted, WantsHash wants_hash, Done done);

 private:
  struct Job {
    std::shared_ptr<const LocalPeer> peer;
    std::weak_ptr<const void> wanted;
    WantsHash wants_hash;
    Done done;
    Caller caller;  // as far as it is known
  };
  void Run(FairQueue<Job>& queue, void (CallerRecognition::*step)(Job));
  void Look(Job job);
  void Hash(Job job);

  ProcessInfo& processes_;
  FairQueue<Job> looking_, hashing_;
  std::vector<std::thread> threads_;
};

}  // namespace lanyard
