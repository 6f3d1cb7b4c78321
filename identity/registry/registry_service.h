// The operators' gRPC service (api/lanyard/registry): translates, logs who changed what, decides nothing.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "identity/base/clock.h"
#include "identity/registry/registry.h"
#include "identity/spiffe/spiffe_id.h"

namespace grpc {
class Service;
class ServerContextBase;
}  // namespace grpc

namespace lanyard {

// What the service must ask of the running authority; the registry itself knows only records. Thread-safe.
class AuthorityFacts {
 public:
  virtual ~AuthorityFacts() = default;
  // Where agents reach the authority, with the real port.
  virtual std::string agents_address() const = 0;
  // Whether the agent holds a WatchNode stream now.
  virtual bool IsConnected(const SpiffeId& agent) const = 0;
  // Those that have attested and were not deleted.
  virtual absl::StatusOr<std::vector<SpiffeId>> Agents() const = 0;
  // Closes the agent's connections.
  virtual void Disconnect(const SpiffeId& agent) = 0;
  // The operator at the other end of a call, for the log: "uid 0".
  virtual std::string OperatorOf(const grpc::ServerContextBase& call) const = 0;
};

// Borrows all three, which must outlive it. `version` is reported by GetStatus.
std::unique_ptr<grpc::Service> NewRegistryService(Registry& registry, AuthorityFacts& facts, const Clock& clock,
                                                  std::string version);

}  // namespace lanyard
