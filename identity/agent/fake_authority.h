// An authority in memory, with real keys and certificates, and an AuthorityClient of it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "identity/agent/authority_client.h"
#include "identity/base/clock.h"
#include "identity/spiffe/issue.h"
#include "identity/spiffe/svid.h"

namespace lanyard {

// Thread-safe. Signs with a root and an intermediate of example.org; SVIDs are back-dated by 10 s.
class FakeAuthority {
 public:
  explicit FakeAuthority(const Clock& clock);

  const TrustDomain& trust_domain() const { return trust_domain_; }
  BundleSet bundles() const;
  X509Svid ServerSvid() const;  // spiffe://example.org/lanyard/authority
  // An SVID with a new key, as the authority would sign it now.
  X509Svid Mint(const std::string& spiffe_id, absl::Duration lifetime) const;

  void AddToken(const std::string& token);  // for one use; the node becomes spiffe://.../lanyard/agent/<token>
  void SetEntries(std::vector<WorkloadEntry> entries);
  void SetMesh(NodeMesh mesh);
  // Another root and intermediate; `keep_old` leaves the old root in the bundle.
  void ReplaceRoot(bool keep_old);
  void SetLifetimes(absl::Duration workload, absl::Duration node);
  void SetAway(bool away);            // calls fail with Unavailable, streams end
  void SetBanned(bool banned);        // RenewNode and WatchNode: PermissionDenied
  void RefuseEntry(const std::string& entry_id, absl::Status why);  // OK: sign again

  absl::StatusOr<AuthorityClient::NodeGrant> Attest(const std::string& token, const std::string& csr_der);
  absl::StatusOr<AuthorityClient::NodeGrant> RenewNode(const SpiffeId& node, const std::string& csr_der);
  AuthorityClient::Signed Sign(const std::string& entry_id, const std::string& csr_der);
  // What a watcher that has seen `seen` (0: nothing) is told next. Blocks; an error when the stream ends, which
  // `cancelled` does too.
  absl::StatusOr<NodeState> NextState(uint64_t seen, const std::function<bool()>& cancelled);

  absl::Status ReportProxies(std::vector<std::string> statuses);
  std::vector<std::string> reported() const;
  absl::Status ReportObserved(std::vector<std::string> reports);
  std::vector<std::string> observed() const;

  int attested() const;
  int renewed() const;
  int signed_svids() const;
  int sign_calls() const;
  void CountSignCall();

 private:
  absl::StatusOr<std::vector<Certificate>> SignFor(const SpiffeId& id, const std::string& csr_der,
                                                   absl::Duration lifetime) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  BundleSet BundlesLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void MakeAuthorities() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Clock& clock_;
  const TrustDomain trust_domain_;
  mutable absl::Mutex mutex_;
  std::vector<Certificate> roots_ ABSL_GUARDED_BY(mutex_);
  std::optional<SigningAuthority> root_ ABSL_GUARDED_BY(mutex_);
  std::optional<SigningAuthority> intermediate_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string> tokens_ ABSL_GUARDED_BY(mutex_);
  NodeState state_ ABSL_GUARDED_BY(mutex_);
  absl::Duration workload_lifetime_ ABSL_GUARDED_BY(mutex_) = absl::Hours(1);
  absl::Duration node_lifetime_ ABSL_GUARDED_BY(mutex_) = absl::Hours(1);
  bool away_ ABSL_GUARDED_BY(mutex_) = false;
  bool banned_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::string> reported_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> observed_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, absl::Status> refused_ ABSL_GUARDED_BY(mutex_);
  int attested_ ABSL_GUARDED_BY(mutex_) = 0;
  int renewed_ ABSL_GUARDED_BY(mutex_) = 0;
  int signed_ ABSL_GUARDED_BY(mutex_) = 0;
  int sign_calls_ ABSL_GUARDED_BY(mutex_) = 0;
};

// `node`: who calls; nothing for an anonymous client, which may only attest.
std::unique_ptr<AuthorityClient> NewFakeAuthorityClient(FakeAuthority& authority, std::optional<SpiffeId> node);

}  // namespace lanyard
