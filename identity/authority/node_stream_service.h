// One WatchNode stream: the whole state at once, and again whenever it has changed; changes that come
// while a message is on its way are sent as one.
#pragma once

#include <grpcpp/support/server_callback.h>

#include "absl/status/statusor.h"
#include "api/lanyard/authority/authority.pb.h"
#include "identity/authority/node_watches.h"
#include "identity/registry/registry.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

// A stream for `node`, or one that ends at once with its error. Owns itself until gRPC is done with it.
grpc::ServerWriteReactor<authority::v1::NodeState>* NewNodeStream(absl::StatusOr<SpiffeId> node, Registry& registry,
                                                                  NodeWatches& watches);

}  // namespace lanyard
