// One WatchNode stream: the whole state at once, and again whenever it has changed; changes that come
// while a message is on its way are sent as one. The stream of an agent that is banned ends.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <string>

#include "absl/status/statusor.h"
#include "api/lanyard/authority/authority.pb.h"
#include "identity/authority/node_watches.h"
#include "identity/base/clock.h"
#include "identity/registry/mesh_registry.h"
#include "identity/registry/mesh_reports.h"
#include "identity/registry/registry.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

// All borrowed; must outlive the streams.
struct NodeStreamParts {
  const Registry& registry;
  const MeshRegistry& mesh;
  NodeWatches& watches;
  MeshReports& reports;  // those of the node end with its last stream
  const Clock& clock;
};

// A stream for `node`, which showed the SVID of this serial, or one that ends at once with its error. Owns itself until
// gRPC is done with it.
grpc::ServerWriteReactor<authority::v1::NodeState>* NewNodeStream(absl::StatusOr<SpiffeId> node, std::string serial,
                                                                  NodeStreamParts parts);

}  // namespace lanyard
