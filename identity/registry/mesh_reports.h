// What the proxies of the mesh say they run, and observed lately, by agent, as long as the agent is connected. In
// memory: for operators to look at, never a ground for a decision.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
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
  uint64_t proxy = 0;  // which of its node's; 0 from an agent that gives no numbers
};

// By `proxy`, what each observed: the bytes of an Observed of lanyard.mesh.v1.
using ObservedByProxies = std::map<uint64_t, std::string>;

// Thread-safe.
class MeshReports {
 public:
  static constexpr size_t kMaxProxiesOfAgent = 1000;
  static constexpr size_t kMaxProxies = 100'000;  // of all agents
  static constexpr size_t kMaxTextSizeBytes = 2048;
  static constexpr size_t kMaxObservedBytesOfAgent = 1 << 20;
  static constexpr size_t kMaxObservedBytes = 64 << 20;  // of all agents

  struct OfAgent {
    SpiffeId agent;
    absl::Time reported_at;
    std::vector<ProxyReport> proxies;
    std::shared_ptr<const ObservedByProxies> observed;  // never null
  };

  // Replaces the agent's last report. InvalidArgument: too many, or a text too long; ResourceExhausted at kMaxProxies.
  // Then the last one stands.
  absl::Status Replace(const SpiffeId& agent, std::vector<ProxyReport> proxies, absl::Time now);
  // Likewise what they observed. InvalidArgument: too many proxies, or bytes; ResourceExhausted at kMaxObservedBytes.
  absl::Status ReplaceObserved(const SpiffeId& agent, ObservedByProxies observed, absl::Time now);
  void Drop(const SpiffeId& agent);
  // By agent.
  std::vector<OfAgent> All() const;
  uint64_t refused() const;  // reports, for a limit

 private:
  OfAgent& At(const SpiffeId& agent, absl::Time now);
  absl::Status Refuse(const absl::Status& why);

  mutable std::mutex mutex_;  // guards all below
  std::map<SpiffeId, OfAgent> agents_;
  size_t count_ = 0;           // of proxies
  size_t observed_bytes_ = 0;  // of all agents
  uint64_t refused_ = 0;
};

}  // namespace lanyard
