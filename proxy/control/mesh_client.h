// Client of the agent's MeshService: one stream with backoff that yields whole views and carries the newest status
// back, and what was observed lately.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "identity/base/backoff.h"
#include "proxy/control/mesh_update.h"

namespace lanyard {

// Streams until destroyed, on one thread of its own; callbacks run on it and must not destroy the client.
class MeshClient {
 public:
  struct Callbacks {
    std::function<void(std::shared_ptr<const MeshUpdate>)> on_view;
    // A view that cannot be read; the stream goes on, and the view before stays in force.
    std::function<void(uint64_t version, const absl::Status&)> on_refused;
    // The stream ended; `wait`: until the next try.
    std::function<void(const absl::Status&, absl::Duration wait)> on_ended;
  };
  struct Options {
    // Its top is short: the agent is on this machine, and what is missed meanwhile may be a ban.
    BackoffOptions backoff = {.initial = absl::Milliseconds(100), .max = absl::Seconds(3), .factor = 2.0};
    absl::Duration unimplemented_wait = absl::Minutes(5);  // another agent's Workload API, which knows no mesh
    // Between two requests of a stream: what changes meanwhile goes with the next. An agent reads five a second.
    absl::Duration request_interval = absl::Milliseconds(250);
  };

  // `address` as WorkloadApiAddress gives it.
  MeshClient(std::string address, Callbacks callbacks, Options options);
  ~MeshClient();  // cancels the stream and joins

  // Thread-safe. What is sent is the newest, at the start of a stream and at a change.
  void Report(const ProxyStatus& status);
  // Likewise; not sent to an agent whose view does not ask for it.
  void Report(std::shared_ptr<const ObservedReport> observed);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lanyard
