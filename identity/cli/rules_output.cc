#include "identity/cli/rules_output.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

using nlohmann::ordered_json;

template <typename Values>
std::vector<std::string> Texts(const Values& values) {
  std::vector<std::string> texts;
  for (const auto& value : values) texts.push_back(value.ToString());
  return texts;
}

const char* NameOf(RouteAction action) {
  switch (action) {
    case RouteAction::kPassThrough:
      return "pass_through";
    case RouteAction::kMutualTls:
      return "mutual_tls";
    case RouteAction::kRefuse:
      break;
  }
  return "refuse";
}

ordered_json ToJson(const PolicyRule& rule) {
  return {{"name", rule.name},
          {"ports", rule.ports},
          {"peers", Texts(rule.peers)},
          {"allow_plaintext", rule.allow_plaintext}};
}

ordered_json ToJson(const Route& route) {
  return {{"name", route.name},
          {"destinations", Texts(route.destinations)},
          {"ports", route.ports},
          {"action", NameOf(route.action)},
          {"peers", Texts(route.peers)}};
}

template <typename Values>
ordered_json ListToJson(const Values& values) {
  ordered_json list = ordered_json::array();
  for (const auto& value : values) list.push_back(ToJson(value));
  return list;
}

std::string Who(const PolicyRule& rule) {
  std::vector<std::string> who = Texts(rule.peers);
  if (rule.allow_plaintext) who.push_back("plaintext");
  return absl::StrJoin(who, " ");
}

std::string Ports(const std::vector<uint16_t>& ports) { return ports.empty() ? "any" : absl::StrJoin(ports, ","); }

}  // namespace

ordered_json ToJson(const ListedPolicy& listed) {
  return {{"name", listed.policy.name},
          {"workloads", Texts(listed.policy.workloads)},
          {"rules", ListToJson(listed.policy.rules)},
          {"version", listed.version},
          {"updated_at", TimeText(listed.updated_at)}};
}

ordered_json ToJson(const ListedRoutes& listed) {
  return {{"name", listed.routes.name},   {"workloads", Texts(listed.routes.workloads)},
          {"order", listed.routes.order}, {"routes", ListToJson(listed.routes.routes)},
          {"version", listed.version},    {"updated_at", TimeText(listed.updated_at)}};
}

ordered_json ToJson(const Ban& ban) {
  ordered_json json = {
      {"subject", ban.subject.ToString()}, {"reason", ban.reason}, {"created_at", TimeText(ban.created_at)}};
  json["expires_at"] = nullptr;
  if (ban.expires_at != absl::InfiniteFuture()) json["expires_at"] = TimeText(ban.expires_at);
  return json;
}

void ShowPolicies(const std::vector<ListedPolicy>& policies, absl::Time now, Output& output) {
  if (output.json()) return output.Json({{"policies", ListToJson(policies)}});
  std::vector<std::vector<std::string>> rows;
  for (const ListedPolicy& listed : policies) {
    const std::string workloads = absl::StrJoin(Texts(listed.policy.workloads), " ");
    const std::string version = absl::StrCat(listed.version), updated = RelativeTime(listed.updated_at, now);
    if (listed.policy.rules.empty()) {
      rows.push_back({listed.policy.name, workloads, "(none)", "any", "(nobody)", version, updated});
    }
    for (const PolicyRule& rule : listed.policy.rules) {
      rows.push_back({listed.policy.name, workloads, rule.name, Ports(rule.ports), Who(rule), version, updated});
    }
  }
  output.Table({"POLICY", "WORKLOADS", "RULE", "PORTS", "WHO MAY CALL", "VERSION", "UPDATED"}, rows);
}

void ShowRoutes(const std::vector<ListedRoutes>& sets, absl::Time now, Output& output) {
  if (output.json()) return output.Json({{"routes", ListToJson(sets)}});
  std::vector<std::vector<std::string>> rows;
  for (const ListedRoutes& listed : sets) {
    for (const Route& route : listed.routes.routes) {
      rows.push_back({listed.routes.name, absl::StrCat(listed.routes.order),
                      absl::StrJoin(Texts(listed.routes.workloads), " "), route.name,
                      route.destinations.empty() ? "any" : absl::StrJoin(Texts(route.destinations), ","),
                      Ports(route.ports), NameOf(route.action), absl::StrJoin(Texts(route.peers), " "),
                      absl::StrCat(listed.version), RelativeTime(listed.updated_at, now)});
    }
  }
  output.Table({"SET", "ORDER", "WORKLOADS", "ROUTE", "DESTINATIONS", "PORTS", "ACTION", "PEERS", "VERSION", "UPDATED"},
               rows);
}

void ShowBans(const std::vector<Ban>& bans, absl::Time now, Output& output) {
  if (output.json()) return output.Json({{"bans", ListToJson(bans)}});
  std::vector<std::vector<std::string>> rows;
  for (const Ban& ban : bans) {
    rows.push_back({ban.subject.ToString(),
                    ban.expires_at == absl::InfiniteFuture() ? "when unbanned" : RelativeTime(ban.expires_at, now),
                    RelativeTime(ban.created_at, now), ban.reason});
  }
  output.Table({"SUBJECT", "ENDS", "CREATED", "REASON"}, rows);
}

void ShowApplied(const std::vector<AppliedRecord>& applied, bool dry_run, Output& output) {
  if (output.json()) {
    ordered_json list = ordered_json::array();
    for (const AppliedRecord& record : applied) {
      list.push_back(
          {{"kind", record.kind}, {"name", record.name}, {"outcome", record.outcome}, {"version", record.version}});
    }
    return output.Json({{"dry_run", dry_run}, {"records", list}});
  }
  for (const AppliedRecord& record : applied) {
    const bool would = dry_run && record.outcome != "unchanged";
    output.Text(absl::StrCat(record.kind, " ", record.name, would ? " would be " : ": ", record.outcome, " (version ",
                             record.version, ")\n"));
  }
}

}  // namespace lanyard
