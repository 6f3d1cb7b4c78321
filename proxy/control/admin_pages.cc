#include "proxy/control/admin_pages.h"

#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "identity/admin/metric_families.h"

namespace lanyard {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kJsonContentType[] = "application/json";

std::string Utc(absl::Time time) { return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone()); }

// Foreign bytes (a name in a certificate) must not make the answer unreadable.
std::string Dump(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

Json AuthorityJson(const Certificate& authority) {
  return {{"fingerprint_sha256", absl::BytesToHexString(authority.fingerprint())},
          {"serial", authority.serial()},
          {"not_before", Utc(authority.not_before())},
          {"not_after", Utc(authority.not_after())}};
}

Json ConnectionJson(const ConnectionRecord& connection) {
  Json json = {{"id", connection.id},
               {"worker", connection.worker},
               {"direction", connection.direction},
               {"listener", connection.listener},
               {"state", connection.state},
               {"source", connection.source},
               {"destination", connection.destination},
               {"local_id", connection.local_id},
               {"local_serial", connection.local_serial},
               {"peer_id", connection.peer_id},
               {"peer_serial", connection.peer_serial}};
  json["peer_not_after"] =
      connection.peer_not_after == absl::InfiniteFuture() ? Json(nullptr) : Json(Utc(connection.peer_not_after));
  json["tls"] = connection.tls;
  json["protocol"] = connection.protocol;
  json["application_source"] = connection.application_source;
  json["application_target"] = connection.application_target;
  json["rule"] = connection.rule;
  json["bytes_sent"] = connection.bytes_sent;
  json["bytes_received"] = connection.bytes_received;
  json["age_ms"] = absl::ToInt64Milliseconds(connection.age);
  json["idle_ms"] = absl::ToInt64Milliseconds(connection.idle);
  return json;
}

template <typename Values>
Json Texts(const Values& values) {
  Json json = Json::array();
  for (const auto& value : values) json.push_back(value.ToString());
  return json;
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

Json RouteJson(const Route& route) {
  return {{"name", route.name},
          {"destinations", Texts(route.destinations)},
          {"ports", route.ports},
          {"action", NameOf(route.action)},
          {"peers", Texts(route.peers)}};
}

Json BanJson(const Ban& ban) {
  return {{"subject", ban.subject.ToString()},
          {"reason", ban.reason},
          {"expires_at", ban.expires_at == absl::InfiniteFuture() ? Json(nullptr) : Json(Utc(ban.expires_at))}};
}

Json MeshJson(const RulesInForce& rules, const MeshWatch& mesh) {
  if (mesh.address().empty()) return nullptr;
  const MeshUpdate* const view = rules.view().get();
  const ProxyStatus& status = mesh.status();
  Json refused = nullptr;
  if (status.refused_view_version != 0) {
    refused = {{"version", status.refused_view_version}, {"error", status.refused_view_error}};
  }
  return {{"address", mesh.address()},
          {"connected", mesh.connected()},
          {"source", NameOf(rules.source())},
          {"view_version", view == nullptr ? 0 : view->version},
          {"applied_version", status.view_version},
          {"speaks_of_this_workload", view != nullptr && view->has_rules},
          {"spiffe_ids", view == nullptr ? Json::array() : Texts(view->spiffe_ids)},
          {"received_at", mesh.views() == 0 ? Json(nullptr) : Json(Utc(mesh.received_at()))},
          {"refused", std::move(refused)},
          {"last_error", mesh.last_error()}};
}

// Answers of several workers on their way to one HTTP answer. On the control thread only.
struct Gathering {
  size_t missing = 0;
  std::vector<ConnectionRecord> connections;
  AdminServer::Respond respond;  // empty once used

  void Finish(int status) {
    if (respond == nullptr) return;
    std::exchange(respond, nullptr)({status, kJsonContentType, ConnectionsJson(connections)});
  }
};

}  // namespace

std::string IdentityJson(const IdentityRotation& rotation) {
  if (rotation.current() == nullptr) return Dump({{"spiffe_id", nullptr}, {"source", rotation.source()}});
  const X509Svid& svid = *rotation.current()->svid();
  Json bundles = Json::object();
  for (const auto& [trust_domain, bundle] : rotation.current()->bundles().bundles()) {
    Json authorities = Json::array();
    for (const Certificate& authority : bundle.authorities()) authorities.push_back(AuthorityJson(authority));
    bundles[trust_domain.name()] = std::move(authorities);
  }
  return Dump({{"spiffe_id", svid.id().ToString()},
               {"serial", svid.leaf().serial()},
               {"not_before", Utc(svid.not_before())},
               {"not_after", Utc(svid.not_after())},
               {"source", rotation.source()},
               {"bundles", std::move(bundles)}});
}

std::string ViewJson(const Publisher& publisher, const RulesInForce& rules, const MeshWatch& mesh) {
  const MeshRules combined = rules.Combined();
  Json inbound = Json::array(), routes = Json::array(), bans = Json::array();
  for (const PolicyRule& rule : combined.inbound.rules()) {
    inbound.push_back({{"name", rule.name},
                       {"ports", rule.ports},
                       {"peers", Texts(rule.peers)},
                       {"allow_plaintext", rule.allow_plaintext}});
  }
  for (const Route& route : combined.routes.routes()) routes.push_back(RouteJson(route));
  for (const Ban& ban : combined.bans.all()) bans.push_back(BanJson(ban));
  return Dump({{"version", publisher.version()},
               {"acknowledged_version", publisher.acknowledged_version()},
               {"rules_from", rules.rules_from_file() ? "file" : "mesh"},
               {"inbound", std::move(inbound)},
               {"routes", std::move(routes)},
               {"default_route", NameOf(combined.routes.fallback().action)},
               {"bans", std::move(bans)},
               {"mesh", MeshJson(rules, mesh)}});
}

std::string ConnectionsJson(const std::vector<ConnectionRecord>& connections) {
  Json json = Json::array();
  for (const ConnectionRecord& connection : connections) json.push_back(ConnectionJson(connection));
  return Dump(json);
}

void AdminPages::Handle(const AdminRequest& request, AdminServer::Respond respond) const {
  const std::string& path = request.path;
  if (path == "/live") return respond({.body = "live\n"});
  if (path == "/ready") {
    const absl::Status ready = options_.ready();
    if (ready.ok()) return respond({.body = "ready\n"});
    return respond({.status = 503, .body = std::string(ready.message()) + "\n"});
  }
  if (path == "/metrics") {
    std::vector<WorkerCounters> workers;
    for (const WorkerHandle* worker : options_.workers) workers.push_back(worker->Counters());
    return respond({200, kMetricsContentType, MetricsText(workers, options_.counters(), ReadProcessStats())});
  }
  if (path == "/identity") {
    const int status = options_.identity->current() == nullptr ? 503 : 200;
    return respond({status, kJsonContentType, IdentityJson(*options_.identity)});
  }
  if (path == "/view") {
    return respond({200, kJsonContentType, ViewJson(*options_.publisher, *options_.rules, *options_.mesh)});
  }
  if (path == "/connections") return RespondConnections(std::move(respond));
  respond({.status = 404,
           .body = "no such page: here are /live, /ready, /metrics, /connections, /identity and /view\n"});
}

void AdminPages::RespondConnections(AdminServer::Respond respond) const {
  auto gathering = std::make_shared<Gathering>();
  gathering->missing = options_.workers.size();
  gathering->respond = std::move(respond);
  for (WorkerHandle* worker : options_.workers) {
    worker->ListConnections([gathering, loop = options_.loop](std::vector<ConnectionRecord> connections) {
      loop->Post([gathering, connections = std::move(connections)]() mutable {
        gathering->connections.insert(gathering->connections.end(), std::make_move_iterator(connections.begin()),
                                      std::make_move_iterator(connections.end()));
        if (--gathering->missing == 0) gathering->Finish(200);
      });
    });
  }
  options_.loop->After(options_.worker_timeout, [gathering] { gathering->Finish(504); });
}

}  // namespace lanyard
