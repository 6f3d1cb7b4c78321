// Where an identity lies on disk, and reading it whole.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "identity/spiffe/trust_domain.h"
#include "identity/workload/watch.h"

namespace lanyard {

// Paths of PEM files, as `lanyard svid fetch --write`, spiffe-helper and cert-manager write them.
struct IdentityFiles {
  std::string certificate;  // chain, leaf first
  std::string key;
  std::string bundle;                                    // of the SVID's own trust domain
  std::map<TrustDomain, std::string> federated_bundles;  // by trust domain

  std::vector<std::string> Paths() const;
  friend bool operator==(const IdentityFiles&, const IdentityFiles&) = default;
};

// Reads and parses all of them; an error names the file and what is wrong with it. The key's bytes
// are zeroed after parsing. Authorities that cannot be used are left out, and federated bundles of which none can
// (WorkloadIdentity::left_out). Says nothing of trust: that is for TlsContext::Create.
absl::StatusOr<WorkloadIdentity> ReadIdentityFiles(const IdentityFiles& files);

// True if users other than the owner and the group may read the key; worth a warning.
bool KeyReadableByOthers(const IdentityFiles& files);

}  // namespace lanyard
