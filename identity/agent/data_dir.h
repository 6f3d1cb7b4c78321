// The agent's folder: its node identity and its workloads' SVIDs, so that a restart needs neither a
// token nor the authority. Mode 0700; every file 0600, sealed and replaced in one step:
//   lock, sealing.key, node.sealed, workloads.sealed
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "identity/agent/node_identity.h"
#include "identity/agent/sealed_file.h"
#include "identity/agent/svid_cache.h"
#include "identity/base/random.h"

namespace lanyard {

// Holds the folder's lock while it lives; the kernel frees it when the process ends. Not thread-safe, except that
// node and workload files may be used by two threads.
class DataDir {
 public:
  // Makes the folder, and those above it, when it is absent. FailedPrecondition: other users can get in or own it
  // (the message says which chmod or chown), or another agent holds it.
  static absl::StatusOr<std::unique_ptr<DataDir>> Open(const std::string& path, Random& random);
  ~DataDir();

  // Nothing when there is none. DataLoss when it is damaged: it is as good as none, and the message says so.
  absl::StatusOr<std::optional<NodeIdentity>> LoadNode() const;
  absl::Status SaveNode(const NodeIdentity& node) const;
  absl::StatusOr<std::optional<KeptWorkloads>> LoadWorkloads() const;
  absl::Status SaveWorkloads(const KeptWorkloads& workloads) const;

 private:
  DataDir(const std::string& path, int lock_fd, Secret key, Random& random);

  int lock_fd_;
  Secret key_;
  SealedFile node_;
  SealedFile workloads_;
};

}  // namespace lanyard
