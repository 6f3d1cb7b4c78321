#include "identity/agent/authority_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "api/lanyard/authority/authority.grpc.pb.h"
#include "identity/agent/node_mesh_proto.h"
#include "identity/base/clock.h"
#include "identity/base/logging.h"

namespace lanyard {
namespace {

namespace pb = ::lanyard::authority::v1;

// The codes are the same numbers in both.
absl::Status ToAbsl(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

absl::Status Unreadable(absl::string_view what, const absl::Status& why) {
  return absl::InternalError(absl::StrCat("the authority sent ", what, " that cannot be read: ", why.message()));
}

absl::StatusOr<std::vector<Certificate>> ReadChain(const pb::Svid& svid) {
  std::vector<Certificate> chain;
  for (const std::string& der : svid.chain()) {
    absl::StatusOr<Certificate> certificate = Certificate::Parse(Bytes(der));
    if (!certificate.ok()) return Unreadable("an SVID", certificate.status());
    chain.push_back(*std::move(certificate));
  }
  if (chain.empty()) return absl::InternalError("the authority sent an SVID without certificates");
  return chain;
}

absl::StatusOr<X509Bundle> ReadBundle(const pb::Bundle& bundle) {
  absl::StatusOr<TrustDomain> trust_domain = TrustDomain::Parse(bundle.trust_domain());
  if (!trust_domain.ok()) return trust_domain.status();
  std::vector<Certificate> authorities;
  for (const std::string& der : bundle.authorities()) {
    absl::StatusOr<Certificate> authority = Certificate::Parse(Bytes(der));
    if (!authority.ok()) return authority.status();
    authorities.push_back(*std::move(authority));
  }
  return X509Bundle::Create(*std::move(trust_domain), std::move(authorities));
}

// One foreign bundle that cannot be read must not cost the node everything else; without
// its own there is nothing to live by.
absl::StatusOr<BundleSet> ReadBundles(const google::protobuf::RepeatedPtrField<pb::Bundle>& bundles,
                                      const TrustDomain& own) {
  BundleSet set;
  for (const pb::Bundle& bundle : bundles) {
    absl::StatusOr<X509Bundle> read = ReadBundle(bundle);
    if (read.ok()) {
      set.Set(*std::move(read));
    } else {
      Log(LogLevel::kError, "bundle left out",
          {{"trust_domain", bundle.trust_domain()}, {"error", read.status()}});
    }
  }
  const X509Bundle* own_bundle = set.Find(own);
  if (own_bundle == nullptr || own_bundle->authorities().empty()) {
    return absl::InternalError(absl::StrCat("the authority sent no usable bundle of ", own.name()));
  }
  return set;
}

// Half of the rules could allow what the whole forbids: what was known before stays.
std::shared_ptr<const NodeMesh> ReadMesh(const pb::NodeState& message) {
  absl::StatusOr<std::shared_ptr<const NodeMesh>> mesh = ReadNodeMesh(message);
  if (mesh.ok()) return *std::move(mesh);
  Log(LogLevel::kError, "policies, routes and bans left as they were: what the authority sent cannot be read",
      {{"version", message.mesh_version()}, {"error", mesh.status()}});
  return nullptr;
}

NodeState ReadState(const pb::NodeState& message, BundleSet bundles) {
  NodeState state;
  state.revision = message.revision();
  state.bundles = std::move(bundles);
  state.mesh = ReadMesh(message);
  std::set<std::string> ids;
  for (const pb::Entry& entry : message.entries()) {
    absl::StatusOr<SpiffeId> id = SpiffeId::Parse(entry.spiffe_id());
    if (!id.ok() || !id->has_path() || entry.id().empty() || !ids.insert(entry.id()).second) {
      Log(LogLevel::kError, "entry left out: its id or SPIFFE ID is not usable",
          {{"entry", entry.id()}, {"spiffe_id", entry.spiffe_id()}, {"error", id.status()}});
      state.whole = false;
      continue;
    }
    state.entries.push_back(WorkloadEntry{.id = entry.id(),
                                          .spiffe_id = *std::move(id),
                                          .selectors = {entry.selectors().begin(), entry.selectors().end()},
                                          .x509_svid_ttl_seconds = entry.x509_svid_ttl_seconds(),
                                          .dns_names = {entry.dns_names().begin(), entry.dns_names().end()},
                                          .hint = entry.hint()});
  }
  return state;
}

template <typename Response>
absl::StatusOr<AuthorityClient::NodeGrant> ReadGrant(const Response& response, const TrustDomain& own) {
  absl::StatusOr<std::vector<Certificate>> chain = ReadChain(response.svid());
  if (!chain.ok()) return chain.status();
  absl::StatusOr<BundleSet> bundles = ReadBundles(response.bundles(), own);
  if (!bundles.ok()) return bundles.status();
  return AuthorityClient::NodeGrant{*std::move(chain), *std::move(bundles)};
}

class GrpcAuthorityClient : public AuthorityClient {
 public:
  GrpcAuthorityClient(std::shared_ptr<grpc::Channel> channel, std::shared_ptr<const void> connection,
                      TrustDomain trust_domain)
      : connection_(std::move(connection)),
        trust_domain_(std::move(trust_domain)),
        stub_(pb::Authority::NewStub(std::move(channel))) {}

  absl::StatusOr<NodeGrant> Attest(absl::string_view join_token, const std::string& csr_der,
                                   absl::Duration timeout) override {
    pb::AttestRequest request;
    request.set_join_token(std::string(join_token));
    request.set_csr(csr_der);
    pb::AttestResponse response;
    Call call(*this, timeout);
    const absl::Status status = ToAbsl(stub_->Attest(call.context(), request, &response));
    if (!status.ok()) return status;
    return ReadGrant(response, trust_domain_);
  }

  absl::StatusOr<NodeGrant> RenewNode(const std::string& csr_der, absl::Duration timeout) override {
    pb::RenewNodeRequest request;
    request.set_csr(csr_der);
    pb::RenewNodeResponse response;
    Call call(*this, timeout);
    const absl::Status status = ToAbsl(stub_->RenewNode(call.context(), request, &response));
    if (!status.ok()) return status;
    return ReadGrant(response, trust_domain_);
  }

  absl::StatusOr<std::vector<Signed>> SignX509Svids(absl::Span<const SignRequest> requests,
                                                    absl::Duration timeout) override;

  absl::Status WatchNode(const std::function<void(NodeState)>& on_state) override {
    Call call(*this, absl::InfiniteDuration());
    auto stream = stub_->WatchNode(call.context(), pb::WatchNodeRequest());
    pb::NodeState message;
    absl::Status refused;
    while (refused.ok() && stream->Read(&message)) {
      absl::StatusOr<BundleSet> bundles = ReadBundles(message.bundles(), trust_domain_);
      if (bundles.ok()) {
        on_state(ReadState(message, *std::move(bundles)));
      } else {
        refused = bundles.status();
        call.context()->TryCancel();
      }
    }
    const absl::Status ended = ToAbsl(stream->Finish());
    return refused.ok() ? ended : refused;
  }

  absl::Status ReportProxies(const std::vector<std::string>& statuses, absl::Duration timeout) override {
    pb::ReportProxiesRequest request;
    for (const std::string& status : statuses) {
      if (!request.add_proxies()->ParseFromString(status)) return absl::InternalError("a status is no ProxyStatus");
    }
    pb::ReportProxiesResponse response;
    Call call(*this, timeout);
    return ToAbsl(stub_->ReportProxies(call.context(), request, &response));
  }

  absl::Status ReportObserved(const std::vector<std::string>& reports, absl::Duration timeout) override {
    pb::ReportObservedRequest request;
    for (const std::string& report : reports) {
      if (!request.add_proxies()->ParseFromString(report)) return absl::InternalError("a report is no OfProxy");
    }
    pb::ReportObservedResponse response;
    Call call(*this, timeout);
    return ToAbsl(stub_->ReportObserved(call.context(), request, &response));
  }

  void Cancel() override {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    for (grpc::ClientContext* context : running_) context->TryCancel();
  }

 private:
  // A running call, known to Cancel for as long as it lives.
  class Call {
   public:
    Call(GrpcAuthorityClient& client, absl::Duration timeout) : client_(client) {
      if (timeout != absl::InfiniteDuration()) context_.set_deadline(absl::ToChronoTime(SystemClock().Now() + timeout));
      absl::MutexLock lock(&client_.mutex_);
      client_.running_.insert(&context_);
      if (client_.cancelled_) context_.TryCancel();
    }
    ~Call() {
      absl::MutexLock lock(&client_.mutex_);
      client_.running_.erase(&context_);
    }
    grpc::ClientContext* context() { return &context_; }

   private:
    GrpcAuthorityClient& client_;
    grpc::ClientContext context_;
  };

  const std::shared_ptr<const void> connection_;
  const TrustDomain trust_domain_;
  const std::unique_ptr<pb::Authority::Stub> stub_;
  absl::Mutex mutex_;
  std::set<grpc::ClientContext*> running_ ABSL_GUARDED_BY(mutex_);
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
};

absl::StatusOr<std::vector<AuthorityClient::Signed>> GrpcAuthorityClient::SignX509Svids(
    absl::Span<const SignRequest> requests, absl::Duration timeout) {
  pb::SignX509SvidsRequest message;
  for (const SignRequest& request : requests) {
    pb::SignX509SvidsRequest::One* one = message.add_requests();
    one->set_entry_id(request.entry_id);
    one->set_csr(request.csr_der);
  }
  pb::SignX509SvidsResponse response;
  Call call(*this, timeout);
  const absl::Status status = ToAbsl(stub_->SignX509Svids(call.context(), message, &response));
  if (!status.ok()) return status;
  if (response.results_size() != static_cast<int>(requests.size())) {
    return absl::InternalError(absl::StrCat("the authority answered ", requests.size(), " requests with ",
                                            response.results_size(), " results"));
  }
  std::vector<Signed> results;
  for (size_t i = 0; i < requests.size(); ++i) {
    const pb::SignX509SvidsResponse::One& one = response.results(static_cast<int>(i));
    if (one.entry_id() != requests[i].entry_id) {
      results.push_back(absl::InternalError("the authority's results are in another order than the requests"));
    } else if (one.code() != 0) {
      results.push_back(absl::Status(static_cast<absl::StatusCode>(one.code()), one.message()));
    } else {
      results.push_back(ReadChain(one.svid()));
    }
  }
  return results;
}

}  // namespace

std::unique_ptr<AuthorityClient> NewAuthorityClient(std::shared_ptr<grpc::Channel> channel,
                                                    std::shared_ptr<const void> connection,
                                                    TrustDomain trust_domain) {
  return std::make_unique<GrpcAuthorityClient>(std::move(channel), std::move(connection), std::move(trust_domain));
}

}  // namespace lanyard
