// X.509 trust bundles: the authorities of a trust domain, and the set of bundles a
// workload trusts (SPIFFE Trust Domain and Bundle; Workload API 4.6).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "identity/spiffe/certificate.h"
#include "identity/spiffe/trust_domain.h"

namespace lanyard {

// Immutable; cheap enough to copy. May be empty: then nothing of that domain is trusted.
class X509Bundle {
 public:
  static constexpr size_t kMaxAuthorities = 64;

  // Every authority must be a CA certificate (cA true; keyCertSign if key usage is
  // present); duplicates are dropped; a SPIFFE ID in one, if any, has no path ("spiffe://td/" has none).
  static absl::StatusOr<X509Bundle> Create(TrustDomain trust_domain, std::vector<Certificate> authorities);
  static absl::StatusOr<X509Bundle> ParseConcatenatedDer(TrustDomain trust_domain, absl::Span<const uint8_t> der);
  static absl::StatusOr<X509Bundle> ParsePem(TrustDomain trust_domain, absl::string_view pem);

  const TrustDomain& trust_domain() const { return trust_domain_; }
  const std::vector<Certificate>& authorities() const { return authorities_; }
  std::string ToConcatenatedDer() const;
  std::string ToPem() const;

  friend bool operator==(const X509Bundle&, const X509Bundle&) = default;

 private:
  X509Bundle(TrustDomain trust_domain, std::vector<Certificate> authorities)
      : trust_domain_(std::move(trust_domain)), authorities_(std::move(authorities)) {}
  TrustDomain trust_domain_;
  std::vector<Certificate> authorities_;
};

// One bundle a trust domain. Immutable once published; a plain value to build.
class BundleSet {
 public:
  // Replaces the bundle of the same trust domain.
  void Set(X509Bundle bundle);
  // Null when that trust domain is not trusted at all.
  const X509Bundle* Find(const TrustDomain& trust_domain) const;
  const std::map<TrustDomain, X509Bundle>& bundles() const { return bundles_; }
  // SHA-256 over the content, 32 raw bytes: equal sets have equal versions.
  std::string ContentVersion() const;

  friend bool operator==(const BundleSet&, const BundleSet&) = default;

 private:
  std::map<TrustDomain, X509Bundle> bundles_;
};

}  // namespace lanyard
