// The extensions of a certificate that identity needs, read once (RFC 5280 4.2.1).
#pragma once

#include <string>
#include <vector>

#include <openssl/base.h>

#include "absl/status/statusor.h"

namespace lanyard {

// As Certificate's accessors of the same names.
struct CertificateExtensions {
  bool is_ca = false;
  long path_length = -1;
  bool has_key_usage = false;
  bool key_usage_critical = false;
  bool digital_signature = false;
  bool cert_sign = false;
  bool crl_sign = false;
  bool has_extended_key_usage = false;
  bool eku_server_auth = false;
  bool eku_client_auth = false;
  std::vector<std::string> uri_names;
  std::vector<std::string> dns_names;
  std::string subject_key_id;
  std::string authority_key_id;
};

// Of a certificate whose shape was checked (certificate_shape.h). InvalidArgument: an extension that is there twice,
// or cannot be read.
absl::StatusOr<CertificateExtensions> ReadCertificateExtensions(X509* certificate);

}  // namespace lanyard
