// Client of the SPIFFE Workload API: one stream with backoff that yields whole identities.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/base/backoff.h"
#include "identity/workload/workload_identity.h"

namespace lanyard {

// The Workload API's address, by the Workload Endpoint standard section 4: "unix:///path" (also "unix:/path"), or
// tcp://IP:port. `configured` wins over the environment's SPIFFE_ENDPOINT_SOCKET (`environment`, may be
// empty). InvalidArgument says what is wrong with it. The result is what WorkloadWatch takes.
absl::StatusOr<std::string> WorkloadApiAddress(const std::string& configured, const std::string& environment);

// Streams until destroyed; reconnects with backoff (PERMISSION_DENIED is retried too; INVALID_ARGUMENT
// is not, by the standard). Callbacks run on the watch's own thread, one at a time; they must not
// destroy the watch.
class WorkloadWatch {
 public:
  struct Callbacks {
    std::function<void(WorkloadIdentity)> on_identity;
    // The stream failed; `wait`: until the next try (infinite: there is none). Or a message was refused, and the stream
    // goes on (zero). What was known before stays in force either way.
    std::function<void(const absl::Status&, absl::Duration wait)> on_error;
  };
  WorkloadWatch(std::string address, Callbacks callbacks, BackoffOptions backoff = {});
  ~WorkloadWatch();   // cancels the stream and joins

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// One message, then done: what `lanyard svid fetch` and `lanyard check` need.
absl::StatusOr<WorkloadIdentity> FetchWorkloadIdentity(const std::string& address, absl::Duration timeout);

}  // namespace lanyard
