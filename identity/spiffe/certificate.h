// An X.509 certificate (RFC 5280), parsed once into the facts that identity needs.
// Parsing says nothing about trust: that is VerifySvid (verify.h).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <openssl/base.h>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace lanyard {

// Immutable, cheap to copy (shared), thread-safe.
class Certificate {
 public:
  static constexpr size_t kMaxSizeBytes = 16 << 10;

  // One DER certificate with nothing after it. InvalidArgument says what is malformed:
  // not DER, trailing bytes, not version 3, unreadable or repeated extensions, a time out of
  // range, a serial that is negative or longer than 20 bytes, more in it than CertificateShape allows. Of unknown
  // keys and algorithms it says nothing.
  static absl::StatusOr<Certificate> Parse(absl::Span<const uint8_t> der);
  // Concatenated DER certificates without padding (SPIFFE Workload API 5.1); none to kMaxChainLength.
  static absl::StatusOr<std::vector<Certificate>> ParseConcatenatedDer(absl::Span<const uint8_t> der);
  // All "CERTIFICATE" blocks of PEM text, at least one; other blocks are ignored.
  static absl::StatusOr<std::vector<Certificate>> ParsePem(absl::string_view pem);

  static constexpr size_t kMaxChainLength = 64;

  const std::string& der() const;
  std::string ToPem() const;

  absl::Time not_before() const;
  absl::Time not_after() const;
  // Lower-case hex without separators or leading zero bytes ("00" for zero); as logs and bans name it.
  const std::string& serial() const;
  // SubjectPublicKeyInfo DER.
  const std::string& public_key_der() const;
  // SHA-256 over der(), 32 raw bytes.
  const std::string& fingerprint() const;

  bool is_ca() const;                        // basicConstraints cA
  long path_length() const;                  // pathLenConstraint; -1 when there is none
  bool has_key_usage() const;
  bool key_usage_critical() const;
  bool key_usage_digital_signature() const;
  bool key_usage_cert_sign() const;
  bool key_usage_crl_sign() const;
  bool has_extended_key_usage() const;
  bool eku_server_auth() const;
  bool eku_client_auth() const;
  // Every URI in subjectAltName, as written and in order.
  const std::vector<std::string>& uri_names() const;
  // Every DNS name in subjectAltName.
  const std::vector<std::string>& dns_names() const;
  bool subject_empty() const;
  // Subject and issuer are the same name (RFC 5280 4.2.1.9 does not count such in path lengths).
  bool self_issued() const;
  // Signed by an algorithm that counts (signature_algorithm.h); says nothing about the signature.
  bool has_strong_signature() const;
  // "" when absent; lower-case hex otherwise.
  const std::string& subject_key_id() const;
  const std::string& authority_key_id() const;

  // Borrowed; lives as long as this value or a copy of it. Never modified.
  X509* x509() const;
  CRYPTO_BUFFER* buffer() const;

  friend bool operator==(const Certificate& a, const Certificate& b) { return a.der() == b.der(); }

 private:
  struct Facts;
  explicit Certificate(std::shared_ptr<const Facts> facts) : facts_(std::move(facts)) {}
  std::shared_ptr<const Facts> facts_;
};

}  // namespace lanyard
