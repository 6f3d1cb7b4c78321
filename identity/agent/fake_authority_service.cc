#include "identity/agent/fake_authority_service.h"

#include <grpcpp/server_context.h>

#include <atomic>
#include <string>
#include <utility>

#include "api/lanyard/authority/authority.grpc.pb.h"

namespace lanyard {
namespace {

namespace pb = ::lanyard::authority::v1;

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

void Fill(const std::vector<Certificate>& chain, pb::Svid& out) {
  for (const Certificate& certificate : chain) out.add_chain(certificate.der());
}

template <typename Message>
void FillBundles(const BundleSet& bundles, Message& out) {
  for (const auto& [trust_domain, bundle] : bundles.bundles()) {
    pb::Bundle* const one = out.add_bundles();
    one->set_trust_domain(trust_domain.name());
    for (const Certificate& authority : bundle.authorities()) one->add_authorities(authority.der());
  }
}

void Fill(const NodeState& state, pb::NodeState& out) {
  out.set_revision(state.revision);
  FillBundles(state.bundles, out);
  for (const WorkloadEntry& entry : state.entries) {
    pb::Entry* const one = out.add_entries();
    one->set_id(entry.id);
    one->set_spiffe_id(entry.spiffe_id.ToString());
    for (const std::string& selector : entry.selectors) one->add_selectors(selector);
    one->set_x509_svid_ttl_seconds(entry.x509_svid_ttl_seconds);
    for (const std::string& name : entry.dns_names) one->add_dns_names(name);
    one->set_hint(entry.hint);
  }
}

// The pieces were made by what reads this message: a policy's rules are named after it already.
void Fill(const NodeMesh& mesh, pb::NodeState& out) {
  out.set_mesh_version(mesh.version);
  for (const WorkloadRules& rules : mesh.rules) {
    lanyard::mesh::v1::View piece;
    piece.ParseFromString(rules.view);
    const auto fill = [&](auto* set) {
      set->set_name(rules.name);
      for (const PeerPattern& workload : rules.workloads) set->add_workloads(workload.ToString());
    };
    const auto bare = [&](const std::string& name) { return name.substr(rules.name.size() + 1); };
    if (piece.routes().empty()) {
      pb::WorkloadPolicy* const policy = out.add_policies();
      fill(policy);
      *policy->mutable_rules() = piece.inbound().rules();
      for (lanyard::mesh::v1::InboundRule& rule : *policy->mutable_rules()) rule.set_name(bare(rule.name()));
    } else {
      pb::WorkloadRoutes* const routes = out.add_routes();
      fill(routes);
      *routes->mutable_routes() = piece.routes();
      for (lanyard::mesh::v1::Route& route : *routes->mutable_routes()) route.set_name(bare(route.name()));
    }
  }
  lanyard::mesh::v1::View bans;
  bans.ParseFromString(mesh.bans);
  *out.mutable_bans() = bans.bans();
}

class FakeAuthorityService : public pb::Authority::Service {
 public:
  FakeAuthorityService(FakeAuthority& authority,
                       std::function<std::optional<SpiffeId>(const grpc::ServerContextBase&)> node_of)
      : authority_(authority), node_of_(std::move(node_of)) {}

  grpc::Status Attest(grpc::ServerContext*, const pb::AttestRequest* request, pb::AttestResponse* response) override {
    return Grant(authority_.Attest(request->join_token(), request->csr()), *response);
  }

  grpc::Status RenewNode(grpc::ServerContext* context, const pb::RenewNodeRequest* request,
                         pb::RenewNodeResponse* response) override {
    const std::optional<SpiffeId> node = node_of_(*context);
    if (!node.has_value()) return {grpc::StatusCode::UNAUTHENTICATED, "no node SVID"};
    return Grant(authority_.RenewNode(*node, request->csr()), *response);
  }

  grpc::Status SignX509Svids(grpc::ServerContext* context, const pb::SignX509SvidsRequest* request,
                             pb::SignX509SvidsResponse* response) override {
    if (!node_of_(*context).has_value()) return {grpc::StatusCode::UNAUTHENTICATED, "no node SVID"};
    authority_.CountSignCall();
    for (const pb::SignX509SvidsRequest::One& one : request->requests()) {
      const AuthorityClient::Signed chain = authority_.Sign(one.entry_id(), one.csr());
      if (absl::IsUnavailable(chain.status())) return ToGrpc(chain.status());
      pb::SignX509SvidsResponse::One* const result = response->add_results();
      result->set_entry_id(one.entry_id());
      if (chain.ok()) {
        Fill(*chain, *result->mutable_svid());
      } else {
        result->set_code(static_cast<int>(chain.status().code()));
        result->set_message(std::string(chain.status().message()));
      }
    }
    return grpc::Status::OK;
  }

  grpc::Status WatchNode(grpc::ServerContext* context, const pb::WatchNodeRequest*,
                         grpc::ServerWriter<pb::NodeState>* writer) override {
    if (!node_of_(*context).has_value()) return {grpc::StatusCode::UNAUTHENTICATED, "no node SVID"};
    for (uint64_t seen = 0;;) {
      const absl::StatusOr<NodeState> state =
          authority_.NextState(seen, [context] { return context->IsCancelled(); });
      if (!state.ok()) return ToGrpc(state.status());
      seen = state->revision;
      pb::NodeState message;
      Fill(*state, message);
      if (state->mesh != nullptr) Fill(*state->mesh, message);
      if (!writer->Write(message)) return grpc::Status::CANCELLED;
    }
  }

  grpc::Status ReportProxies(grpc::ServerContext* context, const pb::ReportProxiesRequest* request,
                             pb::ReportProxiesResponse*) override {
    if (!node_of_(*context).has_value()) return {grpc::StatusCode::UNAUTHENTICATED, "no node SVID"};
    std::vector<std::string> statuses;
    for (const auto& status : request->proxies()) statuses.push_back(status.SerializeAsString());
    return ToGrpc(authority_.ReportProxies(std::move(statuses)));
  }

  grpc::Status ReportObserved(grpc::ServerContext* context, const pb::ReportObservedRequest* request,
                              pb::ReportObservedResponse*) override {
    if (!node_of_(*context).has_value()) return {grpc::StatusCode::UNAUTHENTICATED, "no node SVID"};
    std::vector<std::string> reports;
    for (const auto& report : request->proxies()) reports.push_back(report.SerializeAsString());
    return ToGrpc(authority_.ReportObserved(std::move(reports)));
  }

 private:
  template <typename Response>
  grpc::Status Grant(const absl::StatusOr<AuthorityClient::NodeGrant>& grant, Response& response) {
    if (!grant.ok()) return ToGrpc(grant.status());
    Fill(grant->chain, *response.mutable_svid());
    FillBundles(grant->bundles, response);
    return grpc::Status::OK;
  }

  FakeAuthority& authority_;
  const std::function<std::optional<SpiffeId>(const grpc::ServerContextBase&)> node_of_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewFakeAuthorityService(
    FakeAuthority& authority, std::function<std::optional<SpiffeId>(const grpc::ServerContextBase&)> node_of) {
  return std::make_unique<FakeAuthorityService>(authority, std::move(node_of));
}

}  // namespace lanyard
