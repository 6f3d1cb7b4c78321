// Values as messages of api/lanyard/authority.
#pragma once

#include <vector>

#include "api/lanyard/authority/authority.pb.h"
#include "identity/registry/registry.h"
#include "identity/spiffe/bundle.h"
#include "identity/spiffe/certificate.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

authority::v1::Svid SvidToProto(const std::vector<Certificate>& chain);
authority::v1::Bundle BundleToProto(const X509Bundle& bundle);

// What `node` may know of the snapshot: its own entries and those of every agent, and the bundles.
authority::v1::NodeState NodeStateToProto(const RegistrySnapshot& snapshot, const SpiffeId& node);

}  // namespace lanyard
