// An X.509-SVID that we own: certificate chain, leaf first, and the leaf's private key.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "identity/spiffe/certificate.h"
#include "identity/spiffe/private_key.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

// The SPIFFE ID of a leaf by X509-SVID sections 2, 3.1 and 5.2: exactly one URI SAN, a
// SPIFFE ID with a path, cA false, no keyCertSign/cRLSign, critical key usage with
// digitalSignature, both EKUs if any. No trust is implied. Errors carry a SvidDefect (svid_defect.h).
absl::StatusOr<SpiffeId> LeafSpiffeId(const Certificate& leaf);

// Immutable; cheap to copy; thread-safe.
class X509Svid {
 public:
  // Checks that the chain is not empty, its leaf passes LeafSpiffeId and `key` is the leaf's.
  static absl::StatusOr<X509Svid> Create(std::vector<Certificate> chain, PrivateKey key, std::string hint = "");
  // Contents of PEM files, as `lanyard svid fetch --write` and spiffe-helper write them.
  static absl::StatusOr<X509Svid> ParsePem(absl::string_view chain_pem, absl::string_view key_pem);

  const SpiffeId& id() const { return id_; }
  const Certificate& leaf() const { return chain_.front(); }
  const std::vector<Certificate>& chain() const { return chain_; }
  const PrivateKey& key() const { return key_; }
  const std::string& hint() const { return hint_; }
  absl::Time not_before() const { return leaf().not_before(); }
  absl::Time not_after() const { return leaf().not_after(); }
  std::string ChainDer() const;   // concatenated
  std::string ChainPem() const;

 private:
  X509Svid(SpiffeId id, std::vector<Certificate> chain, PrivateKey key, std::string hint)
      : id_(std::move(id)), chain_(std::move(chain)), key_(std::move(key)), hint_(std::move(hint)) {}
  SpiffeId id_;
  std::vector<Certificate> chain_;
  PrivateKey key_;
  std::string hint_;
};

}  // namespace lanyard
