#include "identity/authority/authority_metrics.h"

#include <algorithm>

#include "identity/admin/metric_families.h"

namespace lanyard {
namespace {

constexpr AuthorityKind kKinds[] = {AuthorityKind::kRoot, AuthorityKind::kIntermediate};
constexpr AuthorityState kStates[] = {AuthorityState::kPrepared, AuthorityState::kActive, AuthorityState::kRetired};

std::string NameOf(AuthorityKind kind) { return std::string(AuthorityKindName(kind)); }

void AddIssuing(const IssuingCounters& issuing, MetricFamilies& out) {
  out.Counter("svids_signed_total", "X.509-SVIDs signed for agents.")
      .Value(issuing.signed_svids(SvidKind::kWorkload), {{"kind", "workload"}})
      .Value(issuing.signed_svids(SvidKind::kNode), {{"kind", "node"}});
  out.Counter("svids_refused_total", "Requests for an X.509-SVID that were refused.");
  for (size_t i = 0; i < kRefusalReasonCount; ++i) {
    const auto reason = static_cast<RefusalReason>(i);
    out.Value(issuing.refused(reason), {{"reason", std::string(RefusalReasonName(reason))}});
  }
}

void AddAuthorities(const AuthorityFigures& figures, absl::Time now, MetricFamilies& out) {
  out.Gauge("signing_authorities", "Signing authorities, by where they are in their rotation.");
  for (const AuthorityKind kind : kKinds) {
    for (const AuthorityState state : kStates) {
      const auto count = std::count_if(
          figures.authorities.begin(), figures.authorities.end(),
          [&](const AuthorityRecord& authority) { return authority.kind == kind && authority.state == state; });
      out.Value(static_cast<double>(count),
                {{"kind", NameOf(kind)}, {"state", std::string(AuthorityStateName(state))}});
    }
  }
  out.Gauge("signing_authority_expires_in_seconds", "Until the active signing authority expires.");
  for (const AuthorityRecord& authority : figures.authorities) {
    if (authority.state != AuthorityState::kActive) continue;
    out.Value(absl::ToDoubleSeconds(authority.certificate.not_after() - now), {{"kind", NameOf(authority.kind)}});
  }
  out.Gauge("signing_authority_remaining_ratio", "The same as a share of its lifetime.");
  for (const AuthorityRecord& authority : figures.authorities) {
    if (authority.state != AuthorityState::kActive) continue;
    const Certificate& certificate = authority.certificate;
    out.Value(absl::FDivDuration(certificate.not_after() - now, certificate.not_after() - certificate.not_before()),
              {{"kind", NameOf(authority.kind)}});
  }
}

}  // namespace

std::string AuthorityMetricsText(const AuthorityFigures& figures, const ProcessStats& process, absl::Time now) {
  MetricFamilies out("lanyard_authority_");
  AddIssuing(*figures.issuing, out);
  AddAuthorities(figures, now, out);
  out.Counter("schedule_failures_total", "Times that a rotation, or other scheduled work, failed and was put off.")
      .Value(figures.schedule_failures);
  out.Gauge("agents_connected", "Agents that have a stream open.").Value(uint64_t{figures.agents_connected});
  out.Counter("agent_streams_limited_total", "Streams of agents that a limit ended or refused.")
      .Value(figures.streams_limited);
  out.Counter("connections_accepted_total", "Connections accepted on the agents' address.")
      .Value(figures.connections_accepted);
  out.Counter("connections_refused_total",
              "Those that were ended: at the limit, in their handshake, or without an SVID for too long or for others.")
      .Value(figures.connections_refused, {{"reason", "limit"}})
      .Value(figures.handshakes_failed, {{"reason", "handshake"}})
      .Value(figures.anonymous_ended, {{"reason", "anonymous"}});
  out.Counter("proxy_reports_refused_total", "Agents' reports of what proxies run or observed, refused for a limit.")
      .Value(figures.proxy_reports_refused);
  out.Gauge("entries", "Entries in the registry.").Value(uint64_t{figures.entries});
  out.Gauge("policies", "Policies in the registry.").Value(uint64_t{figures.policies});
  out.Gauge("route_sets", "Route sets in the registry.").Value(uint64_t{figures.route_sets});
  out.Gauge("bans", "Bans in force.").Value(uint64_t{figures.bans});
  out.Gauge("banned_svids_not_named", "SVIDs issued through banned agents, of too many to be told to proxies.")
      .Value(uint64_t{figures.banned_svids_not_named});
  out.Counter("svids_signed_unlimited_total",
              "SVIDs signed without a limit for their agent, as too many agents and entries had one.")
      .Value(figures.signings_not_remembered);
  out.Gauge("registry_revision", "Revision of entries and signing authorities.").Value(figures.registry_revision);
  out.Gauge("mesh_view_version", "Version of policies, routes and bans.").Value(figures.mesh_version);
  out.AddProcess(process, figures.start_time);
  return out.Text();
}

}  // namespace lanyard
