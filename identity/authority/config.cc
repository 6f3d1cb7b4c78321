#include "identity/authority/config.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/lanyard/config/authority.pb.h"
#include "identity/config/checks.h"
#include "identity/config/config_file.h"

namespace lanyard {
namespace {

constexpr char kDefaultAgentsAddress[] = "[::]:7443";
constexpr char kDefaultOperatorsAddress[] = "unix:///run/lanyard/authority.sock";
constexpr size_t kMaxSocketPathBytes = 107;  // sun_path without its final zero
constexpr absl::Duration kYear = absl::Hours(24 * 365);

absl::string_view Or(const std::string& text, absl::string_view fallback) { return text.empty() ? fallback : text; }

struct Lifetimes {
  CaLifetimes ca;
  Issuer::Lifetimes svids;
};

Lifetimes LifetimesFrom(const config::AuthorityLifetimes& message) {
  Lifetimes lifetimes;
  lifetimes.ca.root = DurationOr(message.has_root(), message.root(), lifetimes.ca.root);
  lifetimes.ca.intermediate = DurationOr(message.has_intermediate(), message.intermediate(), lifetimes.ca.intermediate);
  lifetimes.ca.backdate = DurationOr(message.has_backdate(), message.backdate(), lifetimes.ca.backdate);
  lifetimes.svids.x509_svid = DurationOr(message.has_x509_svid(), message.x509_svid(), lifetimes.svids.x509_svid);
  lifetimes.svids.node_svid = DurationOr(message.has_node_svid(), message.node_svid(), lifetimes.svids.node_svid);
  lifetimes.svids.backdate = lifetimes.ca.backdate;
  lifetimes.ca.longest_svid = std::max(lifetimes.svids.x509_svid, lifetimes.svids.node_svid);
  return lifetimes;
}

// Certificates hold whole seconds, so nothing much shorter makes sense.
void CheckLifetimes(const Lifetimes& lifetimes, ConfigProblems& problems) {
  const CaLifetimes& ca = lifetimes.ca;
  // Of one path the first mistake counts, so that what is out of range is not held against another as well.
  CheckDuration(problems, "lifetimes.root", ca.root, absl::Seconds(10), 100 * kYear);
  CheckDuration(problems, "lifetimes.intermediate", ca.intermediate, absl::Seconds(4), 50 * kYear);
  CheckDuration(problems, "lifetimes.x509_svid", lifetimes.svids.x509_svid, absl::Seconds(2), kYear);
  CheckDuration(problems, "lifetimes.node_svid", lifetimes.svids.node_svid, absl::Seconds(2), kYear);
  CheckDuration(problems, "lifetimes.backdate", ca.backdate, absl::ZeroDuration(), absl::Hours(1));
  if (ca.intermediate > ca.LongestIntermediateAllowed()) {
    problems.Add("lifetimes.intermediate",
                 absl::StrCat(absl::FormatDuration(ca.intermediate), " leaves a root of ",
                              absl::FormatDuration(ca.root), " no room to rotate; write at most ",
                              absl::FormatDuration(ca.LongestIntermediateAllowed()), ", half of lifetimes.root"));
  }
  for (const auto& [path, svid] : {std::pair("lifetimes.x509_svid", lifetimes.svids.x509_svid),
                                   std::pair("lifetimes.node_svid", lifetimes.svids.node_svid)}) {
    if (svid <= ca.LongestSvidAllowed()) continue;
    problems.Add(path, absl::StrCat(absl::FormatDuration(svid), " leaves an intermediate of ",
                                    absl::FormatDuration(ca.intermediate), " no room to rotate; write at most ",
                                    absl::FormatDuration(ca.LongestSvidAllowed()),
                                    ", three quarters of lifetimes.intermediate"));
  }
}

void CheckOperators(const std::string& address, ConfigProblems& problems) {
  if (!CheckAddress(problems, "operators.address", address, AddressUse::kListen)) return;
  const auto parsed = ParseConfigAddress(address, AddressUse::kListen);
  if (parsed->unix_path.empty()) {
    problems.Add("operators.address",
                 absl::StrCat("'", address, "' is not a Unix socket, the only way for operators; write unix:///path"));
  } else if (parsed->unix_path.size() > kMaxSocketPathBytes) {
    problems.Add("operators.address", absl::StrCat("'", address, "' is too long; a socket's path has at most ",
                                                   kMaxSocketPathBytes, " bytes"));
  }
}

void CheckConfig(const config::AuthorityConfig& config, ConfigProblems& problems) {
  if (CheckRequired(problems, "trust_domain", config.trust_domain(), "the name of this authority's trust domain")) {
    CheckTrustDomain(problems, "trust_domain", config.trust_domain());
  }
  CheckRequired(problems, "data_dir", config.data_dir(), "the folder for the database and the sealed keys");
  CheckAddress(problems, "agents.address", Or(config.agents().address(), kDefaultAgentsAddress),
               AddressUse::kListenTcp);
  CheckOperators(std::string(Or(config.operators().address(), kDefaultOperatorsAddress)), problems);
  CheckLifetimes(LifetimesFrom(config.lifetimes()), problems);
  CheckAdminAddress(problems, "admin.address", config.admin().address());
  LogFromConfig(config.log(), "log", problems);
}

}  // namespace

absl::StatusOr<AuthoritySettings> LoadAuthoritySettings(const std::string& path) {
  config::AuthorityConfig config;
  const absl::Status loaded = LoadConfig(path, config, CheckConfig);
  if (!loaded.ok()) return loaded;
  absl::StatusOr<TrustDomain> trust_domain = TrustDomain::Parse(config.trust_domain());
  const auto agents = ParseConfigAddress(Or(config.agents().address(), kDefaultAgentsAddress), AddressUse::kListenTcp);
  const auto operators =
      ParseConfigAddress(Or(config.operators().address(), kDefaultOperatorsAddress), AddressUse::kListen);
  if (!trust_domain.ok() || !agents.ok() || !operators.ok()) return absl::InternalError("checked values do not parse");
  const Lifetimes lifetimes = LifetimesFrom(config.lifetimes());
  ConfigProblems none;
  const bool bracketed = agents->host.empty() || absl::StrContains(agents->host, ':');
  return AuthoritySettings{
      .trust_domain = *std::move(trust_domain),
      .data_dir = config.data_dir(),
      .sealing_key_file = std::string(Or(config.sealing_key_file(), absl::StrCat(config.data_dir(), "/sealing.key"))),
      .bundle_file = config.bundle_file(),
      .agents_host = bracketed ? absl::StrCat("[", Or(agents->host, "::"), "]") : agents->host,
      .agents_port = agents->port,
      .operators_socket = operators->unix_path,
      .ca = lifetimes.ca,
      .svids = lifetimes.svids,
      .admin_address = config.admin().address(),
      .log = LogFromConfig(config.log(), "log", none)};
}

}  // namespace lanyard
