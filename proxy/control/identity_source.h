// Where the identity comes from: the Workload API, or files.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "identity/workload/watch.h"
#include "proxy/control/control_loop.h"
#include "proxy/control/file_watch.h"
#include "proxy/control/identity_files.h"
#include "proxy/control/identity_rotation.h"

namespace lanyard {

// Feeds an IdentityRotation on the control thread. Borrows both; create before loop.Start(), destroy
// after loop.Stop() (a Workload API stream has threads of its own, which post to the loop).
class IdentitySource {
 public:
  struct Options {
    std::string workload_api;  // as WorkloadApiAddress gave it; empty: `files`
    std::optional<IdentityFiles> files;
    absl::Duration poll_interval;  // of files
  };
  IdentitySource(Options options, ControlLoop& loop, IdentityRotation& rotation);
  ~IdentitySource();

  // Connects, or reads the files for the first time, on the control thread.
  void Start();

 private:
  void StreamIdentities();
  void PollFiles();

  const Options options_;
  ControlLoop& loop_;
  IdentityRotation& rotation_;
  std::optional<FileWatch> file_watch_;
  std::unique_ptr<WorkloadWatch> workload_watch_;
};

}  // namespace lanyard
