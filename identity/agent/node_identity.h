// Who this node is to the authority: spiffe://<trust domain>/lanyard/agent/<node>.
#pragma once

#include "absl/time/time.h"
#include "identity/spiffe/bundle.h"
#include "identity/spiffe/svid.h"

namespace lanyard {

// Immutable once published; cheap to copy. The key was made on this node and stays on it.
struct NodeIdentity {
  X509Svid svid;
  BundleSet bundles;      // what the authority is verified with
  absl::Time obtained_at; // renewal is planned from here: the SVID itself is back-dated
};

}  // namespace lanyard
