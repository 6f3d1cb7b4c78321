#include "identity/cli/mesh_rules_client.h"

#include <map>
#include <set>
#include <utility>

#include "api/lanyard/registry/mesh_rules.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "identity/cli/authority_call_client.h"
#include "identity/policy/observed_proto.h"
#include "identity/policy/rules_proto.h"

namespace lanyard {
namespace {

namespace v1 = ::lanyard::registry::v1;

absl::Time TimeFromProto(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

template <typename Message>
void SetHead(const std::string& name, const std::vector<PeerPattern>& workloads, Message& message) {
  message.set_name(name);
  for (const PeerPattern& workload : workloads) message.add_workloads(workload.ToString());
}

ReportedProxy FromProto(const v1::GetMeshStatusResponse::Proxy& proxy) {
  const mesh::v1::ProxyStatus& status = proxy.status();
  return {proxy.agent(),
          TimeFromProto(proxy.reported_at()),
          status.version(),
          status.view_version(),
          status.refused_view_error(),
          status.refused_view_version(),
          status.spiffe_id(),
          status.serial(),
          absl::FromUnixSeconds(status.not_after_unix()),
          status.open_connections()};
}

ObservedProxy FromProto(const v1::ObservedByProxy& message) {
  ObservedProxy proxy;
  proxy.agent = message.agent();
  proxy.agent_connected = message.agent_connected();
  proxy.spiffe_id = message.spiffe_id();
  if (message.has_observed()) proxy.reported_at = absl::FromUnixSeconds(message.observed().at_unix());
  proxy.left_out = message.observed().left_out();
  for (const mesh::v1::ObservedCall& call : message.observed().calls()) {
    absl::StatusOr<ObservedTuple> tuple = ObservedTupleFromProto(call);
    if (!tuple.ok()) {
      ++proxy.left_out;
      continue;
    }
    tuple->seen_by = message.agent();
    proxy.tuples.push_back(*std::move(tuple));
  }
  return proxy;
}

}  // namespace

struct MeshRulesClient::Stub {
  AuthorityConnection connection;
  std::unique_ptr<v1::MeshRules::Stub> rules;

  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::MeshRules::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                            Response*),
                                const Request& request) {
    return CallAuthority(connection, *rules, method, request);
  }
};

MeshRulesClient::MeshRulesClient(const std::string& socket_path, absl::Duration timeout, absl::Duration wait)
    : stub_(std::make_unique<Stub>(Stub{ConnectToAuthority(socket_path, timeout, wait), nullptr})) {
  stub_->rules = v1::MeshRules::NewStub(stub_->connection.channel);
}

MeshRulesClient::~MeshRulesClient() = default;

absl::StatusOr<std::vector<AppliedRecord>> MeshRulesClient::Apply(const RulesFile& rules, bool dry_run) {
  v1::ApplyRequest request;
  request.set_dry_run(dry_run);
  for (const WorkloadPolicy& policy : rules.policies) {
    v1::Policy& message = *request.add_policies();
    SetHead(policy.name, policy.workloads, message);
    for (const PolicyRule& rule : policy.rules) *message.add_rules() = ToProto(rule);
  }
  for (const WorkloadRoutes& set : rules.routes) {
    v1::RouteSet& message = *request.add_routes();
    SetHead(set.name, set.workloads, message);
    for (const Route& route : set.routes) *message.add_routes() = ToProto(route);
    message.set_order(set.order);
  }
  const auto response = stub_->Call(&v1::MeshRules::Stub::Apply, request);
  if (!response.ok()) return response.status();
  std::vector<AppliedRecord> applied;
  for (const v1::ApplyResponse::Outcome& outcome : response->outcomes()) {
    applied.push_back({outcome.kind(), outcome.name(), outcome.outcome(), outcome.version()});
  }
  return applied;
}

absl::StatusOr<MeshListing> MeshRulesClient::List(const std::string& workload) {
  v1::ListRequest request;
  request.set_workload(workload);
  const auto response = stub_->Call(&v1::MeshRules::Stub::List, request);
  if (!response.ok()) return response.status();
  ConfigProblems problems;
  std::set<std::string> policy_names, route_names;
  MeshListing listing;
  for (const v1::Policy& policy : response->policies()) {
    listing.policies.push_back({WorkloadPolicyFromProto(policy.name(), {policy.name(), policy.workloads()},
                                                        policy.rules(), policy_names, problems),
                                policy.version(), TimeFromProto(policy.updated_at())});
  }
  std::vector<WorkloadRoutes> order;
  std::map<std::string, ListedRoutes> by_name;
  for (const v1::RouteSet& set : response->routes()) {
    ListedRoutes listed{
        WorkloadRoutesFromProto(set.name(), {set.name(), set.workloads()}, set.routes(), route_names, problems),
        set.version(), TimeFromProto(set.updated_at())};
    listed.routes.order = set.order();
    order.push_back(listed.routes);
    by_name.emplace(set.name(), std::move(listed));
  }
  if (!problems.empty()) return problems.ToStatus("the authority's answer; is it of another version? it");
  SortRoutes(order);
  for (const WorkloadRoutes& set : order) listing.routes.push_back(by_name.at(set.name));
  return listing;
}

absl::Status MeshRulesClient::Delete(const std::vector<std::string>& policies, const std::vector<std::string>& routes) {
  v1::DeleteRequest request;
  for (const std::string& name : policies) request.add_policies(name);
  for (const std::string& name : routes) request.add_routes(name);
  return stub_->Call(&v1::MeshRules::Stub::Delete, request).status();
}

absl::StatusOr<NewBan> MeshRulesClient::AddBan(const BanSubject& subject, const std::string& reason,
                                               absl::Duration length) {
  v1::BanRequest request;
  *request.mutable_ban() = ToProto(subject);
  request.mutable_ban()->set_reason(reason);
  request.set_for_seconds(absl::ToInt64Seconds(length));
  const auto response = stub_->Call(&v1::MeshRules::Stub::Ban, request);
  if (!response.ok()) return response.status();
  const auto ban_of = [&subject](const mesh::v1::Ban& message) {
    Ban ban{subject, message.reason(), TimeFromProto(message.created_at())};
    if (message.has_expires_at()) ban.expires_at = TimeFromProto(message.expires_at());
    return ban;
  };
  NewBan banned{ban_of(response->ban()), response->view_version()};
  if (response->has_replaced()) banned.replaced = ban_of(response->replaced());
  return banned;
}

absl::Status MeshRulesClient::RemoveBan(const BanSubject& subject) {
  v1::UnbanRequest request;
  *request.mutable_ban() = ToProto(subject);
  return stub_->Call(&v1::MeshRules::Stub::Unban, request).status();
}

absl::StatusOr<std::vector<Ban>> MeshRulesClient::ListBans() {
  const auto response = stub_->Call(&v1::MeshRules::Stub::ListBans, v1::ListBansRequest());
  if (!response.ok()) return response.status();
  ConfigProblems problems;
  std::vector<Ban> bans = BansFromProto("bans", response->bans(), problems);
  if (!problems.empty()) return problems.ToStatus("the authority's answer; is it of another version? it");
  return bans;
}

absl::StatusOr<MeshStatus> MeshRulesClient::GetMeshStatus() {
  const auto response = stub_->Call(&v1::MeshRules::Stub::GetMeshStatus, v1::GetMeshStatusRequest());
  if (!response.ok()) return response.status();
  MeshStatus status;
  status.view_version = response->view_version();
  for (const v1::GetMeshStatusResponse::Proxy& proxy : response->proxies()) status.proxies.push_back(FromProto(proxy));
  return status;
}

absl::StatusOr<std::vector<ObservedProxy>> MeshRulesClient::ListObserved() {
  const Progress progress(absl::StrCat("waiting for the authority at ", stub_->connection.path));
  grpc::ClientContext context;
  SetPatience(stub_->connection, context);
  const auto reader = stub_->rules->ListObserved(&context, v1::ListObservedRequest());
  std::vector<ObservedProxy> proxies;
  for (v1::ObservedByProxy message; reader->Read(&message);) proxies.push_back(FromProto(message));
  const grpc::Status status = reader->Finish();
  if (!status.ok()) return ExplainAuthorityError(stub_->connection, status);
  return proxies;
}

}  // namespace lanyard
