// What the Workload API says a workload is.
#pragma once

#include <string>
#include <vector>

#include "identity/spiffe/bundle.h"
#include "identity/spiffe/svid.h"

namespace lanyard {

// One message of FetchX509SVID, parsed and checked: every SVID matches its key, ID and chain.
struct WorkloadIdentity {
  std::vector<X509Svid> svids;   // at least one; the first is the default
  BundleSet bundles;             // the SVIDs' own trust domains and the federated ones
  // Of federated bundles, and of authorities of any bundle, that cannot be used and are not in `bundles`: why.
  std::vector<std::string> left_out;
};

}  // namespace lanyard
