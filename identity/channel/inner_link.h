// The private socket pair between a relay and gRPC. gRPC's end sees, as its peer's address, a name of 128 random
// bits: bound to the pair before gRPC knows of it, reachable by nobody (it does not listen), and never used
// again; so the name that a call carries says which connection it came by. Private to identity/channel.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "identity/base/descriptor.h"

namespace lanyard {

struct InnerLink {
  Descriptor relay_end;
  Descriptor grpc_end;   // non-blocking, as gRPC needs it
  std::string name;      // 32 hex digits

  static absl::StatusOr<InnerLink> Create();
};

// The name out of what gRPC's ServerContext::peer() says; "" where that is not an inner link's.
std::string InnerLinkName(absl::string_view peer);

}  // namespace lanyard
