// authority.yaml, checked and turned into settings.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "identity/authority/ca_hierarchy.h"
#include "identity/authority/issuer.h"
#include "identity/config/log_config.h"
#include "identity/spiffe/trust_domain.h"

namespace lanyard {

struct AuthoritySettings {
  TrustDomain trust_domain;
  std::string data_dir;
  std::string sealing_key_file;
  std::string bundle_file;       // empty: none
  std::string agents_host;       // "[::]", "127.0.0.1"
  uint16_t agents_port;          // 0: any
  std::string operators_socket;  // a path
  CaLifetimes ca;
  Issuer::Lifetimes svids;
  std::string admin_address = {};  // of /metrics; empty: none
  LogSettings log;
};

// Reports every mistake at once, each with its path, value and remedy. Touches nothing but `path`.
absl::StatusOr<AuthoritySettings> LoadAuthoritySettings(const std::string& path);

}  // namespace lanyard
