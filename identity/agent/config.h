// agent.yaml as checked values (api/lanyard/config/agent.proto).
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/base/logging.h"
#include "identity/config/log_config.h"
#include "identity/spiffe/trust_domain.h"

namespace lanyard {

struct AgentSettings {
  TrustDomain trust_domain;
  std::string data_dir;
  std::string authority_address;
  std::string bundle_file;             // empty: trust_on_first_use
  bool insecure_trust_on_first_use = false;
  absl::Duration connect_timeout;
  std::string join_token;              // at most one of these two; neither once the node has attested
  std::string join_token_file;
  std::string socket_path;
  std::string admin_address = {};  // of /metrics; empty: none
  LogSettings log;
};

inline constexpr char kDefaultWorkloadApiSocket[] = "/run/lanyard/agent.sock";

// InvalidArgument lists every mistake of the file at once.
absl::StatusOr<AgentSettings> LoadAgentConfig(const std::string& path);

}  // namespace lanyard
