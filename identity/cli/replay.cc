#include "identity/cli/replay.h"

#include <arpa/inet.h>

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "identity/cli/decision.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

using Json = nlohmann::json;
using Outcome = ReplayedTuple::Outcome;

// A terminal is to be shown it.
bool IsPlainText(const Json& value) {
  if (!value.is_string()) return false;
  const auto& text = value.get_ref<const std::string&>();
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_isprint(c); });
}

// The file may come from anywhere: a value of another type must not be asked for.
bool IsWellTyped(const Json& json) {
  if (!json.is_object()) return false;
  const auto each = [&json](std::initializer_list<const char*> names, bool (*fits)(const Json&)) {
    return std::all_of(names.begin(), names.end(),
                       [&](const char* name) { return !json.contains(name) || fits(json[name]); });
  };
  return each({"direction", "local_id", "peer_id", "destination", "rule", "last_seen"}, IsPlainText) &&
         each({"captured", "allowed"}, [](const Json& value) { return value.is_boolean(); }) &&
         each({"port", "count"}, [](const Json& value) { return value.is_number_unsigned(); }) &&
         each({"port"}, [](const Json& value) { return value.get<uint64_t>() <= 65535; });
}

absl::StatusOr<ObservedTuple> TupleOf(const Json& json) {
  ObservedTuple tuple;
  const std::string direction = json.value("direction", "");
  if (direction != "inbound" && direction != "outbound") {
    return absl::InvalidArgumentError(absl::StrCat("direction is \"", direction, "\""));
  }
  tuple.inbound = direction == "inbound";
  tuple.local_id = json.value("local_id", "");
  tuple.peer_id = json.value("peer_id", "");
  tuple.destination = json.value("destination", "");
  tuple.port = json.value("port", uint16_t{0});
  tuple.captured = json.value("captured", false);
  tuple.allowed = json.value("allowed", false);
  tuple.rule = json.value("rule", "");
  tuple.count = json.value("count", uint64_t{1});
  std::string why;
  const std::string last_seen = json.value("last_seen", "");
  if (!last_seen.empty() && !absl::ParseTime(absl::RFC3339_full, last_seen, &tuple.last_seen, &why)) {
    return absl::InvalidArgumentError(absl::StrCat("last_seen is \"", last_seen, "\": ", why));
  }
  return tuple;
}

// Network order: 4 or 16 bytes; none where it is not an address.
std::vector<uint8_t> AddressBytes(absl::string_view destination) {
  absl::string_view host = destination.substr(0, std::min(destination.rfind(':'), destination.size()));
  absl::ConsumePrefix(&host, "[");
  absl::ConsumeSuffix(&host, "]");
  std::vector<uint8_t> bytes(16);
  const std::string text(host);
  if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return bytes;
  bytes.resize(4);
  if (inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) return bytes;
  return {};
}

const Route* FirstMatch(const std::vector<Route>& routes, const ObservedTuple& tuple) {
  const std::vector<uint8_t> address = AddressBytes(tuple.destination);
  for (const Route& route : routes) {
    const bool port = route.ports.empty() ||
                      std::find(route.ports.begin(), route.ports.end(), tuple.port) != route.ports.end();
    const bool block = route.destinations.empty() ||
                       std::any_of(route.destinations.begin(), route.destinations.end(),
                                   [&](const AddressBlock& one) { return one.Contains(address); });
    if (port && block) return &route;
  }
  return nullptr;
}

ReplayedTuple Answer(const ObservedTuple& tuple, Outcome outcome, std::string rule, std::string reason) {
  return {tuple, outcome, std::move(rule), std::move(reason)};
}

ReplayedTuple Decided(const ObservedTuple& tuple, bool allowed, std::string rule, std::string reason) {
  const Outcome changed = allowed ? Outcome::kNewlyAllowed : Outcome::kNewlyDenied;
  return Answer(tuple, allowed == tuple.allowed ? Outcome::kUnchanged : changed, std::move(rule), std::move(reason));
}

// Nothing where it is no SPIFFE ID.
std::optional<SpiffeId> IdOf(const std::string& text) {
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(text);
  if (!id.ok()) return std::nullopt;
  return *std::move(id);
}

ReplayedTuple ReplayInbound(const RulesFile& rules, const BanSet& bans, const ObservedTuple& tuple,
                            const SpiffeId& local, absl::Time now) {
  const bool spoken_of = std::any_of(rules.policies.begin(), rules.policies.end(), [&](const WorkloadPolicy& policy) {
    return SpeaksOf(policy.workloads, {local});
  });
  if (!spoken_of) return Answer(tuple, Outcome::kNotConcerned, "", "no policy speaks of this workload");
  const CallDecision decision = Decide(rules.policies, bans, Call{local, tuple.port, IdOf(tuple.peer_id)}, now);
  const std::string rule = decision.allowed ? absl::StrCat(decision.policy, "/", decision.rule) : "";
  return Decided(tuple, decision.allowed, rule, decision.reason);
}

ReplayedTuple ReplayOutbound(const RulesFile& rules, const BanSet& bans, const ObservedTuple& tuple,
                             const SpiffeId& local, absl::Time now) {
  const std::vector<Route> routes = RoutesOf(rules.routes, {local});
  if (routes.empty()) return Answer(tuple, Outcome::kNotConcerned, "", "no route set speaks of this workload");
  const Route* const route = FirstMatch(routes, tuple);
  if (route == nullptr) return Answer(tuple, Outcome::kNotConcerned, "", "no route matches: the default decides");
  const std::optional<SpiffeId> peer = IdOf(tuple.peer_id);
  switch (route->action) {
    case RouteAction::kRefuse:
      return Decided(tuple, false, route->name, absl::StrCat("denied: route ", route->name, " refuses it"));
    case RouteAction::kPassThrough:
      return Decided(tuple, true, route->name, absl::StrCat("allowed: route ", route->name, " passes it through"));
    case RouteAction::kMutualTls:
      break;
  }
  if (!peer) {
    return Answer(tuple, Outcome::kUnknown, route->name,
                  absl::StrCat("route ", route->name, " asks for mutual TLS; who would answer was not observed"));
  }
  if (const Ban* ban = bans.FindId(*peer, now)) {
    return Decided(tuple, false, route->name, absl::StrCat("denied: ", ban->Explanation()));
  }
  if (MatchesAny(route->peers, *peer)) {
    return Decided(tuple, true, route->name, absl::StrCat("allowed: route ", route->name, " expects ", tuple.peer_id));
  }
  return Decided(tuple, false, route->name,
                 absl::StrCat("denied: route ", route->name, " does not expect ", tuple.peer_id));
}

ReplayedTuple ReplayOne(const RulesFile& rules, const BanSet& bans, const ObservedTuple& tuple, absl::Time now) {
  if (!tuple.captured) return Answer(tuple, Outcome::kNotConcerned, "", "a static listener's rules are in proxy.yaml");
  const std::optional<SpiffeId> local = IdOf(tuple.local_id);
  if (!local) return Answer(tuple, Outcome::kNotConcerned, "", "the proxy had no identity then");
  if (tuple.inbound) return ReplayInbound(rules, bans, tuple, *local, now);
  return ReplayOutbound(rules, bans, tuple, *local, now);
}

template <typename Record>
void PutOver(std::vector<Record>& records, const std::vector<Record>& candidates) {
  for (const Record& candidate : candidates) {
    const auto same =
        std::find_if(records.begin(), records.end(), [&](const Record& one) { return one.name == candidate.name; });
    if (same != records.end()) records.erase(same);
    records.push_back(candidate);
  }
  std::sort(records.begin(), records.end(), [](const Record& a, const Record& b) { return a.name < b.name; });
}

}  // namespace

absl::string_view OutcomeName(Outcome outcome) {
  switch (outcome) {
    case Outcome::kUnchanged: return "unchanged";
    case Outcome::kNewlyDenied: return "newly_denied";
    case Outcome::kNewlyAllowed: return "newly_allowed";
    case Outcome::kNotConcerned: return "not_concerned";
    case Outcome::kUnknown: break;
  }
  return "unknown";
}

absl::StatusOr<std::vector<ObservedTuple>> ParseObserved(absl::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("observed") || !json["observed"].is_array()) {
    return absl::InvalidArgumentError("it is not the JSON of /observed: {\"observed\": [...]}");
  }
  std::vector<ObservedTuple> tuples;
  for (const Json& one : json["observed"]) {
    if (!IsWellTyped(one)) {
      return absl::InvalidArgumentError(absl::StrCat("observed[", tuples.size(), "] is not as a proxy writes it"));
    }
    absl::StatusOr<ObservedTuple> tuple = TupleOf(one);
    if (!tuple.ok()) {
      return absl::InvalidArgumentError(absl::StrCat("observed[", tuples.size(), "]: ", tuple.status().message()));
    }
    tuples.push_back(*std::move(tuple));
  }
  return tuples;
}

std::vector<ReplayedTuple> Replay(const RulesFile& rules, const BanSet& bans,
                                  const std::vector<ObservedTuple>& observed, absl::Time now) {
  RulesFile sorted = rules;
  SortRoutes(sorted.routes);
  std::vector<ReplayedTuple> replayed;
  for (const ObservedTuple& tuple : observed) replayed.push_back(ReplayOne(sorted, bans, tuple, now));
  return replayed;
}

std::vector<SilentProxy> SilentOf(const std::vector<ObservedProxy>& proxies, absl::Time now) {
  std::vector<SilentProxy> silent;
  for (const ObservedProxy& proxy : proxies) {
    if (!proxy.agent_connected) {
      silent.push_back({proxy.agent, "", "this agent is not connected: nothing is known of its proxies"});
    } else if (!proxy.reported_at.has_value()) {
      silent.push_back({proxy.agent, proxy.spiffe_id,
                        "it has not reported: it has just started, or it or its agent is of an older version"});
    } else if (now - *proxy.reported_at > kOldReport) {
      silent.push_back({proxy.agent, proxy.spiffe_id,
                        absl::StrCat("it reported last ", absl::FormatDuration(absl::Trunc(now - *proxy.reported_at,
                                                                                           absl::Seconds(1))),
                                     " ago: see its log, and its clock")});
    }
  }
  return silent;
}

RulesFile AppliedOver(RulesFile registry, const RulesFile& candidate) {
  PutOver(registry.policies, candidate.policies);
  PutOver(registry.routes, candidate.routes);
  SortRoutes(registry.routes);
  return registry;
}

}  // namespace lanyard
