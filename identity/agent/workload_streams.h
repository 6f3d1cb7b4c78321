// The open calls of the agent's socket, of the Workload API and of the mesh: who is at the other end, what each was
// sent last, and what is next. Knows no gRPC (workload_service.h and mesh_service.h do).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "identity/agent/caller_recognition.h"
#include "identity/agent/caller_watch.h"
#include "identity/agent/mesh_answer.h"
#include "identity/agent/workload_view.h"
#include "identity/base/clock.h"
#include "identity/channel/local_server.h"

namespace lanyard {

// What a call is sent: by its Kind one or the other.
struct StreamAnswer {
  std::optional<WorkloadAnswer> workload;  // kSvids, kBundles
  std::optional<MeshAnswer> mesh;          // kMesh
};

// One open call. Used by one thread at a time; neither function may block.
class WorkloadCall {
 public:
  virtual ~WorkloadCall() = default;
  // What was given before and is not sent yet may be left out.
  virtual void Send(std::shared_ptr<const StreamAnswer> answer) = 0;
  virtual void End(const absl::Status& status) = 0;  // nothing follows
};

// Thread-safe. One thread decides for all calls, woken by a change of the view, a caller's exit, or a deadline. A call
// ends with: Unavailable while there is no state yet, beyond a limit, when no SVID could be had in time, at Stop, and
// as RefusalOf says; PermissionDenied when no entry matches the caller (any more; kMesh: yet) or its process has
// exited.
class WorkloadStreams {
 public:
  enum class Kind { kSvids, kBundles, kMesh };
  struct Options {
    size_t max_streams = 8192;
    size_t max_streams_per_uid = 2048;
    // How long a call waits for an SVID that is being fetched; then it gets the others, or Unavailable. For one that
    // could not be had at the last try no call waits that has another.
    absl::Duration answer_timeout = absl::Seconds(10);
    CallerRecognition::Options recognition = {};
  };
  struct Stats {
    size_t open = 0;
    uint64_t refused_limit = 0;
    uint64_t answers_sent = 0;
  };

  // `view` as SvidCache::view; Changed must be called when it changes. Borrows processes and clock.
  static absl::StatusOr<std::unique_ptr<WorkloadStreams>> Start(
      Options options, std::function<std::shared_ptr<const WorkloadView>()> view, ProcessInfo& processes,
      const Clock& clock);
  ~WorkloadStreams();  // Stop

  // Unavailable beyond a limit. Otherwise the call is answered; Remove the number it returns when the call is gone.
  absl::StatusOr<uint64_t> Add(Kind kind, std::shared_ptr<const LocalPeer> peer, std::shared_ptr<WorkloadCall> call);
  void Remove(uint64_t id);
  // Which of its identities the caller of a kMesh shows: it is answered with the rules of that one. One that is not
  // its own is as if nothing had been said (MeshAnswerFor). One whose entry is gone since it had its rules keeps them
  // for as long as it is shown, as a caller does whose entries are all gone.
  void Shows(uint64_t id, SpiffeId spiffe_id);
  void Changed();
  void Stop();  // ends every call

  Stats stats() const;

 private:
  struct Stream {
    Kind kind;
    std::shared_ptr<const LocalPeer> peer;
    std::shared_ptr<WorkloadCall> call;
    std::shared_ptr<const void> wanted;     // gone when the stream is: nobody need be recognised any more
    bool recognizing = false;
    std::optional<SelectorSet> selectors;   // once the caller is recognised
    SelectorKinds unknown;                  // of the caller, as it was recognised last
    bool hashed = false;                    // its unix:sha256 was looked for
    std::optional<std::string> sent;        // version of the last answer of the Workload API
    std::optional<MeshAnswer> sent_mesh;    // the last one of the mesh
    std::optional<SpiffeId> shown = std::nullopt;   // as it said last
    bool outlived = false;                  // its entries, which is allowed for the mesh: MeshAnswerAfter
    std::set<std::string> logged;           // serials handed out
    absl::Duration deadline = absl::InfiniteDuration();
  };
  struct Recognized {
    uint64_t id;
    absl::StatusOr<CallerRecognition::Caller> caller;
  };

  WorkloadStreams(Options options, std::function<std::shared_ptr<const WorkloadView>()> view, ProcessInfo& processes,
                  const Clock& clock, std::unique_ptr<CallerWatch> watch);
  void Run();
  void TakeInbox();
  void Begin(uint64_t id, Stream stream);
  // False: it was ended, as too many wait.
  bool Recognize(uint64_t id, Stream& stream);
  void AnswerAll();
  void Answer(uint64_t id, Stream& stream);
  void AnswerMesh(uint64_t id, Stream& stream);
  void Deliver(Stream& stream, WorkloadAnswer answer);
  void Send(Stream& stream, StreamAnswer answer);
  void End(uint64_t id, const absl::Status& status);
  absl::Duration UntilNextDeadline() const;
  bool TakeSlot(uid_t uid, uint64_t& id);

  const Options options_;
  const std::function<std::shared_ptr<const WorkloadView>()> view_;
  const Clock& clock_;

  // The deciding thread's own.
  const std::unique_ptr<CallerWatch> watch_;
  std::map<uint64_t, Stream> streams_;
  std::shared_ptr<const WorkloadView> current_;
  bool wants_sha256_ = false;

  mutable absl::Mutex mutex_;
  std::map<uint64_t, Stream> added_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint64_t> removed_ ABSL_GUARDED_BY(mutex_);
  std::vector<Recognized> recognized_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<uint64_t, SpiffeId>> shown_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, uid_t> slots_ ABSL_GUARDED_BY(mutex_);
  std::map<uid_t, size_t> slots_by_uid_ ABSL_GUARDED_BY(mutex_);
  Stats stats_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::unique_ptr<CallerRecognition> recognition_;
  std::thread thread_;
};

}  // namespace lanyard
