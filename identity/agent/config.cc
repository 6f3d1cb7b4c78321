#include "identity/agent/config.h"

#include <sys/un.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/lanyard/config/agent.pb.h"
#include "identity/config/checks.h"
#include "identity/config/config_file.h"

namespace lanyard {
namespace {

constexpr absl::Duration kDefaultConnectTimeout = absl::Seconds(5);

absl::Duration ConnectTimeout(const config::AuthorityEndpoint& authority) {
  return DurationOr(authority.has_connect_timeout(), authority.connect_timeout(), kDefaultConnectTimeout);
}

void CheckAuthority(const config::AuthorityEndpoint& authority, ConfigProblems& problems) {
  if (CheckRequired(problems, "authority.address", authority.address(),
                    "where the authority listens, such as \"authority.example.org:7443\"")) {
    CheckAddress(problems, "authority.address", authority.address(), AddressUse::kDialTcp);
  }
  if (authority.bundle_file().empty() && !authority.insecure_trust_on_first_use()) {
    problems.Add("authority.bundle_file",
                 "is missing: write the PEM file that `lanyard bundle show` of the authority gives; trusting whoever "
                 "answers first needs insecure_trust_on_first_use: true");
  } else if (!authority.bundle_file().empty() && authority.insecure_trust_on_first_use()) {
    problems.Add("authority.insecure_trust_on_first_use", "contradicts bundle_file: remove one of them");
  } else if (!authority.bundle_file().empty()) {
    CheckReadableFile(problems, "authority.bundle_file", authority.bundle_file());
  }
  CheckDuration(problems, "authority.connect_timeout", ConnectTimeout(authority), absl::Milliseconds(100),
                absl::Minutes(1));
}

std::string SocketPath(const config::AgentConfig& config) {
  return config.workload_api().socket().empty() ? kDefaultWorkloadApiSocket : config.workload_api().socket();
}

void CheckSocket(const std::string& path, ConfigProblems& problems) {
  constexpr size_t kLongest = sizeof(sockaddr_un::sun_path) - 1;
  if (!absl::StartsWith(path, "/")) {
    problems.Add("workload_api.socket", absl::StrCat("\"", path, "\" is not an absolute path; write one"));
  } else if (path.size() > kLongest) {
    problems.Add("workload_api.socket", absl::StrCat("a path of ", path.size(), " bytes is longer than the ", kLongest,
                                                     " that a Unix socket may have; choose a shorter one"));
  }
}

void Check(const config::AgentConfig& config, ConfigProblems& problems) {
  if (CheckRequired(problems, "trust_domain", config.trust_domain(), "the authority's trust domain")) {
    CheckTrustDomain(problems, "trust_domain", config.trust_domain());
  }
  CheckRequired(problems, "data_dir", config.data_dir(), "the folder where the node keeps its keys");
  CheckAuthority(config.authority(), problems);
  if (!config.attestation().join_token().empty() && !config.attestation().join_token_file().empty()) {
    problems.Add("attestation.join_token_file", "contradicts join_token: remove one of them");
  }
  CheckSocket(SocketPath(config), problems);
  CheckAdminAddress(problems, "admin.address", config.admin().address());
  LogFromConfig(config.log(), "log", problems);
}

}  // namespace

absl::StatusOr<AgentSettings> LoadAgentConfig(const std::string& path) {
  config::AgentConfig config;
  const absl::Status loaded = LoadConfig<config::AgentConfig>(path, config, Check);
  if (!loaded.ok()) return loaded;
  absl::StatusOr<TrustDomain> trust_domain = TrustDomain::Parse(config.trust_domain());
  if (!trust_domain.ok()) return trust_domain.status();
  ConfigProblems none;
  return AgentSettings{.trust_domain = *std::move(trust_domain),
                       .data_dir = config.data_dir(),
                       .authority_address = config.authority().address(),
                       .bundle_file = config.authority().bundle_file(),
                       .insecure_trust_on_first_use = config.authority().insecure_trust_on_first_use(),
                       .connect_timeout = ConnectTimeout(config.authority()),
                       .join_token = config.attestation().join_token(),
                       .join_token_file = config.attestation().join_token_file(),
                       .socket_path = SocketPath(config),
                       .admin_address = config.admin().address(),
                       .log = LogFromConfig(config.log(), "log", none)};
}

}  // namespace lanyard
