// One identity turned into BoringSSL contexts: an SVID to show, bundles to verify with.
// TLS 1.3 only; both sides present an SVID; the peer is verified by VerifySvid, nothing else.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <openssl/base.h>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "identity/base/clock.h"
#include "identity/spiffe/bundle.h"
#include "identity/spiffe/svid.h"
#include "identity/spiffe/verify.h"

namespace lanyard {

// Verified chains by content, so that a peer seen before costs a hash, not signatures.
// Thread-safe; shared by all contexts of a process. Keyed by (SHA-256 over the chain's bytes, bundle
// version); validity is checked against the clock on every hit; at most `max_entries`, oldest out first.
// Failures are not cached.
class VerifyCache {
 public:
  static constexpr size_t kDefaultMaxEntries = 4096;
  explicit VerifyCache(size_t max_entries = kDefaultMaxEntries);
  ~VerifyCache();
  absl::StatusOr<std::shared_ptr<const VerifiedSvid>> Verify(const STACK_OF(CRYPTO_BUFFER)* chain, const BundleSet& bundles,
                                                             const std::string& bundle_version, absl::Time now);
  struct Stats { uint64_t hits = 0, misses = 0, evictions = 0; };
  Stats stats() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Immutable after Create, shared by connections; thread-safe. Holds its SVID and bundles.
class TlsContext {
 public:
  struct Options {
    // In order of preference; the server picks its own first match, and goes on without one
    // when the client offers none (a plain mutual TLS peer).
    std::vector<std::string> alpn;
    // Refuse a peer that agrees on no protocol (gRPC needs "h2").
    bool alpn_required = false;
    bool session_resumption = true;   // tickets; the peer is re-verified on every resumption
  };

  // Fails when the SVID does not match its key, or does not verify against its own trust domain's
  // bundle at clock.Now(): an identity that nobody could verify is never used.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> Create(X509Svid svid, BundleSet bundles,
                                                                  std::shared_ptr<VerifyCache> cache,
                                                                  const Clock& clock, Options options);
  // Client only, without an SVID, verifying the server all the same: how an agent attests for the first time.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> CreateAnonymousClient(BundleSet bundles,
                                                                                 std::shared_ptr<VerifyCache> cache,
                                                                                 const Clock& clock, Options options);
  ~TlsContext();

  // New SSL in accept or connect state, ready to be given a BIO. It holds a reference to this context.
  // A server whose `require_client_svid` is false lets an anonymous client in (attestation); PeerOf is then null.
  bssl::UniquePtr<SSL> NewServer(bool require_client_svid = true) const;
  bssl::UniquePtr<SSL> NewClient() const;

  const X509Svid* svid() const;              // null for an anonymous client
  const BundleSet& bundles() const;
  const std::string& bundle_version() const;

 private:
  struct State;
  explicit TlsContext(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Who the peer proved to be; null before the handshake's verification, and for an anonymous peer.
// The pointer lives as long as the SSL.
const VerifiedSvid* PeerOf(const SSL* ssl);

// Why verification refused the peer, when the handshake failed for that; OK otherwise.
// Carries a SvidDefect; "peer sent no certificate" is kMalformed.
absl::Status PeerVerificationError(const SSL* ssl);

// The newest error of this thread's BoringSSL queue as one phrase ("TLSV1_ALERT_UNKNOWN_CA"); clears the queue.
std::string TakeTlsError();

}  // namespace lanyard
