#include "identity/spiffe/certificate.h"

#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/pool.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "identity/spiffe/certificate_extensions.h"
#include "identity/spiffe/certificate_shape.h"
#include "identity/spiffe/crypto_error.h"
#include "identity/spiffe/signature_algorithm.h"
#include "identity/spiffe/x509_time.h"

namespace lanyard {

struct Certificate::Facts {
  std::string der;
  bssl::UniquePtr<CRYPTO_BUFFER> buffer;
  bssl::UniquePtr<X509> x509;
  absl::Time not_before;
  absl::Time not_after;
  std::string serial;
  std::string public_key_der;
  std::string fingerprint;
  bool subject_empty = false;
  bool self_issued = false;
  bool strong_signature = false;
  CertificateExtensions extensions;
};

namespace {

absl::Status Malformed(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("the certificate is malformed: ", why));
}

// The DER of the first element of `input`; strict, so that one certificate has one encoding.
bool TakeElement(CBS* input, CBS* element) { return CBS_get_asn1_element(input, element, CBS_ASN1_SEQUENCE); }

// All that is asked before BoringSSL builds anything of it.
absl::Status CheckFraming(absl::Span<const uint8_t> der) {
  if (der.size() > Certificate::kMaxSizeBytes) {
    return Malformed(absl::StrCat("it has ", der.size(), " bytes, more than ", Certificate::kMaxSizeBytes));
  }
  CBS input, element;
  CBS_init(&input, der.data(), der.size());
  if (!TakeElement(&input, &element)) return Malformed("it is not DER, or cut short");
  if (CBS_len(&input) != 0) return Malformed(absl::StrCat(CBS_len(&input), " bytes follow it"));
  const absl::Status shape = CheckCertificateShape(der);
  return shape.ok() ? shape : Malformed(shape.message());
}

absl::StatusOr<std::string> SerialOf(const X509* x509) {
  constexpr int kMaxSerialBytes = 20;  // RFC 5280 4.1.2.2
  const ASN1_INTEGER* serial = X509_get0_serialNumber(x509);
  if (ASN1_STRING_type(serial) == V_ASN1_NEG_INTEGER) return Malformed("its serial number is negative");
  absl::string_view bytes(reinterpret_cast<const char*>(ASN1_STRING_get0_data(serial)),
                          static_cast<size_t>(ASN1_STRING_length(serial)));
  while (bytes.size() > 1 && bytes.front() == '\0') bytes.remove_prefix(1);
  if (bytes.empty()) return std::string("00");
  if (bytes.size() > kMaxSerialBytes) {
    return Malformed(absl::StrCat("its serial number has ", bytes.size(), " bytes, more than ", kMaxSerialBytes));
  }
  return absl::BytesToHexString(bytes);
}

std::string PublicKeyDerOf(const X509* x509) {
  uint8_t* der = nullptr;
  const int size = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x509), &der);
  bssl::UniquePtr<uint8_t> owned(der);
  return size <= 0 ? std::string() : std::string(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
}

std::string Sha256(absl::string_view bytes) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), reinterpret_cast<uint8_t*>(digest.data()));
  return digest;
}

bool HasStrongSignature(const X509* x509) {
  const ASN1_BIT_STRING* signature = nullptr;
  const X509_ALGOR* algorithm = nullptr;
  X509_get0_signature(&signature, &algorithm, x509);
  return IsStrongSignature(algorithm);
}

}  // namespace

absl::StatusOr<Certificate> Certificate::Parse(absl::Span<const uint8_t> der) {
  if (absl::Status framing = CheckFraming(der); !framing.ok()) return framing;
  auto facts = std::make_shared<Facts>();
  facts->der.assign(reinterpret_cast<const char*>(der.data()), der.size());
  facts->buffer.reset(CRYPTO_BUFFER_new(der.data(), der.size(), nullptr));
  if (facts->buffer) facts->x509.reset(X509_parse_from_buffer(facts->buffer.get()));
  X509* x509 = facts->x509.get();
  if (x509 == nullptr) return CryptoError(absl::StatusCode::kInvalidArgument, "the certificate is malformed");
  if (X509_get_version(x509) != 2) return Malformed("it is not version 3");

  absl::StatusOr<absl::Time> not_before = ParseX509Time(X509_get0_notBefore(x509));
  if (!not_before.ok()) return Malformed(not_before.status().message());
  absl::StatusOr<absl::Time> not_after = ParseX509Time(X509_get0_notAfter(x509));
  if (!not_after.ok()) return Malformed(not_after.status().message());
  absl::StatusOr<std::string> serial = SerialOf(x509);
  if (!serial.ok()) return serial.status();
  absl::StatusOr<CertificateExtensions> extensions = ReadCertificateExtensions(x509);
  if (!extensions.ok()) return Malformed(extensions.status().message());

  facts->not_before = *not_before;
  facts->not_after = *not_after;
  facts->serial = *std::move(serial);
  facts->extensions = *std::move(extensions);
  facts->public_key_der = PublicKeyDerOf(x509);
  facts->fingerprint = Sha256(facts->der);
  facts->subject_empty = X509_NAME_entry_count(X509_get_subject_name(x509)) == 0;
  facts->self_issued = X509_NAME_cmp(X509_get_subject_name(x509), X509_get_issuer_name(x509)) == 0;
  facts->strong_signature = HasStrongSignature(x509);
  ERR_clear_error();
  return Certificate(std::move(facts));
}

absl::StatusOr<std::vector<Certificate>> Certificate::ParseConcatenatedDer(absl::Span<const uint8_t> der) {
  std::vector<Certificate> certificates;
  CBS input, element;
  CBS_init(&input, der.data(), der.size());
  while (CBS_len(&input) != 0) {
    if (certificates.size() == kMaxChainLength) {
      return absl::InvalidArgumentError(absl::StrCat("there are more than ", kMaxChainLength, " certificates"));
    }
    if (!TakeElement(&input, &element)) return Malformed("it is not DER, or cut short");
    absl::StatusOr<Certificate> certificate = Parse(absl::MakeConstSpan(CBS_data(&element), CBS_len(&element)));
    if (!certificate.ok()) return certificate.status();
    certificates.push_back(*std::move(certificate));
  }
  return certificates;
}

absl::StatusOr<std::vector<Certificate>> Certificate::ParsePem(absl::string_view pem) {
  std::vector<Certificate> certificates;
  bssl::UniquePtr<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  while (bio) {
    char* name = nullptr;
    char* header = nullptr;
    uint8_t* data = nullptr;
    long size = 0;
    if (!PEM_read_bio(bio.get(), &name, &header, &data, &size)) break;
    bssl::UniquePtr<char> owned_name(name), owned_header(header);
    bssl::UniquePtr<uint8_t> owned_data(data);
    if (absl::string_view(name) != "CERTIFICATE") continue;
    if (certificates.size() == kMaxChainLength) {
      return absl::InvalidArgumentError(absl::StrCat("there are more than ", kMaxChainLength, " certificates"));
    }
    absl::StatusOr<Certificate> certificate = Parse(absl::MakeConstSpan(data, static_cast<size_t>(size)));
    if (!certificate.ok()) return certificate.status();
    certificates.push_back(*std::move(certificate));
  }
  // The end of the text shows as "no start line"; anything else is a block that is broken.
  const uint32_t error = ERR_peek_last_error();
  const bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (!at_end) return CryptoError(absl::StatusCode::kInvalidArgument, "a PEM block cannot be read");
  ERR_clear_error();
  if (certificates.empty()) return absl::InvalidArgumentError("there is no CERTIFICATE block in the PEM");
  return certificates;
}

std::string Certificate::ToPem() const {
  std::string body = absl::Base64Escape(der());
  for (size_t end = 64; end < body.size(); end += 65) body.insert(end, 1, '\n');
  return absl::StrCat("-----BEGIN CERTIFICATE-----\n", body, "\n-----END CERTIFICATE-----\n");
}

const std::string& Certificate::der() const { return facts_->der; }
absl::Time Certificate::not_before() const { return facts_->not_before; }
absl::Time Certificate::not_after() const { return facts_->not_after; }
const std::string& Certificate::serial() const { return facts_->serial; }
const std::string& Certificate::public_key_der() const { return facts_->public_key_der; }
const std::string& Certificate::fingerprint() const { return facts_->fingerprint; }
bool Certificate::is_ca() const { return facts_->extensions.is_ca; }
long Certificate::path_length() const { return facts_->extensions.path_length; }
bool Certificate::has_key_usage() const { return facts_->extensions.has_key_usage; }
bool Certificate::key_usage_critical() const { return facts_->extensions.key_usage_critical; }
bool Certificate::key_usage_digital_signature() const { return facts_->extensions.digital_signature; }
bool Certificate::key_usage_cert_sign() const { return facts_->extensions.cert_sign; }
bool Certificate::key_usage_crl_sign() const { return facts_->extensions.crl_sign; }
bool Certificate::has_extended_key_usage() const { return facts_->extensions.has_extended_key_usage; }
bool Certificate::eku_server_auth() const { return facts_->extensions.eku_server_auth; }
bool Certificate::eku_client_auth() const { return facts_->extensions.eku_client_auth; }
const std::vector<std::string>& Certificate::uri_names() const { return facts_->extensions.uri_names; }
const std::vector<std::string>& Certificate::dns_names() const { return facts_->extensions.dns_names; }
bool Certificate::subject_empty() const { return facts_->subject_empty; }
bool Certificate::self_issued() const { return facts_->self_issued; }
bool Certificate::has_strong_signature() const { return facts_->strong_signature; }
const std::string& Certificate::subject_key_id() const { return facts_->extensions.subject_key_id; }
const std::string& Certificate::authority_key_id() const { return facts_->extensions.authority_key_id; }
X509* Certificate::x509() const { return facts_->x509.get(); }
CRYPTO_BUFFER* Certificate::buffer() const { return facts_->buffer.get(); }

}  // namespace lanyard
