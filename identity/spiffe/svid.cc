#include "identity/spiffe/svid.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/spiffe/crypto_error.h"
#include "identity/spiffe/quoted.h"
#include "identity/spiffe/svid_defect.h"

namespace lanyard {
namespace {

absl::Status CheckNotSigning(const Certificate& leaf) {
  if (leaf.is_ca()) return SvidError(SvidDefect::kCaAsLeaf, "the first certificate is a CA (basicConstraints cA)");
  if (leaf.key_usage_cert_sign() || leaf.key_usage_crl_sign()) {
    return SvidError(SvidDefect::kCaAsLeaf, "the first certificate may sign (keyCertSign or cRLSign)");
  }
  return absl::OkStatus();
}

absl::StatusOr<SpiffeId> OnlySpiffeId(const Certificate& leaf) {
  const std::vector<std::string>& names = leaf.uri_names();
  if (names.empty()) return SvidError(SvidDefect::kNoSpiffeId, "the certificate has no URI in subjectAltName");
  if (names.size() > 1) {
    return SvidError(SvidDefect::kSeveralUriNames,
                     absl::StrCat("the certificate has ", names.size(), " URIs in subjectAltName, not one"));
  }
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(names.front());
  if (!id.ok()) return SvidError(SvidDefect::kNoSpiffeId, id.status().message());
  if (!id->has_path()) {
    return SvidError(SvidDefect::kNoSpiffeId, absl::StrCat("the SPIFFE ID ", id->ToString(), " has no path"));
  }
  return id;
}

absl::Status CheckKeyUsage(const Certificate& leaf) {
  const auto bad = [](absl::string_view why) { return SvidError(SvidDefect::kBadKeyUsage, why); };
  if (!leaf.has_key_usage()) return bad("the certificate has no key usage");
  if (!leaf.key_usage_critical()) return bad("the certificate's key usage is not critical");
  if (!leaf.key_usage_digital_signature()) return bad("the certificate's key usage lacks digitalSignature");
  if (leaf.has_extended_key_usage() && !(leaf.eku_server_auth() && leaf.eku_client_auth())) {
    return bad("the certificate's extended key usage lacks serverAuth or clientAuth");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<SpiffeId> LeafSpiffeId(const Certificate& leaf) {
  if (absl::Status status = CheckNotSigning(leaf); !status.ok()) return status;
  absl::StatusOr<SpiffeId> id = OnlySpiffeId(leaf);
  if (!id.ok()) return id.status();
  if (absl::Status status = CheckKeyUsage(leaf); !status.ok()) return status;
  return id;
}

absl::StatusOr<X509Svid> X509Svid::Create(std::vector<Certificate> chain, PrivateKey key, std::string hint) {
  if (chain.empty()) return SvidError(SvidDefect::kMalformed, "the SVID has no certificate");
  absl::StatusOr<SpiffeId> id = LeafSpiffeId(chain.front());
  if (!id.ok()) return id.status();
  // By value, not by encoding: a certificate may write the same key in another way.
  bssl::UniquePtr<EVP_PKEY> leaf_key(X509_get_pubkey(chain.front().x509()));
  if (!leaf_key || EVP_PKEY_cmp(leaf_key.get(), key.evp()) != 1) {
    return CryptoError(absl::StatusCode::kInvalidArgument,
                       absl::StrCat("the private key is not that of the certificate of ", id->ToString()));
  }
  return X509Svid(*std::move(id), std::move(chain), std::move(key), std::move(hint));
}

absl::StatusOr<X509Svid> X509Svid::ParsePem(absl::string_view chain_pem, absl::string_view key_pem) {
  absl::StatusOr<std::vector<Certificate>> chain = Certificate::ParsePem(chain_pem);
  if (!chain.ok()) return chain.status();
  absl::StatusOr<PrivateKey> key = PrivateKey::ParsePem(key_pem);
  if (!key.ok()) return key.status();
  return Create(*std::move(chain), *std::move(key));
}

std::string X509Svid::ChainDer() const {
  std::string der;
  for (const Certificate& certificate : chain_) der += certificate.der();
  return der;
}

std::string X509Svid::ChainPem() const {
  std::string pem;
  for (const Certificate& certificate : chain_) pem += certificate.ToPem();
  return pem;
}

}  // namespace lanyard
