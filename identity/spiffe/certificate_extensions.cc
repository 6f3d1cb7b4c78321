#include "identity/spiffe/certificate_extensions.h"

#include <openssl/asn1.h>
#include <openssl/err.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "identity/spiffe/crypto_error.h"

namespace lanyard {
namespace {

absl::Status CheckEachOnce(X509* certificate) {
  const int count = X509_get_ext_count(certificate);
  for (int i = 0; i < count; ++i) {
    const ASN1_OBJECT* oid = X509_EXTENSION_get_object(X509_get_ext(certificate, i));
    if (X509_get_ext_by_OBJ(certificate, oid, i) < 0) continue;
    char text[80];
    OBJ_obj2txt(text, sizeof(text), oid, 0);
    return absl::InvalidArgumentError(absl::StrCat("it has the extension ", text, " twice"));
  }
  return absl::OkStatus();
}

// The extension `nid`, null when it is absent. CheckEachOnce has run.
template <typename Extension>
absl::StatusOr<bssl::UniquePtr<Extension>> Read(X509* certificate, int nid, bool* critical = nullptr) {
  int found = 0;
  bssl::UniquePtr<Extension> value(static_cast<Extension*>(X509_get_ext_d2i(certificate, nid, &found, nullptr)));
  if (!value && found != -1) {
    return CryptoError(absl::StatusCode::kInvalidArgument,
                       absl::StrCat("its extension ", OBJ_nid2sn(nid), " cannot be read"));
  }
  if (critical != nullptr) *critical = found == 1;
  return value;
}

std::string TextOf(const ASN1_STRING* text) {
  return std::string(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                     static_cast<size_t>(ASN1_STRING_length(text)));
}

absl::Status ReadConstraints(X509* certificate, CertificateExtensions& out) {
  auto constraints = Read<BASIC_CONSTRAINTS>(certificate, NID_basic_constraints);
  if (!constraints.ok()) return constraints.status();
  out.is_ca = *constraints != nullptr && (*constraints)->ca != 0;
  out.path_length = X509_get_pathlen(certificate);
  return absl::OkStatus();
}

absl::Status ReadKeyUsage(X509* certificate, CertificateExtensions& out) {
  auto usage = Read<ASN1_BIT_STRING>(certificate, NID_key_usage, &out.key_usage_critical);
  if (!usage.ok()) return usage.status();
  out.has_key_usage = *usage != nullptr;
  if (!out.has_key_usage) return absl::OkStatus();
  // Bit numbers of RFC 5280 4.2.1.3.
  out.digital_signature = ASN1_BIT_STRING_get_bit(usage->get(), 0) == 1;
  out.cert_sign = ASN1_BIT_STRING_get_bit(usage->get(), 5) == 1;
  out.crl_sign = ASN1_BIT_STRING_get_bit(usage->get(), 6) == 1;
  return absl::OkStatus();
}

absl::Status ReadExtendedKeyUsage(X509* certificate, CertificateExtensions& out) {
  auto usage = Read<EXTENDED_KEY_USAGE>(certificate, NID_ext_key_usage);
  if (!usage.ok()) return usage.status();
  out.has_extended_key_usage = *usage != nullptr;
  if (!out.has_extended_key_usage) return absl::OkStatus();
  for (const ASN1_OBJECT* purpose : usage->get()) {
    const int nid = OBJ_obj2nid(purpose);
    out.eku_server_auth |= nid == NID_server_auth;
    out.eku_client_auth |= nid == NID_client_auth;
  }
  return absl::OkStatus();
}

absl::Status ReadNames(X509* certificate, CertificateExtensions& out) {
  auto names = Read<GENERAL_NAMES>(certificate, NID_subject_alt_name);
  if (!names.ok()) return names.status();
  if (*names == nullptr) return absl::OkStatus();
  for (const GENERAL_NAME* name : names->get()) {
    if (name->type == GEN_URI) out.uri_names.push_back(TextOf(name->d.uniformResourceIdentifier));
    if (name->type == GEN_DNS) out.dns_names.push_back(TextOf(name->d.dNSName));
  }
  return absl::OkStatus();
}

absl::Status ReadKeyIds(X509* certificate, CertificateExtensions& out) {
  auto subject = Read<ASN1_OCTET_STRING>(certificate, NID_subject_key_identifier);
  if (!subject.ok()) return subject.status();
  if (*subject != nullptr) out.subject_key_id = absl::BytesToHexString(TextOf(subject->get()));
  auto authority = Read<AUTHORITY_KEYID>(certificate, NID_authority_key_identifier);
  if (!authority.ok()) return authority.status();
  if (*authority != nullptr && (*authority)->keyid != nullptr) {
    out.authority_key_id = absl::BytesToHexString(TextOf((*authority)->keyid));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CertificateExtensions> ReadCertificateExtensions(X509* certificate) {
  if (absl::Status once = CheckEachOnce(certificate); !once.ok()) return once;
  // BoringSSL's own pass over the extensions: what it cannot read it would not verify either.
  if (X509_check_purpose(certificate, -1, 0) != 1) {
    return CryptoError(absl::StatusCode::kInvalidArgument, "its extensions cannot be read");
  }
  CertificateExtensions out;
  for (auto* read : {ReadConstraints, ReadKeyUsage, ReadExtendedKeyUsage, ReadNames, ReadKeyIds}) {
    if (absl::Status status = read(certificate, out); !status.ok()) return status;
  }
  return out;
}

}  // namespace lanyard
