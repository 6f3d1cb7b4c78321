#include "identity/authority/authority_service.h"

#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/lanyard/authority/authority.grpc.pb.h"
#include "identity/authority/authority_proto.h"
#include "identity/authority/node_stream_service.h"
#include "identity/base/logging.h"
#include "identity/channel/log_limit.h"
#include "identity/policy/observed_proto.h"
#include "identity/registry/grpc_status.h"

namespace lanyard {
namespace {

namespace v1 = authority::v1;

ProxyReport ReportFromProto(const mesh::v1::ProxyStatus& status) {
  ProxyReport report;
  report.version = status.version();
  report.view_version = status.view_version();
  report.refused_view_error = status.refused_view_error();
  report.refused_view_version = status.refused_view_version();
  report.spiffe_id = status.spiffe_id();
  report.serial = status.serial();
  report.not_after = absl::FromUnixSeconds(status.not_after_unix());
  report.open_connections = status.open_connections();
  report.proxy = status.proxy();
  return report;
}

// One-shot calls have a thread each while they run; WatchNode, which lasts, has none.
class AuthorityService final : public v1::Authority::WithCallbackMethod_WatchNode<v1::Authority::Service> {
 public:
  explicit AuthorityService(AuthorityServiceParts parts) : parts_(std::move(parts)) {}

  grpc::Status Attest(grpc::ServerContext*, const v1::AttestRequest* request, v1::AttestResponse* response) override {
    const absl::StatusOr<std::vector<Certificate>> chain =
        parts_.attestation.Attest(request->join_token(), request->csr());
    parts_.issuing.Count(SvidKind::kNode, chain.status());
    if (!chain.ok()) return ToGrpcStatus(chain.status());
    // What the SVIDs before are let do no more, they shall not go on doing either.
    if (const auto agent = SpiffeId::Parse(chain->front().uri_names().front()); agent.ok()) parts_.disconnect(*agent);
    *response->mutable_svid() = SvidToProto(*chain);
    *response->add_bundles() = BundleToProto(parts_.registry.snapshot()->bundle);
    return grpc::Status::OK;
  }

  grpc::Status RenewNode(grpc::ServerContext* call, const v1::RenewNodeRequest* request,
                         v1::RenewNodeResponse* response) override {
    const absl::StatusOr<SpiffeId> node = parts_.attestation.Recognise(parts_.peer_of(*call));
    if (!node.ok()) return ToGrpcStatus(node.status());
    const absl::StatusOr<std::vector<Certificate>> chain = parts_.attestation.Renew(*node, request->csr());
    parts_.issuing.Count(SvidKind::kNode, chain.status());
    if (!chain.ok()) return ToGrpcStatus(chain.status());
    *response->mutable_svid() = SvidToProto(*chain);
    *response->add_bundles() = BundleToProto(parts_.registry.snapshot()->bundle);
    return grpc::Status::OK;
  }

  grpc::Status SignX509Svids(grpc::ServerContext* call, const v1::SignX509SvidsRequest* request,
                             v1::SignX509SvidsResponse* response) override {
    const absl::StatusOr<SpiffeId> node = parts_.attestation.Recognise(parts_.peer_of(*call));
    if (!node.ok()) return ToGrpcStatus(node.status());
    if (request->requests_size() > kMaxSignRequests) {
      return grpc::Status(grpc::StatusCode::INVALID_ARGUMENT,
                          absl::StrCat(request->requests_size(), " requests are too many; send at most ",
                                       kMaxSignRequests, " at a time"));
    }
    SignAll(*node, *request, *response);
    return grpc::Status::OK;
  }

  grpc::ServerWriteReactor<v1::NodeState>* WatchNode(grpc::CallbackServerContext* call,
                                                     const v1::WatchNodeRequest*) override {
    const std::optional<VerifiedSvid> peer = parts_.peer_of(*call);
    return NewNodeStream(parts_.attestation.Recognise(peer), peer ? peer->serial : "",
                         {parts_.registry, parts_.mesh, parts_.watches, parts_.reports, parts_.clock});
  }

  grpc::Status ReportProxies(grpc::ServerContext* call, const v1::ReportProxiesRequest* request,
                             v1::ReportProxiesResponse*) override {
    const absl::StatusOr<SpiffeId> node = parts_.attestation.Recognise(parts_.peer_of(*call));
    if (!node.ok()) return ToGrpcStatus(node.status());
    std::vector<ProxyReport> reports;
    for (const mesh::v1::ProxyStatus& status : request->proxies()) reports.push_back(ReportFromProto(status));
    return Kept(*node, parts_.reports.Replace(*node, std::move(reports), parts_.clock.Now()));
  }

  grpc::Status ReportObserved(grpc::ServerContext* call, const v1::ReportObservedRequest* request,
                              v1::ReportObservedResponse*) override {
    const absl::StatusOr<SpiffeId> node = parts_.attestation.Recognise(parts_.peer_of(*call));
    if (!node.ok()) return ToGrpcStatus(node.status());
    const std::set<SpiffeId> own = WorkloadsOf(*node);
    ObservedByProxies observed;
    for (const v1::ReportObservedRequest::OfProxy& report : request->proxies()) {
      mesh::v1::Observed calls = report.observed();
      KeepOwnCalls([&own](const SpiffeId& id) { return own.contains(id); }, calls);
      observed[report.proxy()] = calls.SerializeAsString();
    }
    return Kept(*node, parts_.reports.ReplaceObserved(*node, std::move(observed), parts_.clock.Now()));
  }

 private:
  // The stream is asked for once the report is there: one that ends from now on takes it along.
  grpc::Status Kept(const SpiffeId& node, absl::Status kept) {
    if (kept.ok() && !parts_.watches.IsConnected(node)) {
      parts_.reports.Drop(node);
      kept = absl::FailedPreconditionError("a report lives as long as the node's WatchNode stream: open that first");
    }
    return ToGrpcStatus(kept);
  }

  std::set<SpiffeId> WorkloadsOf(const SpiffeId& node) const {
    const std::shared_ptr<const RegistrySnapshot> snapshot = parts_.registry.snapshot();
    std::set<SpiffeId> workloads;
    for (const auto& [id, entry] : snapshot->entries) {
      if (entry.IsFor(node)) workloads.insert(entry.spiffe_id());
    }
    return workloads;
  }

  struct Signing {
    absl::StatusOr<std::vector<Certificate>> chain;
    absl::Duration lifetime = absl::ZeroDuration();  // as it was taken of the allowance; zero: nothing was
    bool limited = false;
  };

  Signing SignOne(const RegistrySnapshot& snapshot, const SpiffeId& node, const v1::SignX509SvidsRequest::One& one) {
    const auto entry = snapshot.entries.find(one.entry_id());
    // Another node's entry is not told apart from none: its existence is not this node's business.
    if (entry == snapshot.entries.end() || !entry->second.IsFor(node)) {
      return {absl::NotFoundError(absl::StrCat("there is no entry ", one.entry_id(), " for ", node.ToString()))};
    }
    const absl::Duration lifetime = parts_.issuer.LifetimeOf(entry->second);
    if (absl::Status taken = parts_.allowance.Take(node, one.entry_id(), lifetime); !taken.ok()) {
      return {std::move(taken), absl::ZeroDuration(), true};
    }
    return {parts_.issuer.SignWorkload(entry->second, one.csr()), lifetime};
  }

  // Signs each by itself, then records them together, and only then lets them out.
  void SignAll(const SpiffeId& node, const v1::SignX509SvidsRequest& request, v1::SignX509SvidsResponse& response) {
    const std::shared_ptr<const RegistrySnapshot> snapshot = parts_.registry.snapshot();
    std::vector<Signing> all;
    std::vector<Issuance> issued;
    for (const v1::SignX509SvidsRequest::One& one : request.requests()) {
      all.push_back(SignOne(*snapshot, node, one));
      if (!all.back().chain.ok()) continue;
      const Certificate& leaf = all.back().chain->front();
      issued.push_back({leaf.serial(), snapshot->entries.at(one.entry_id()).spiffe_id(), node, leaf.not_after()});
    }
    const std::vector<absl::Status> recorded = parts_.mesh.RecordIssuances(issued);
    size_t next = 0;
    for (int i = 0; i < request.requests_size(); ++i) {
      const std::string& entry_id = request.requests(i).entry_id();
      Signing& one = all[i];
      if (one.chain.ok() && !recorded[next++].ok()) one.chain = recorded[next - 1];
      if (!one.chain.ok() && one.lifetime > absl::ZeroDuration()) {
        parts_.allowance.GiveBack(node, entry_id, one.lifetime);
      }
      *response.add_results() = ResultOf(entry_id, node, one);
    }
  }

  v1::SignX509SvidsResponse::One ResultOf(const std::string& entry_id, const SpiffeId& node, const Signing& one) {
    v1::SignX509SvidsResponse::One result;
    result.set_entry_id(entry_id);
    if (one.chain.ok()) {
      parts_.issuing.CountSigned(SvidKind::kWorkload);
      *result.mutable_svid() = SvidToProto(*one.chain);
      return result;
    }
    if (one.limited) {
      parts_.issuing.CountLimited();
      LogLimited(node, one.chain.status());
    } else {
      parts_.issuing.CountRefused(one.chain.status());
      Log(LogLevel::kWarning, "refused an X.509-SVID",
          {{"entry_id", entry_id}, {"agent_id", node.ToString()}, {"reason", one.chain.status()}});
    }
    result.set_code(static_cast<int>(one.chain.status().code()));
    result.set_message(std::string(one.chain.status().message()));
    return result;
  }

  void LogLimited(const SpiffeId& node, const absl::Status& why) {
    std::lock_guard<std::mutex> lock(log_mutex_);
    if (!log_limit_.Allow(SystemClock().Monotonic())) return;
    Log(LogLevel::kWarning, "an agent asks for more SVIDs than its workloads need",
        {{"agent_id", node.ToString()}, {"reason", why}, {"suppressed", log_limit_.suppressed()}});
  }

  const AuthorityServiceParts parts_;
  std::mutex log_mutex_;  // guards log_limit_
  LogLimit log_limit_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewAuthorityService(AuthorityServiceParts parts) {
  return std::make_unique<AuthorityService>(std::move(parts));
}

}  // namespace lanyard
