// What the proxies of the mesh say they run, by agent, as long as the agent is connected. In memory: for operators to
// look at, never a ground for a decision.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

struct ProxyReport {
  std::string version;  // of the program
  uint64_t view_version = 0;
  std::string refused_view_error;
  uint64_t refused_view_version = 0;
  std::string spiffe_id;
  std::string serial;
  absl::Time not_after;
  uint64_t open_connections = 0;
};

// Thread-safe.
class MeshReports {
 public:
  static constexpr size_t kMaxProxiesOfAgent = 1000;
  static constexpr size_t kMaxProxies = 100'000;  // of all agents
  static constexpr size_t kMaxTextSizeBytes = 2048;

  struct OfAgent {
    SpiffeId agent;
    absl::Time reported_at;
    std::vector<ProxyReport> proxies;
  };

  // Replaces the agent's last report. InvalidArgument: too many, or a text too long; ResourceExhausted at kMaxProxies.
  // Then the last one stands.
  absl::Status Replace(const SpiffeId& agent, std::vector<ProxyReport> proxies, absl::Time now);
  void Drop(const SpiffeId& agent);
  // By agent.
  std::vector<OfAgent> All() const;

 private:
  mutable std::mutex mutex_;  // guards all below
  std::map<SpiffeId, OfAgent> agents_;
  size_t count_ = 0;  // of proxies
};

}  // namespace lanyard
