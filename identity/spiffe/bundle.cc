#include "identity/spiffe/bundle.h"

#include <openssl/sha.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/spiffe/authority_uri.h"
#include "identity/spiffe/quoted.h"

namespace lanyard {
namespace {

absl::Status CheckAuthority(const TrustDomain& trust_domain, const Certificate& authority) {
  const auto refused = [&](absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat("the authority with serial ", authority.serial(),
                                                   " in the bundle of ", trust_domain.name(), " ", why));
  };
  if (!authority.is_ca()) return refused("is not a CA certificate (basicConstraints cA)");
  if (authority.has_key_usage() && !authority.key_usage_cert_sign()) return refused("may not sign (keyCertSign)");
  if (const std::string* uri = UnfitAuthorityUri(authority)) {
    return refused(absl::StrCat("carries ", Quoted(*uri), ": it must have no path"));
  }
  return absl::OkStatus();
}

void HashSized(SHA256_CTX& hash, absl::string_view bytes) {
  const uint64_t size = bytes.size();
  SHA256_Update(&hash, &size, sizeof(size));
  SHA256_Update(&hash, bytes.data(), bytes.size());
}

}  // namespace

absl::StatusOr<X509Bundle> X509Bundle::Create(TrustDomain trust_domain, std::vector<Certificate> authorities) {
  std::vector<Certificate> kept;
  for (Certificate& authority : authorities) {
    if (absl::Status status = CheckAuthority(trust_domain, authority); !status.ok()) return status;
    if (std::find(kept.begin(), kept.end(), authority) == kept.end()) kept.push_back(std::move(authority));
  }
  if (kept.size() > kMaxAuthorities) {
    return absl::InvalidArgumentError(absl::StrCat("the bundle of ", trust_domain.name(), " has ", kept.size(),
                                                   " authorities: at most ", kMaxAuthorities, " are taken"));
  }
  return X509Bundle(std::move(trust_domain), std::move(kept));
}

absl::StatusOr<X509Bundle> X509Bundle::ParseConcatenatedDer(TrustDomain trust_domain, absl::Span<const uint8_t> der) {
  absl::StatusOr<std::vector<Certificate>> authorities = Certificate::ParseConcatenatedDer(der);
  if (!authorities.ok()) return authorities.status();
  return Create(std::move(trust_domain), *std::move(authorities));
}

absl::StatusOr<X509Bundle> X509Bundle::ParsePem(TrustDomain trust_domain, absl::string_view pem) {
  absl::StatusOr<std::vector<Certificate>> authorities = Certificate::ParsePem(pem);
  if (!authorities.ok()) return authorities.status();
  return Create(std::move(trust_domain), *std::move(authorities));
}

std::string X509Bundle::ToConcatenatedDer() const {
  std::string der;
  for (const Certificate& authority : authorities_) der += authority.der();
  return der;
}

std::string X509Bundle::ToPem() const {
  std::string pem;
  for (const Certificate& authority : authorities_) pem += authority.ToPem();
  return pem;
}

void BundleSet::Set(X509Bundle bundle) {
  TrustDomain trust_domain = bundle.trust_domain();
  bundles_.insert_or_assign(std::move(trust_domain), std::move(bundle));
}

const X509Bundle* BundleSet::Find(const TrustDomain& trust_domain) const {
  const auto found = bundles_.find(trust_domain);
  return found == bundles_.end() ? nullptr : &found->second;
}

std::string BundleSet::ContentVersion() const {
  SHA256_CTX hash;
  SHA256_Init(&hash);
  for (const auto& [trust_domain, bundle] : bundles_) {
    HashSized(hash, trust_domain.name());
    HashSized(hash, bundle.ToConcatenatedDer());
  }
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256_Final(reinterpret_cast<uint8_t*>(digest.data()), &hash);
  return digest;
}

}  // namespace lanyard
