#include "proxy/control/admin_pages.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "identity/admin/metric_families.h"
#include "identity/config/nearest_name.h"
#include "proxy/control/connection_json.h"
#include "proxy/control/observed_reporter.h"

namespace lanyard {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kJsonContentType[] = "application/json";

std::string Utc(absl::Time time) { return UtcText(time); }

std::string Dump(const Json& json) { return JsonText(json, 2); }

Json AuthorityJson(const Certificate& authority) {
  return {{"fingerprint_sha256", absl::BytesToHexString(authority.fingerprint())},
          {"serial", authority.serial()},
          {"not_before", Utc(authority.not_before())},
          {"not_after", Utc(authority.not_after())}};
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
  const MeshUpdate* const of_rules = rules.view_of_rules().get();
  const bool rules_of_one = of_rules != nullptr && of_rules->spiffe_id.has_value();
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
          {"speaks_of_this_workload", of_rules != nullptr && of_rules->has_rules},
          {"rules_of", rules_of_one ? Json(of_rules->spiffe_id->ToString()) : Json(nullptr)},
          {"spiffe_ids", view == nullptr ? Json::array() : Texts(view->spiffe_ids)},
          {"received_at", mesh.views() == 0 ? Json(nullptr) : Json(Utc(mesh.received_at()))},
          {"refused", std::move(refused)},
          {"last_error", mesh.last_error()}};
}

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
               {"withdrawn", rotation.withdrawn()},
               {"bundles", std::move(bundles)},
               {"bundles_left_out", rotation.left_out()}});
}

std::string ViewJson(const Publisher& publisher, const RulesInForce& rules, const MeshWatch& mesh,
                     const std::string& configuration_refused) {
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
               {"configuration_refused", configuration_refused.empty() ? Json(nullptr) : Json(configuration_refused)},
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
    return respond({200, kJsonContentType,
                    ViewJson(*options_.publisher, *options_.rules, *options_.mesh, options_.configuration_refused())});
  }
  // Where to ask for an upgrade; whether one may, that socket knows.
  if (path == "/upgrade") {
    const std::string& socket = options_.upgrade_socket;
    return respond({200, kJsonContentType, Dump({{"socket", socket.empty() ? Json(nullptr) : Json(socket)}})});
  }
  if (path == "/connections") return RespondConnections(std::move(respond));
  if (path == "/observed") return RespondObserved(std::move(respond));
  if (path == "/tap") return RespondTap(request.query, std::move(respond));
  respond({.status = 404,
           .body = "no such page: here are /live, /ready, /metrics, /connections, /observed, /tap, /identity and "
                   "/view\n"});
}

template <typename Record>
void AdminPages::Gather(AskWorker<Record> ask,
                        std::function<void(int status, const std::vector<Record>&)> done) const {
  GatherAnswers<Record>(*options_.loop, options_.workers, options_.worker_timeout, ask,
                        [done = std::move(done)](bool whole, const std::vector<Record>& records) {
                          done(whole ? 200 : 504, records);
                        });
}

void AdminPages::RespondConnections(AdminServer::Respond respond) const {
  Gather<ConnectionRecord>(&WorkerHandle::ListConnections,
                           [respond = std::move(respond)](int status, const std::vector<ConnectionRecord>& all) {
                             respond({status, kJsonContentType, ConnectionsJson(all)});
                           });
}

void AdminPages::RespondObserved(AdminServer::Respond respond) const {
  Gather<ObservedCall>(&WorkerHandle::ListObserved,
                       [respond = std::move(respond)](int status, const std::vector<ObservedCall>& calls) {
                         Json observed = Json::array();
                         for (const ObservedCall& call : MergedCalls(calls)) observed.push_back(ObservedJson(call));
                         respond({status, kJsonContentType, Dump({{"observed", std::move(observed)}})});
                       });
}

void AdminPages::RespondTap(const std::string& query, AdminServer::Respond respond) const {
  const absl::StatusOr<TapFilter> filter = TapFilter::Parse(query);
  if (!filter.ok()) return respond({.status = 400, .body = std::string(filter.status().message()) + "\n"});
  for (const std::string& reason : filter->reasons) {
    const std::vector<std::string>& all = options_.close_reasons;
    if (std::find(all.begin(), all.end(), reason) != all.end()) continue;
    const std::string nearest = NearestName(reason, all);
    return respond({.status = 400,
                    .body = absl::StrCat("no connection closes for \"", reason, "\"",
                                         nearest.empty() ? absl::StrCat(": write one of ", absl::StrJoin(all, ", "))
                                                         : absl::StrCat(": did you mean ", nearest, "?"),
                                         "\n")});
  }
  const absl::StatusOr<std::shared_ptr<TapPage::Stream>> stream = options_.tap->Watch(*filter);
  if (!stream.ok()) return respond({.status = 503, .body = std::string(stream.status().message()) + "\n"});
  if (filter->existing) {
    const std::weak_ptr<TapPage::Stream> weak = *stream;
    Gather<ConnectionRecord>(&WorkerHandle::ListConnections,
                             [weak](int, const std::vector<ConnectionRecord>& connections) {
                               if (const auto watcher = weak.lock()) watcher->AddExisting(connections);
                             });
  }
  respond({.content_type = "application/x-ndjson", .stream = *stream});
}

}  // namespace lanyard
