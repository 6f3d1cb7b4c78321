#include "identity/agent/workload_service.h"

#include <string>
#include <utility>

#include "api/spiffe/workload.grpc.pb.h"
#include "identity/agent/stream_call.h"
#include "identity/base/secret.h"

namespace lanyard {
namespace {

void Fill(const WorkloadAnswer& answer, X509SVIDResponse& response) {
  response.Clear();
  for (const WorkloadAnswer::Identity& identity : answer.identities) {
    X509SVID& svid = *response.add_svids();
    svid.set_spiffe_id(identity.svid.id().ToString());
    svid.set_x509_svid(identity.svid.ChainDer());
    const Secret key = identity.svid.key().ExportPkcs8Der();
    svid.set_x509_svid_key(key.bytes().data(), key.bytes().size());
    const X509Bundle* bundle = answer.bundles.Find(identity.svid.id().trust_domain());
    if (bundle != nullptr) svid.set_bundle(bundle->ToConcatenatedDer());
    svid.set_hint(identity.hint);
  }
  for (const auto& [trust_domain, bundle] : answer.bundles.bundles()) {
    if (trust_domain == answer.trust_domain) continue;
    (*response.mutable_federated_bundles())[trust_domain.IdString()] = bundle.ToConcatenatedDer();
  }
}

void Fill(const WorkloadAnswer& answer, X509BundlesResponse& response) {
  response.Clear();
  for (const auto& [trust_domain, bundle] : answer.bundles.bundles()) {
    (*response.mutable_bundles())[trust_domain.IdString()] = bundle.ToConcatenatedDer();
  }
}

// Our copy of a key goes as soon as it was written; gRPC's own buffers are beyond reach.
void Forget(X509SVIDResponse& response) {
  for (X509SVID& svid : *response.mutable_svids()) {
    std::string& key = *svid.mutable_x509_svid_key();
    Cleanse({reinterpret_cast<uint8_t*>(key.data()), key.size()});
  }
  response.Clear();
}

void Forget(X509BundlesResponse& response) { response.Clear(); }

template <typename Response>
class WorkloadServiceCall : public StreamCall<grpc::ServerWriteReactor<Response>, Response> {
 public:
  using StreamCall<grpc::ServerWriteReactor<Response>, Response>::StreamCall;

 protected:
  void Fill(const StreamAnswer& answer, Response& response) override { lanyard::Fill(*answer.workload, response); }
  void Forget(Response& response) override { lanyard::Forget(response); }
};

class WorkloadService : public SpiffeWorkloadAPI::CallbackService {
 public:
  WorkloadService(WorkloadStreams& streams,
                  std::function<std::shared_ptr<const LocalPeer>(const grpc::ServerContextBase&)> peer_of)
      : streams_(streams), peer_of_(std::move(peer_of)) {}

  grpc::ServerWriteReactor<X509SVIDResponse>* FetchX509SVID(grpc::CallbackServerContext* context,
                                                            const X509SVIDRequest*) override {
    return Start<X509SVIDResponse>(WorkloadStreams::Kind::kSvids, *context);
  }

  grpc::ServerWriteReactor<X509BundlesResponse>* FetchX509Bundles(grpc::CallbackServerContext* context,
                                                                  const X509BundlesRequest*) override {
    return Start<X509BundlesResponse>(WorkloadStreams::Kind::kBundles, *context);
  }

  // gRPC's own refusal would come before the look at the header.
  grpc::ServerUnaryReactor* FetchJWTSVID(grpc::CallbackServerContext* context, const JWTSVIDRequest*,
                                         JWTSVIDResponse*) override {
    return Unserved<grpc::ServerUnaryReactor>(*context);
  }
  grpc::ServerWriteReactor<JWTBundlesResponse>* FetchJWTBundles(grpc::CallbackServerContext* context,
                                                                const JWTBundlesRequest*) override {
    return Unserved<grpc::ServerWriteReactor<JWTBundlesResponse>>(*context);
  }
  grpc::ServerUnaryReactor* ValidateJWTSVID(grpc::CallbackServerContext* context, const ValidateJWTSVIDRequest*,
                                            ValidateJWTSVIDResponse*) override {
    return Unserved<grpc::ServerUnaryReactor>(*context);
  }
  grpc::ServerWriteReactor<WITSVIDResponse>* FetchWITSVID(grpc::CallbackServerContext* context,
                                                          const WITSVIDRequest*) override {
    return Unserved<grpc::ServerWriteReactor<WITSVIDResponse>>(*context);
  }
  grpc::ServerWriteReactor<WITBundlesResponse>* FetchWITBundles(grpc::CallbackServerContext* context,
                                                                const WITBundlesRequest*) override {
    return Unserved<grpc::ServerWriteReactor<WITBundlesResponse>>(*context);
  }

 private:
  template <typename Reactor>
  static Reactor* Unserved(const grpc::ServerContextBase& context) {
    grpc::Status header = CheckSecurityHeader(context);
    if (!header.ok()) return new RefusedCall<Reactor>(std::move(header));
    return new RefusedCall<Reactor>({grpc::StatusCode::UNIMPLEMENTED, "only the X.509 profile is served"});
  }

  template <typename Response>
  grpc::ServerWriteReactor<Response>* Start(WorkloadStreams::Kind kind, const grpc::ServerContextBase& context) {
    using Reactor = grpc::ServerWriteReactor<Response>;
    if (grpc::Status header = CheckSecurityHeader(context); !header.ok()) {
      return new RefusedCall<Reactor>(std::move(header));
    }
    std::shared_ptr<const LocalPeer> peer = peer_of_(context);
    if (peer == nullptr) {
      return new RefusedCall<Reactor>({grpc::StatusCode::UNAVAILABLE, "the connection's process is not known"});
    }
    auto call = std::make_shared<WorkloadServiceCall<Response>>(streams_);
    Reactor* const reactor = call.get();
    WorkloadServiceCall<Response>::Begin(std::move(call), kind, std::move(peer));
    return reactor;
  }

  WorkloadStreams& streams_;
  const std::function<std::shared_ptr<const LocalPeer>(const grpc::ServerContextBase&)> peer_of_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewWorkloadService(
    WorkloadStreams& streams,
    std::function<std::shared_ptr<const LocalPeer>(const grpc::ServerContextBase&)> peer_of) {
  return std::make_unique<WorkloadService>(streams, std::move(peer_of));
}

}  // namespace lanyard
