#include "identity/authority/authority_service.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "api/lanyard/authority/authority.grpc.pb.h"
#include "identity/authority/authority_proto.h"
#include "identity/authority/node_stream_service.h"
#include "identity/base/logging.h"
#include "identity/registry/grpc_status.h"

namespace lanyard {
namespace {

namespace v1 = authority::v1;

// One-shot calls have a thread each while they run; WatchNode, which lasts, has none.
class AuthorityService final : public v1::Authority::WithCallbackMethod_WatchNode<v1::Authority::Service> {
 public:
  explicit AuthorityService(AuthorityServiceParts parts) : parts_(std::move(parts)) {}

  grpc::Status Attest(grpc::ServerContext*, const v1::AttestRequest* request, v1::AttestResponse* response) override {
    const absl::StatusOr<std::vector<Certificate>> chain =
        parts_.attestation.Attest(request->join_token(), request->csr());
    if (!chain.ok()) return ToGrpcStatus(chain.status());
    *response->mutable_svid() = SvidToProto(*chain);
    *response->add_bundles() = BundleToProto(parts_.registry.snapshot()->bundle);
    return grpc::Status::OK;
  }

  grpc::Status RenewNode(grpc::ServerContext* call, const v1::RenewNodeRequest* request,
                         v1::RenewNodeResponse* response) override {
    const absl::StatusOr<SpiffeId> node = parts_.attestation.Recognise(parts_.peer_of(*call));
    if (!node.ok()) return ToGrpcStatus(node.status());
    const absl::StatusOr<std::vector<Certificate>> chain = parts_.attestation.Renew(*node, request->csr());
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
    const std::shared_ptr<const RegistrySnapshot> snapshot = parts_.registry.snapshot();
    for (const v1::SignX509SvidsRequest::One& one : request->requests()) {
      *response->add_results() = Sign(*snapshot, *node, one);
    }
    return grpc::Status::OK;
  }

  grpc::ServerWriteReactor<v1::NodeState>* WatchNode(grpc::CallbackServerContext* call,
                                                     const v1::WatchNodeRequest*) override {
    return NewNodeStream(parts_.attestation.Recognise(parts_.peer_of(*call)), parts_.registry, parts_.watches);
  }

 private:
  v1::SignX509SvidsResponse::One Sign(const RegistrySnapshot& snapshot, const SpiffeId& node,
                                      const v1::SignX509SvidsRequest::One& one) const {
    v1::SignX509SvidsResponse::One result;
    result.set_entry_id(one.entry_id());
    const auto entry = snapshot.entries.find(one.entry_id());
    // Another node's entry is not told apart from none: its existence is not this node's business.
    const absl::StatusOr<std::vector<Certificate>> chain =
        entry != snapshot.entries.end() && entry->second.IsFor(node)
            ? parts_.issuer.SignWorkload(entry->second, one.csr())
            : absl::NotFoundError(absl::StrCat("there is no entry ", one.entry_id(), " for ", node.ToString()));
    if (chain.ok()) {
      *result.mutable_svid() = SvidToProto(*chain);
      return result;
    }
    Log(LogLevel::kWarning, "refused an X.509-SVID",
        {{"entry_id", one.entry_id()}, {"agent_id", node.ToString()}, {"reason", chain.status()}});
    result.set_code(static_cast<int>(chain.status().code()));
    result.set_message(std::string(chain.status().message()));
    return result;
  }

  const AuthorityServiceParts parts_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewAuthorityService(AuthorityServiceParts parts) {
  return std::make_unique<AuthorityService>(std::move(parts));
}

}  // namespace lanyard
