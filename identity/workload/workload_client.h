// One FetchX509SVID stream. Private to identity/workload.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/workload/workload_identity.h"

namespace lanyard {

// Not thread-safe, but for Cancel.
class WorkloadStream {
 public:
  // `target` as WorkloadApiAddress gives it. Does nothing yet; the first Next asks. With a `timeout` the whole
  // stream ends after it (DeadlineExceeded).
  static std::unique_ptr<WorkloadStream> Open(const std::string& target, std::optional<absl::Duration> timeout);
  ~WorkloadStream();   // cancels

  // Blocks for the next message. An error: if ended(), the stream's own status; if not, a message that was refused,
  // and the next may be read.
  absl::StatusOr<WorkloadIdentity> Next();
  bool ended() const;

  // Makes Next return, now and later. Any thread.
  void Cancel();

 private:
  struct State;
  explicit WorkloadStream(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lanyard
