#include "identity/spiffe/issue.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/spiffe/crypto_error.h"
#include "identity/spiffe/signature_algorithm.h"

namespace lanyard {
namespace {

constexpr size_t kSerialBytes = 16;

// Everything of a certificate but its signature.
struct Draft {
  const Certificate* issuer = nullptr;  // null: self-signed
  EVP_PKEY* public_key = nullptr;
  absl::Time not_before;
  absl::Time not_after;
  bool is_ca = false;
  long path_length = -1;
  std::string organization;             // "": empty subject
  std::string uri;
  std::vector<std::string> dns_names;
};

absl::Status Failed(absl::string_view what) {
  return CryptoError(absl::StatusCode::kInternal, absl::StrCat("cannot make a certificate: ", what));
}

bool AddExtension(X509* x509, int nid, void* value, bool critical) {
  return value != nullptr && X509_add1_ext_i2d(x509, nid, value, critical ? 1 : 0, X509V3_ADD_APPEND) == 1;
}

// The key identifier by RFC 7093 2 (1): the first 160 bits of SHA-256 over the key's bits.
bssl::UniquePtr<ASN1_OCTET_STRING> KeyIdOf(const X509* x509) {
  const ASN1_BIT_STRING* bits = X509_get0_pubkey_bitstr(x509);
  bssl::UniquePtr<ASN1_OCTET_STRING> id(ASN1_OCTET_STRING_new());
  if (bits == nullptr || !id) return nullptr;
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(ASN1_STRING_get0_data(bits), static_cast<size_t>(ASN1_STRING_length(bits)), digest);
  return ASN1_OCTET_STRING_set(id.get(), digest, 20) ? std::move(id) : nullptr;
}

bool AddKeyIds(X509* x509, const Certificate* issuer) {
  const bssl::UniquePtr<ASN1_OCTET_STRING> own = KeyIdOf(x509);
  if (!AddExtension(x509, NID_subject_key_identifier, own.get(), false)) return false;
  if (issuer == nullptr) return true;
  const ASN1_OCTET_STRING* theirs = X509_get0_subject_key_id(issuer->x509());
  if (theirs == nullptr) return true;
  bssl::UniquePtr<AUTHORITY_KEYID> authority(AUTHORITY_KEYID_new());
  if (!authority) return false;
  authority->keyid = ASN1_OCTET_STRING_dup(theirs);
  return authority->keyid != nullptr && AddExtension(x509, NID_authority_key_identifier, authority.get(), false);
}

bool AddBasicConstraints(X509* x509, const Draft& draft) {
  bssl::UniquePtr<BASIC_CONSTRAINTS> constraints(BASIC_CONSTRAINTS_new());
  if (!constraints) return false;
  constraints->ca = draft.is_ca ? 0xff : 0;
  if (draft.path_length >= 0) {
    constraints->pathlen = ASN1_INTEGER_new();
    if (!constraints->pathlen || !ASN1_INTEGER_set(constraints->pathlen, draft.path_length)) return false;
  }
  return AddExtension(x509, NID_basic_constraints, constraints.get(), true);
}

bool AddKeyUsage(X509* x509, bool is_ca) {
  bssl::UniquePtr<ASN1_BIT_STRING> usage(ASN1_BIT_STRING_new());
  if (!usage) return false;
  // Bit numbers of RFC 5280 4.2.1.3: digitalSignature, keyCertSign, cRLSign.
  const bool set = is_ca ? ASN1_BIT_STRING_set_bit(usage.get(), 5, 1) && ASN1_BIT_STRING_set_bit(usage.get(), 6, 1)
                         : ASN1_BIT_STRING_set_bit(usage.get(), 0, 1);
  return set && AddExtension(x509, NID_key_usage, usage.get(), true);
}

bool AddPurposes(X509* x509) {
  bssl::UniquePtr<EXTENDED_KEY_USAGE> purposes(EXTENDED_KEY_USAGE_new());
  if (!purposes) return false;
  for (int nid : {NID_server_auth, NID_client_auth}) {
    if (!sk_ASN1_OBJECT_push(purposes.get(), OBJ_nid2obj(nid))) return false;
  }
  return AddExtension(x509, NID_ext_key_usage, purposes.get(), false);
}

bool PushName(GENERAL_NAMES* names, int type, absl::string_view text) {
  bssl::UniquePtr<ASN1_IA5STRING> value(ASN1_IA5STRING_new());
  bssl::UniquePtr<GENERAL_NAME> name(GENERAL_NAME_new());
  if (!value || !name || !ASN1_STRING_set(value.get(), text.data(), static_cast<int>(text.size()))) return false;
  GENERAL_NAME_set0_value(name.get(), type, value.release());
  return bssl::PushToStack(names, std::move(name));
}

bool AddNames(X509* x509, const Draft& draft) {
  bssl::UniquePtr<GENERAL_NAMES> names(GENERAL_NAMES_new());
  if (!names || !PushName(names.get(), GEN_URI, draft.uri)) return false;
  for (const std::string& dns_name : draft.dns_names) {
    if (!PushName(names.get(), GEN_DNS, dns_name)) return false;
  }
  return AddExtension(x509, NID_subject_alt_name, names.get(), draft.organization.empty());
}

bool AddNameEntry(X509_NAME* name, int nid, absl::string_view text) {
  // 64 is the upper bound of both attributes (RFC 5280 appendix A.1); a trust domain may be
  // longer, and its whole name stands in the URI.
  text = text.substr(0, 64);
  return X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8, reinterpret_cast<const uint8_t*>(text.data()),
                                    static_cast<int>(text.size()), -1, 0) == 1;
}

// A signing certificate is named by its trust domain and its serial, so that a rotated one
// never shares a name with its predecessor; a leaf has no name but its SPIFFE ID.
bool SetNames(X509* x509, const Draft& draft, absl::string_view serial_hex) {
  bssl::UniquePtr<X509_NAME> subject(X509_NAME_new());
  if (!subject) return false;
  if (!draft.organization.empty() && !(AddNameEntry(subject.get(), NID_organizationName, draft.organization) &&
                                       AddNameEntry(subject.get(), NID_commonName, serial_hex))) {
    return false;
  }
  X509_NAME* issuer = draft.issuer == nullptr ? subject.get() : X509_get_subject_name(draft.issuer->x509());
  return X509_set_subject_name(x509, subject.get()) && X509_set_issuer_name(x509, issuer);
}

bool SetSerial(X509* x509, const std::string& serial_hex) {
  BIGNUM* raw = nullptr;
  if (!BN_hex2bn(&raw, serial_hex.c_str())) return false;
  bssl::UniquePtr<BIGNUM> number(raw);
  return BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(x509)) != nullptr;
}

bool SetTimes(X509* x509, const Draft& draft) {
  bssl::UniquePtr<ASN1_TIME> not_before(ASN1_TIME_set(nullptr, absl::ToTimeT(draft.not_before)));
  bssl::UniquePtr<ASN1_TIME> not_after(ASN1_TIME_set(nullptr, absl::ToTimeT(draft.not_after)));
  return not_before && not_after && X509_set1_notBefore(x509, not_before.get()) &&
         X509_set1_notAfter(x509, not_after.get());
}

absl::StatusOr<Certificate> Encode(X509* x509) {
  uint8_t* der = nullptr;
  const int size = i2d_X509(x509, &der);
  if (size <= 0) return Failed("it cannot be encoded");
  bssl::UniquePtr<uint8_t> owned(der);
  return Certificate::Parse(absl::MakeConstSpan(der, static_cast<size_t>(size)));
}

// Caps the lifetime by the issuer's, so that no certificate promises more than its path holds.
absl::Status CapLifetime(Draft& draft) {
  if (draft.issuer != nullptr) {
    draft.not_before = std::max(draft.not_before, draft.issuer->not_before());
    draft.not_after = std::min(draft.not_after, draft.issuer->not_after());
  }
  // Certificates hold whole seconds; less than one would be empty.
  if (absl::ToTimeT(draft.not_before) < absl::ToTimeT(draft.not_after)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("a certificate from ", absl::FormatTime(draft.not_before, absl::UTCTimeZone()), " to ",
                   absl::FormatTime(draft.not_after, absl::UTCTimeZone()),
                   " would never be valid: the issuer has expired or the lifetime is too short"));
}

absl::StatusOr<Certificate> Sign(Draft draft, EVP_PKEY* signing_key, Random& random) {
  if (absl::Status strength = CheckPublicKeyStrength(draft.public_key); !strength.ok()) return strength;
  if (absl::Status lifetime = CapLifetime(draft); !lifetime.ok()) return lifetime;
  const std::string serial_hex = random.Hex(kSerialBytes);
  bssl::UniquePtr<X509> x509(X509_new());
  if (!x509 || !X509_set_version(x509.get(), 2) || !SetSerial(x509.get(), serial_hex) ||
      !SetNames(x509.get(), draft, serial_hex) || !SetTimes(x509.get(), draft) ||
      !X509_set_pubkey(x509.get(), draft.public_key)) {
    return Failed("its fields cannot be set");
  }
  if (!AddBasicConstraints(x509.get(), draft) || !AddKeyUsage(x509.get(), draft.is_ca) ||
      (!draft.is_ca && !AddPurposes(x509.get())) || !AddKeyIds(x509.get(), draft.issuer) ||
      !AddNames(x509.get(), draft)) {
    return Failed("its extensions cannot be set");
  }
  if (!X509_sign(x509.get(), signing_key, SignatureDigest(signing_key))) return Failed("signing failed");
  return Encode(x509.get());
}

// A leaf must be of its issuer's trust domain: that is what makes the issuer's bundle vouch for it.
absl::Status CheckLeafId(const Certificate& issuer, const SpiffeId& id) {
  if (!id.has_path()) {
    return absl::InvalidArgumentError(absl::StrCat("an SVID needs a SPIFFE ID with a path, not ", id.ToString()));
  }
  const std::vector<std::string>& names = issuer.uri_names();
  if (names.size() == 1 && names.front() == id.trust_domain().IdString()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("an issuer named ", names.empty() ? "by no SPIFFE ID" : names.front(),
                                                 " cannot sign an SVID for ", id.ToString()));
}

}  // namespace

absl::StatusOr<SigningAuthority> CreateRoot(const TrustDomain& trust_domain, const PrivateKey& key,
                                            absl::Time not_before, absl::Time not_after, Random& random) {
  Draft draft;
  draft.public_key = key.evp();
  draft.not_before = not_before;
  draft.not_after = not_after;
  draft.is_ca = true;
  draft.organization = trust_domain.name();
  draft.uri = trust_domain.IdString();
  absl::StatusOr<Certificate> certificate = Sign(std::move(draft), key.evp(), random);
  if (!certificate.ok()) return certificate.status();
  return SigningAuthority{*std::move(certificate), key};
}

absl::StatusOr<SigningAuthority> CreateIntermediate(const SigningAuthority& issuer, const TrustDomain& trust_domain,
                                                    const PrivateKey& key, absl::Time not_before,
                                                    absl::Time not_after, Random& random) {
  Draft draft;
  draft.issuer = &issuer.certificate;
  draft.public_key = key.evp();
  draft.not_before = not_before;
  draft.not_after = not_after;
  draft.is_ca = true;
  draft.path_length = 0;
  draft.organization = trust_domain.name();
  draft.uri = trust_domain.IdString();
  absl::StatusOr<Certificate> certificate = Sign(std::move(draft), issuer.key.evp(), random);
  if (!certificate.ok()) return certificate.status();
  return SigningAuthority{*std::move(certificate), key};
}

absl::StatusOr<Certificate> SignLeaf(const SigningAuthority& issuer, const LeafRequest& request, Random& random) {
  if (absl::Status status = CheckLeafId(issuer.certificate, request.id); !status.ok()) return status;
  Draft draft;
  draft.issuer = &issuer.certificate;
  draft.public_key = request.public_key;
  draft.not_before = request.not_before;
  draft.not_after = request.not_after;
  draft.uri = request.id.ToString();
  draft.dns_names = request.dns_names;
  return Sign(std::move(draft), issuer.key.evp(), random);
}

}  // namespace lanyard
