// What this proxy observed lately, told to its agent again and again: so that a change of policy can be tried on the
// whole mesh before it is applied.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "identity/base/clock.h"
#include "proxy/control/control_loop.h"
#include "proxy/control/mesh_update.h"
#include "proxy/control/worker_answers.h"
#include "proxy/mesh/observation.h"

namespace lanyard {

// Which worker gets a connection is chance: the same call is one, whoever carried it.
std::vector<ObservedCall> MergedCalls(const std::vector<ObservedCall>& of_workers);

// Those of captured connections, which the mesh's rules could have decided, the latest first.
// `left_out`: kinds of call that the workers forgot.
ObservedReport ReportOf(const std::vector<ObservedCall>& of_workers, uint64_t left_out, absl::Time now);

// On the control thread. Borrows loop, clock and workers; create before loop.Start(), destroy after loop.Stop(). A
// round in which a worker does not answer is left out: the report before stays, and grows old.
class ObservedReporter {
 public:
  struct Options {
    ControlLoop* loop = nullptr;
    std::vector<WorkerHandle*> workers;
    const Clock* clock = nullptr;
    std::function<void(std::shared_ptr<const ObservedReport>)> report;
    absl::Duration interval = absl::Seconds(10);  // between two looks; what did not change is not told again
    absl::Duration longest_silence = absl::Minutes(1);  // but so often, that its reader can tell old from unchanged
    absl::Duration worker_timeout = kWorkerTimeout;
  };
  explicit ObservedReporter(Options options) : options_(std::move(options)) {}

  void Start();  // before loop.Start(), or on the control thread

 private:
  void Gather();
  void Take(const std::vector<ObservedCall>& of_workers);

  const Options options_;
  std::shared_ptr<const ObservedReport> told_;  // last
};

}  // namespace lanyard
