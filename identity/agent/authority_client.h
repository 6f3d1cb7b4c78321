// What an agent asks of the authority, over one connection. A seam: gRPC (NewAuthorityClient)
// or FakeAuthorityClient (fake_authority.h); both pass authority_client_contract_test.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "identity/agent/entry.h"
#include "identity/spiffe/bundle.h"
#include "identity/spiffe/certificate.h"
#include "identity/spiffe/trust_domain.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace lanyard {

// Thread-safe. Calls block until answered, until `timeout` (DeadlineExceeded) or until Cancel
// (Cancelled). Other errors are the authority's: PermissionDenied, Unauthenticated, ResourceExhausted,
// Unavailable when the connection is gone; Internal for an answer that cannot be read.
class AuthorityClient {
 public:
  static constexpr size_t kMaxSignBatch = 100;

  // A node SVID's chain, leaf first, and the bundles to trust from now on.
  struct NodeGrant {
    std::vector<Certificate> chain;
    BundleSet bundles;
  };
  struct SignRequest {
    std::string entry_id;
    std::string csr_der;
  };
  using Signed = absl::StatusOr<std::vector<Certificate>>;

  virtual ~AuthorityClient() = default;

  virtual absl::StatusOr<NodeGrant> Attest(absl::string_view join_token, const std::string& csr_der,
                                           absl::Duration timeout) = 0;
  virtual absl::StatusOr<NodeGrant> RenewNode(const std::string& csr_der, absl::Duration timeout) = 0;
  // At most kMaxSignBatch requests. One result a request, in order; each succeeds or fails by itself.
  virtual absl::StatusOr<std::vector<Signed>> SignX509Svids(absl::Span<const SignRequest> requests,
                                                            absl::Duration timeout) = 0;
  // Calls `on_state` on this thread at once and at every change, until the stream ends; returns why. A state
  // without a bundle of the own trust domain ends it (Internal); an entry that cannot be read is logged and left out,
  // and so is, as a whole, what is said of the mesh.
  virtual absl::Status WatchNode(const std::function<void(NodeState)>& on_state) = 0;

  // What the node's proxies run: each a serialized lanyard.mesh.v1.ProxyStatus. Replaces what was reported before.
  virtual absl::Status ReportProxies(const std::vector<std::string>& statuses, absl::Duration timeout) = 0;
  // What they observed: each a serialized ReportObservedRequest.OfProxy of lanyard.authority.v1. Likewise.
  virtual absl::Status ReportObserved(const std::vector<std::string>& reports, absl::Duration timeout) = 0;

  // Ends running calls; later ones fail with Cancelled.
  virtual void Cancel() = 0;
};

// `connection` is kept as long as the client lives: it is what `channel` runs over.
std::unique_ptr<AuthorityClient> NewAuthorityClient(std::shared_ptr<grpc::Channel> channel,
                                                    std::shared_ptr<const void> connection, TrustDomain trust_domain);

}  // namespace lanyard
