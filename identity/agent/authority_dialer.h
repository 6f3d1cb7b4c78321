// Connections to the authority: as an attested node, and the first contact of a node that has nothing yet.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/agent/authority_client.h"
#include "identity/agent/node_identity.h"
#include "identity/base/clock.h"
#include "identity/spiffe/spiffe_id.h"
#include "identity/tls/tls_context.h"

namespace lanyard {

// Thread-safe. Whoever answers must prove to be spiffe://<trust domain>/lanyard/authority, on every path. Blocks.
class AuthorityDialer {
 public:
  struct Options {
    TrustDomain trust_domain;
    std::string address;
    absl::Duration timeout = absl::Seconds(5);
    std::string bundle_file;                     // read at each first contact
    bool insecure_trust_on_first_use = false;
    std::string join_token;
    std::string join_token_file;                 // likewise, so that an operator can put a new token there
  };

  AuthorityDialer(Options options, const Clock& clock);

  // Mutual TLS by the node's SVID and bundles. Unauthenticated when the authority's SVID is refused.
  absl::StatusOr<std::shared_ptr<AuthorityClient>> Dial(const NodeIdentity& node) const;

  // Sends the join token only over a connection whose server verified, and returns the grant. The server is verified
  // by the bundle file and by `known`, what this node trusted before (may be null). Trust on first use happens only
  // without `known`: looks at the chain that the server shows, trusts the root it contains (or its topmost
  // certificate) for this one call, and then demands that the same chain verifies by the bundle in the answer
  // (PermissionDenied otherwise).
  absl::StatusOr<AuthorityClient::NodeGrant> Attest(const std::string& csr_der, const BundleSet* known) const;

 private:
  absl::StatusOr<BundleSet> FirstBundles(const BundleSet* known, std::vector<Certificate>* shown) const;
  absl::StatusOr<std::vector<Certificate>> ReadBundleFile() const;
  absl::StatusOr<std::shared_ptr<AuthorityClient>> Connect(std::shared_ptr<const TlsContext> context) const;

  const Options options_;
  const SpiffeId authority_id_;
  const Clock& clock_;
  const std::shared_ptr<VerifyCache> cache_;
};

// The token as it is sent: of a file, without white space around it. FailedPrecondition when there is none.
absl::StatusOr<std::string> ReadJoinToken(const std::string& inline_token, const std::string& file);

}  // namespace lanyard
