#include "proxy/control/metrics.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/admin/metric_families.h"

namespace lanyard {
namespace {

using Families = MetricFamilies;

uint64_t Sum(const std::vector<WorkerCounters>& workers, uint64_t WorkerCounters::*field) {
  uint64_t sum = 0;
  for (const WorkerCounters& worker : workers) sum += worker.*field;
  return sum;
}

using NamedCounts = std::vector<std::pair<std::string, uint64_t>>;

std::map<std::string, uint64_t> Sum(const std::vector<WorkerCounters>& workers, NamedCounts WorkerCounters::*field) {
  std::map<std::string, uint64_t> sums;
  for (const WorkerCounters& worker : workers) {
    for (const auto& [name, count] : worker.*field) sums[name] += count;
  }
  return sums;
}

DurationCounts Sum(const std::vector<WorkerCounters>& workers, DurationCounts WorkerCounters::*field) {
  DurationCounts sum;
  for (const WorkerCounters& worker : workers) {
    const DurationCounts& one = worker.*field;
    for (size_t i = 0; i < sum.counts.size(); ++i) sum.counts[i] += one.counts[i];
    sum.sum_seconds += one.sum_seconds;
  }
  return sum;
}

void AddDurations(const std::vector<WorkerCounters>& workers, Families& out) {
  const DurationCounts handshakes = Sum(workers, &WorkerCounters::handshake_durations);
  out.Histogram("handshake_duration_seconds", "TLS handshakes of connections that waited for one, from start to end.")
      .Buckets(kDurationBoundsSeconds, handshakes.counts, handshakes.sum_seconds);
  const DurationCounts connections = Sum(workers, &WorkerCounters::connection_durations);
  out.Histogram("connection_duration_seconds", "Closed connections, from accept to close.")
      .Buckets(kDurationBoundsSeconds, connections.counts, connections.sum_seconds);
}

void AddConnections(const std::vector<WorkerCounters>& workers, Families& out) {
  out.Counter("connections_accepted_total", "Connections accepted.")
      .Value(Sum(workers, &WorkerCounters::accepted_inbound), {{"direction", "inbound"}})
      .Value(Sum(workers, &WorkerCounters::accepted_outbound), {{"direction", "outbound"}});
  out.Gauge("connections_open", "Connections open now.")
      .Value(Sum(workers, &WorkerCounters::open_inbound), {{"direction", "inbound"}})
      .Value(Sum(workers, &WorkerCounters::open_outbound), {{"direction", "outbound"}});
  out.Counter("connections_closed_total", "Connections closed, by close reason.");
  for (const auto& [reason, count] : Sum(workers, &WorkerCounters::closes_inbound)) {
    out.Value(count, {{"direction", "inbound"}, {"reason", reason}});
  }
  for (const auto& [reason, count] : Sum(workers, &WorkerCounters::closes_outbound)) {
    out.Value(count, {{"direction", "outbound"}, {"reason", reason}});
  }
  out.Counter("mesh_sent_bytes_total", "Application bytes sent to peer proxies.")
      .Value(Sum(workers, &WorkerCounters::bytes_to_mesh));
  out.Counter("mesh_received_bytes_total", "Application bytes received from peer proxies.")
      .Value(Sum(workers, &WorkerCounters::bytes_from_mesh));
}

void AddHandshakes(const std::vector<WorkerCounters>& workers, Families& out) {
  out.Gauge("handshakes_in_flight", "TLS handshakes under way.")
      .Value(Sum(workers, &WorkerCounters::handshakes_in_flight));
  out.Counter("handshakes_total", "TLS handshakes completed.")
      .Value(Sum(workers, &WorkerCounters::handshakes_full), {{"kind", "full"}})
      .Value(Sum(workers, &WorkerCounters::handshakes_resumed), {{"kind", "resumed"}});
  out.Counter("link_takes_total", "Streams to peers of the mesh protocol, by whether an idle link was there.")
      .Value(Sum(workers, &WorkerCounters::pool_hits), {{"result", "hit"}})
      .Value(Sum(workers, &WorkerCounters::pool_misses), {{"result", "miss"}});
  out.Counter("pooled_handshakes_total", "TLS handshakes made ahead of need; handshakes_total has them too.")
      .Value(Sum(workers, &WorkerCounters::pooled_handshakes));
  out.Gauge("idle_links", "Links of the mesh protocol that wait for their next stream.")
      .Value(Sum(workers, &WorkerCounters::idle_links_opened), {{"side", "opened"}})
      .Value(Sum(workers, &WorkerCounters::idle_links_accepted), {{"side", "accepted"}});
  out.Gauge("leaving_links", "Links that were opened here and retire, or close a stream: they wait for their peer.")
      .Value(Sum(workers, &WorkerCounters::links_leaving));
  out.Counter("links_retired_total", "Idle links closed because of their age, or because what allowed them changed.")
      .Value(Sum(workers, &WorkerCounters::links_retired));
  out.Counter("links_unanswered_total", "Idle links given up because their peer gave no sign of life.")
      .Value(Sum(workers, &WorkerCounters::links_unanswered));
  out.Counter("links_broken_total", "Links without a stream closed because their peer broke the mesh protocol.")
      .Value(Sum(workers, &WorkerCounters::links_broken));
  out.Counter("reauthentications_total", "Open streams authenticated anew by a fresh link, by cause.");
  for (const auto& [cause, count] : Sum(workers, &WorkerCounters::reauthentications)) {
    out.Value(count, {{"cause", cause}});
  }
  out.Counter("carry_overs_put_off_total", "Streams authenticated anew that stay where they are: not read.")
      .Value(Sum(workers, &WorkerCounters::carry_overs_put_off));
  out.Counter("reauthentication_failures_total", "Attempts at that which failed; they are repeated until the expiry.");
  for (const auto& [cause, count] : Sum(workers, &WorkerCounters::reauthentication_failures)) {
    out.Value(count, {{"cause", cause}});
  }
  out.Counter("verification_failures_total", "Peers whose SVID was refused, by defect.");
  for (const auto& [defect, count] : Sum(workers, &WorkerCounters::verification_failures)) {
    out.Value(count, {{"defect", defect}});
  }
  out.Counter("svid_expired_kept_total", "Connections that outlived an SVID under on_svid_expiry: keep.")
      .Value(Sum(workers, &WorkerCounters::svid_expired_kept));
}

void AddLimits(const std::vector<WorkerCounters>& workers, Families& out) {
  out.Counter("limit_reached_total", "Times a limit was reached, by its name in proxy.yaml.")
      .Value(Sum(workers, &WorkerCounters::limit_idle_links), {{"limit", "max_idle_links"}})
      .Value(Sum(workers, &WorkerCounters::limit_links_leaving), {{"limit", "leaving_links"}})
      .Value(Sum(workers, &WorkerCounters::limit_link_handshakes), {{"limit", "max_link_handshakes"}});
  for (const auto& [limit, times] : Sum(workers, &WorkerCounters::limits_reached)) out.Value(times, {{"limit", limit}});
  out.Counter("accept_paused_total", "Times accepting was paused because descriptors ran out.")
      .Value(Sum(workers, &WorkerCounters::accept_paused));
}

void AddLog(const std::vector<WorkerCounters>& workers, const ControlCounters& control, Families& out) {
  out.Counter("access_log_lines_total", "Lines of the access log, and closes that have none.")
      .Value(control.access_log_written, {{"result", "written"}})
      .Value(control.access_log_failed, {{"result", "failed"}})
      .Value(Sum(workers, &WorkerCounters::access_log_sampled_out), {{"result", "sampled_out"}})
      .Value(Sum(workers, &WorkerCounters::access_log_left_out), {{"result", "rate_limited"}});
  out.Counter("log_lines_dropped_total", "Lines of the log that standard error was read too slowly for.")
      .Value(control.log_lines_dropped);
  out.Gauge("tap_watchers", "Who watches connections live.").Value(control.tap_watchers);
  out.Counter("tap_lost_total", "Events that such a watcher was too slow for.").Value(control.tap_lost);
  out.Counter("observed_forgotten_total", "Calls that made room in the table of those observed lately.")
      .Value(Sum(workers, &WorkerCounters::observed_forgotten));
}

void AddControl(const std::vector<WorkerCounters>& workers, const ControlCounters& control, Families& out) {
  out.Gauge("ready", "1 when /ready answers 200.").Value(control.ready);
  out.Gauge("view_version", "Newest mesh view published.").Value(control.view_version);
  out.Gauge("view_acknowledged_version", "Newest mesh view that every worker has acknowledged.")
      .Value(control.view_acknowledged_version);
  out.Gauge("view_acknowledgement_seconds", "From publishing the newest acknowledged view to its acknowledgement.")
      .Value(absl::ToDoubleSeconds(control.view_acknowledgement_delay));
  out.Gauge("worker_view_version", "Mesh view in force in each worker.");
  for (size_t i = 0; i < workers.size(); ++i) out.Value(workers[i].view_version, {{"worker", absl::StrCat(i)}});
  if (control.has_mesh) {
    out.Gauge("mesh_connected", "1 while the agent's newest view of the mesh is here.")
        .Value(control.mesh_connected);
    out.Gauge("mesh_view_version", "The registry's version of the view of the mesh in use, by where it came from.")
        .Value(control.mesh_view_version, {{"source", control.mesh_source}});
    out.Gauge("mesh_bans_known", "0 while no view of the mesh has said who is banned: a proxy may let them in.")
        .Value(control.mesh_source != "none");
    out.Counter("mesh_views_total", "Views of the mesh received from the agent.")
        .Value(control.mesh_views, {{"result", "taken"}})
        .Value(control.mesh_views_refused, {{"result", "refused"}});
    out.Counter("mesh_keep_failures_total", "Views of the mesh that could not be kept on disk.")
        .Value(control.mesh_keep_failures);
  }
  if (control.has_identity) {
    out.Gauge("identity_not_after_timestamp_seconds", "When the SVID in force expires, in Unix time.")
        .Value(static_cast<double>(absl::ToUnixSeconds(control.identity_not_after)));
    out.Gauge("identity_expires_in_seconds", "Until the SVID in force expires; below zero once it has.")
        .Value(absl::ToDoubleSeconds(control.identity_not_after - control.now));
    out.Gauge("identity_remaining_ratio", "The same as a share of its lifetime; it is renewed at about one half.")
        .Value(absl::FDivDuration(control.identity_not_after - control.now,
                                  control.identity_not_after - control.identity_not_before));
    out.Gauge("identity_withdrawn", "1 while its source gives this identity no more: nothing new is begun with it.")
        .Value(control.identity_withdrawn);
  }
  out.Counter("identity_rotations_total", "SVIDs taken into force, the first included.")
      .Value(control.identity_rotations);
  out.Counter("identity_failures_total", "Identities refused, and failures of their source; the old one stays.")
      .Value(control.identity_failures);
  out.Counter("bundle_changes_total", "Changes of the trust bundles, the first included.")
      .Value(control.bundle_changes);
  out.Counter("config_reloads_total", "Times the changed configuration file was read.")
      .Value(control.config_reloads, {{"result", "applied"}})
      .Value(control.config_reload_failures, {{"result", "refused"}});
}

}  // namespace

std::string MetricsText(const std::vector<WorkerCounters>& workers, const ControlCounters& control,
                        const ProcessStats& process) {
  Families out("lanyard_proxy_");
  AddConnections(workers, out);
  AddHandshakes(workers, out);
  AddDurations(workers, out);
  AddLimits(workers, out);
  AddLog(workers, control, out);
  AddControl(workers, control, out);
  out.AddProcess(process, control.start_time);
  return out.Text();
}

}  // namespace lanyard
