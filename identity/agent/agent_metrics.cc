#include "identity/agent/agent_metrics.h"

#include <algorithm>

#include "identity/admin/metric_families.h"

namespace lanyard {
namespace {

void AddSvids(const AgentFigures& figures, absl::Time now, MetricFamilies& out) {
  uint64_t held = 0;
  absl::Time nearest = absl::InfiniteFuture();
  double least_remaining = 1;
  if (figures.view != nullptr) {
    for (const WorkloadView::Item& item : figures.view->items) {
      if (!item.svid.has_value()) continue;
      ++held;
      const absl::Time end = item.svid->not_after();
      nearest = std::min(nearest, end);
      least_remaining = std::min(least_remaining, absl::FDivDuration(end - now, end - item.svid->not_before()));
    }
  }
  out.Gauge("entries", "Entries of the registry for this node.")
      .Value(uint64_t{figures.view == nullptr ? 0 : figures.view->items.size()});
  out.Gauge("entries_left_out", "Entries of the registry for this node beyond what it serves.")
      .Value(uint64_t{figures.entries_left_out});
  out.Gauge("svids", "X.509-SVIDs held for workloads.").Value(held);
  if (held > 0) {
    out.Gauge("svid_expires_in_seconds", "Until the first of the SVIDs held expires; below zero once it has.")
        .Value(absl::ToDoubleSeconds(nearest - now));
    out.Gauge("svid_remaining_ratio", "The least share of its lifetime that an SVID has left; renewed at about a half.")
        .Value(least_remaining);
  }
  out.Counter("svid_renewals_total", "SVIDs asked of the authority, the first of each included.")
      .Value(figures.svids_renewed, {{"result", "renewed"}})
      .Value(figures.svid_failures, {{"result", "failed"}});
}

void AddAuthority(const AgentFigures& figures, absl::Time now, MetricFamilies& out) {
  out.Gauge("authority_connected", "1 while there is a connection to the authority that works.")
      .Value(figures.connected);
  out.Counter("authority_connections_total", "Connections begun to the authority.").Value(figures.connections);
  out.Counter("proxy_reports_left_out_total", "Reports of proxies that a limit kept from the authority.")
      .Value(figures.statuses_left_out, {{"report", "status"}})
      .Value(figures.observed_left_out, {{"report", "observed"}});
  if (figures.node_not_after.has_value()) {
    out.Gauge("node_identity_expires_in_seconds", "Until the node's own SVID expires; below zero once it has.")
        .Value(absl::ToDoubleSeconds(*figures.node_not_after - now));
  }
  if (figures.view != nullptr && figures.view->mesh != nullptr) {
    out.Gauge("mesh_view_version", "The registry's version of what this agent knows of policies, routes and bans.")
        .Value(figures.view->mesh->version);
  }
}

}  // namespace

std::string AgentMetricsText(const AgentFigures& figures, const ProcessStats& process, absl::Time now) {
  MetricFamilies out("lanyard_agent_");
  AddSvids(figures, now, out);
  AddAuthority(figures, now, out);
  out.Gauge("streams_open", "Calls of workloads and proxies that are open on the agent's socket.")
      .Value(uint64_t{figures.streams_open});
  out.Counter("streams_refused_total", "Calls refused because a limit was reached.").Value(figures.streams_refused);
  out.Counter("connections_refused_total", "Connections of the agent's socket that a limit ended, at once or later.")
      .Value(figures.connections_refused, {{"when", "accept"}})
      .Value(figures.connections_ended, {{"when", "later"}});
  out.Counter("answers_sent_total", "Answers sent to such calls.").Value(figures.answers_sent);
  out.AddProcess(process, figures.start_time);
  return out.Text();
}

}  // namespace lanyard
