#include "identity/registry/mesh_rules_service.h"

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/lanyard/registry/mesh_rules.grpc.pb.h"
#include "google/protobuf/util/time_util.h"
#include "identity/base/logging.h"
#include "identity/policy/rules_proto.h"
#include "identity/registry/grpc_status.h"
#include "identity/registry/mesh_rules_proto.h"

namespace lanyard {
namespace {

namespace v1 = registry::v1;

google::protobuf::Timestamp TimeToProto(absl::Time time) {
  return google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(absl::ToUnixMicros(time));
}

const char* NameOf(ApplyOutcome::Kind kind) { return kind == ApplyOutcome::Kind::kPolicy ? "policy" : "route"; }

const char* NameOf(ApplyOutcome::What what) {
  switch (what) {
    case ApplyOutcome::What::kCreated:
      return "created";
    case ApplyOutcome::What::kChanged:
      return "changed";
    case ApplyOutcome::What::kUnchanged:
      break;
  }
  return "unchanged";
}

mesh::v1::ProxyStatus StatusToProto(const ProxyReport& report) {
  mesh::v1::ProxyStatus status;
  status.set_version(report.version);
  status.set_view_version(report.view_version);
  status.set_refused_view_error(report.refused_view_error);
  status.set_refused_view_version(report.refused_view_version);
  status.set_spiffe_id(report.spiffe_id);
  status.set_serial(report.serial);
  status.set_not_after_unix(absl::ToUnixSeconds(report.not_after));
  status.set_open_connections(report.open_connections);
  status.set_proxy(report.proxy);
  return status;
}

class MeshRulesService final : public v1::MeshRules::Service {
 public:
  MeshRulesService(MeshRegistry& mesh, const MeshReports& reports, const AuthorityFacts& facts)
      : mesh_(mesh), reports_(reports), facts_(facts) {}

  grpc::Status Apply(grpc::ServerContext* call, const v1::ApplyRequest* request, v1::ApplyResponse* response) override {
    ConfigProblems problems;
    std::vector<WorkloadPolicy> policies;
    std::vector<WorkloadRoutes> routes;
    std::set<std::string> policy_names, route_names;
    for (int i = 0; i < request->policies_size(); ++i) {
      const std::string path = absl::StrCat("policies[", i, "]");
      policies.push_back(PolicyFromProto(path, request->policies(i), policy_names, problems));
    }
    for (int i = 0; i < request->routes_size(); ++i) {
      const std::string path = absl::StrCat("routes[", i, "]");
      routes.push_back(RoutesFromProto(path, request->routes(i), route_names, problems));
    }
    if (!problems.empty()) return ToGrpcStatus(problems.ToStatus("nothing was applied"));
    const auto outcomes = mesh_.Apply(std::move(policies), std::move(routes), request->dry_run());
    if (!outcomes.ok()) return ToGrpcStatus(outcomes.status());
    for (const ApplyOutcome& outcome : *outcomes) {
      v1::ApplyResponse::Outcome* message = response->add_outcomes();
      message->set_kind(NameOf(outcome.kind));
      message->set_name(outcome.name);
      message->set_outcome(NameOf(outcome.what));
      message->set_version(outcome.version);
      if (request->dry_run() || outcome.what == ApplyOutcome::What::kUnchanged) continue;
      Log(LogLevel::kInfo, "applied a record of the mesh",
          {{"kind", NameOf(outcome.kind)},
           {"name", outcome.name},
           {"outcome", NameOf(outcome.what)},
           {"version", static_cast<int64_t>(outcome.version)},
           {"operator", facts_.OperatorOf(*call)}});
    }
    return grpc::Status::OK;
  }

  grpc::Status List(grpc::ServerContext*, const v1::ListRequest* request, v1::ListResponse* response) override {
    std::vector<SpiffeId> ids;
    if (!request->workload().empty()) {
      absl::StatusOr<SpiffeId> id = SpiffeId::Parse(request->workload());
      if (!id.ok()) return ToGrpcStatus(id.status());
      ids.push_back(*std::move(id));
    }
    const std::shared_ptr<const MeshSnapshot> snapshot = mesh_.snapshot();
    for (const auto& [name, record] : snapshot->rules->policies) {
      if (ids.empty() || SpeaksOf(record.policy.workloads, ids)) *response->add_policies() = ToProto(record);
    }
    for (const auto& [name, record] : snapshot->rules->routes) {
      if (ids.empty() || SpeaksOf(record.routes.workloads, ids)) *response->add_routes() = ToProto(record);
    }
    return grpc::Status::OK;
  }

  grpc::Status Delete(grpc::ServerContext* call, const v1::DeleteRequest* request, v1::DeleteResponse*) override {
    const std::vector<std::string> policies(request->policies().begin(), request->policies().end());
    const std::vector<std::string> routes(request->routes().begin(), request->routes().end());
    if (absl::Status deleted = mesh_.Delete(policies, routes); !deleted.ok()) return ToGrpcStatus(deleted);
    for (const std::string& name : policies) LogDeleted(*call, ApplyOutcome::Kind::kPolicy, name);
    for (const std::string& name : routes) LogDeleted(*call, ApplyOutcome::Kind::kRoute, name);
    return grpc::Status::OK;
  }

  grpc::Status Ban(grpc::ServerContext* call, const v1::BanRequest* request, v1::BanResponse* response) override {
    ConfigProblems problems;
    std::optional<BanSubject> subject = BanSubjectFromProto("ban", request->ban(), problems);
    CheckBanReason("ban.reason", request->ban().reason(), problems);
    if (!problems.empty() || !subject) return ToGrpcStatus(problems.ToStatus("nobody was banned"));
    const absl::StatusOr<MeshRegistry::Banned> banned =
        mesh_.AddBan(*std::move(subject), request->ban().reason(), absl::Seconds(request->for_seconds()));
    if (!banned.ok()) return ToGrpcStatus(banned.status());
    Log(LogLevel::kWarning, "banned",
        {{"subject", banned->ban.subject.ToString()},
         {"reason", banned->ban.reason},
         {"expires_at", absl::FormatTime(banned->ban.expires_at, absl::UTCTimeZone())},
         {"version", static_cast<int64_t>(banned->version)},
         {"replaced", banned->replaced ? banned->replaced->Explanation() : ""},
         {"operator", facts_.OperatorOf(*call)}});
    *response->mutable_ban() = ToProto(banned->ban);
    if (banned->replaced) *response->mutable_replaced() = ToProto(*banned->replaced);
    response->set_view_version(banned->version);
    return grpc::Status::OK;
  }

  grpc::Status Unban(grpc::ServerContext* call, const v1::UnbanRequest* request, v1::UnbanResponse*) override {
    ConfigProblems problems;
    const std::optional<BanSubject> subject = BanSubjectFromProto("ban", request->ban(), problems);
    if (!subject) return ToGrpcStatus(problems.ToStatus("nobody was unbanned"));
    if (absl::Status removed = mesh_.RemoveBan(*subject); !removed.ok()) return ToGrpcStatus(removed);
    Log(LogLevel::kWarning, "unbanned", {{"subject", subject->ToString()}, {"operator", facts_.OperatorOf(*call)}});
    return grpc::Status::OK;
  }

  grpc::Status ListBans(grpc::ServerContext*, const v1::ListBansRequest*, v1::ListBansResponse* response) override {
    const std::shared_ptr<const MeshSnapshot> snapshot = mesh_.snapshot();
    for (const lanyard::Ban& ban : snapshot->bans->all()) *response->add_bans() = ToProto(ban);
    return grpc::Status::OK;
  }

  grpc::Status GetMeshStatus(grpc::ServerContext*, const v1::GetMeshStatusRequest*,
                             v1::GetMeshStatusResponse* response) override {
    for (const MeshReports::OfAgent& node : reports_.All()) {
      for (const ProxyReport& report : node.proxies) {
        v1::GetMeshStatusResponse::Proxy* proxy = response->add_proxies();
        proxy->set_agent(node.agent.ToString());
        *proxy->mutable_status() = StatusToProto(report);
        *proxy->mutable_reported_at() = TimeToProto(node.reported_at);
      }
    }
    response->set_view_version(mesh_.snapshot()->version);
    return grpc::Status::OK;
  }

  grpc::Status ListObserved(grpc::ServerContext*, const v1::ListObservedRequest*,
                            grpc::ServerWriter<v1::ObservedByProxy>* writer) override {
    const absl::StatusOr<std::vector<SpiffeId>> agents = facts_.Agents();
    if (!agents.ok()) return ToGrpcStatus(agents.status());
    for (const SpiffeId& agent : *agents) {
      if (facts_.IsConnected(agent)) continue;
      v1::ObservedByProxy absent;
      absent.set_agent(agent.ToString());
      if (!writer->Write(absent)) return grpc::Status::CANCELLED;
    }
    for (const MeshReports::OfAgent& node : reports_.All()) {
      for (const ProxyReport& report : node.proxies) {
        if (!writer->Write(ObservedOf(node, report))) return grpc::Status::CANCELLED;
      }
    }
    return grpc::Status::OK;
  }

 private:
  static v1::ObservedByProxy ObservedOf(const MeshReports::OfAgent& node, const ProxyReport& report) {
    v1::ObservedByProxy message;
    message.set_agent(node.agent.ToString());
    message.set_agent_connected(true);
    message.set_spiffe_id(report.spiffe_id);
    const auto observed = node.observed->find(report.proxy);
    // The bytes were made by this process; were they not what they should be, the proxy would count as one that has not
    // reported.
    if (observed != node.observed->end() && !message.mutable_observed()->ParseFromString(observed->second)) {
      message.clear_observed();
    }
    return message;
  }

  void LogDeleted(const grpc::ServerContext& call, ApplyOutcome::Kind kind, const std::string& name) const {
    Log(LogLevel::kInfo, "deleted a record of the mesh",
        {{"kind", NameOf(kind)}, {"name", name}, {"operator", facts_.OperatorOf(call)}});
  }

  MeshRegistry& mesh_;
  const MeshReports& reports_;
  const AuthorityFacts& facts_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewMeshRulesService(MeshRegistry& mesh, const MeshReports& reports,
                                                   const AuthorityFacts& facts) {
  return std::make_unique<MeshRulesService>(mesh, reports, facts);
}

}  // namespace lanyard
