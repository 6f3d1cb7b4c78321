#include "identity/agent/workload_service.h"

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "api/spiffe/workload.grpc.pb.h"
#include "identity/base/secret.h"

namespace lanyard {
namespace {

constexpr char kSecurityHeader[] = "workload.spiffe.io";

// The codes are the same numbers in both.
grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

bool HasSecurityHeader(const grpc::ServerContextBase& context) {
  const auto [begin, end] = context.client_metadata().equal_range(kSecurityHeader);
  for (auto header = begin; header != end; ++header) {
    if (header->second != "true") return false;
  }
  return begin != end;
}

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

// One open call. gRPC's reactions and the deciding thread's orders meet here; at most one write is under way, and
// only the newest answer waits behind it. No lock is held while gRPC is called, as it may call back at once.
template <typename Response>
class Call : public grpc::ServerWriteReactor<Response>, public WorkloadCall {
 public:
  static Call* Start(WorkloadStreams::Kind kind, WorkloadStreams& streams, std::shared_ptr<const LocalPeer> peer) {
    auto call = std::make_shared<Call>(streams);
    Call* const borrowed = call.get();
    call->self_ = call;
    const absl::StatusOr<uint64_t> id = streams.Add(kind, std::move(peer), std::move(call));
    // OnDone cannot come before the handler has returned: `id_` needs no lock.
    if (id.ok()) {
      borrowed->id_ = *id;
    } else {
      borrowed->End(id.status());
    }
    return borrowed;
  }

  explicit Call(WorkloadStreams& streams) : streams_(streams) {}

  void Send(std::shared_ptr<const WorkloadAnswer> answer) override {
    {
      absl::MutexLock lock(&mutex_);
      if (end_.has_value()) return;
      if (writing_) {
        waiting_ = std::move(answer);
        return;
      }
      writing_ = true;
    }
    Write(*answer);
  }

  void End(const absl::Status& status) override { Finish(ToGrpc(status)); }

  void OnWriteDone(bool ok) override {
    Forget(message_);
    std::shared_ptr<const WorkloadAnswer> next;
    {
      absl::MutexLock lock(&mutex_);
      if (!ok && !end_.has_value()) end_ = grpc::Status(grpc::StatusCode::CANCELLED, "the client went away");
      if (!end_.has_value()) next = std::exchange(waiting_, nullptr);
      writing_ = next != nullptr;
      if (next == nullptr && !end_.has_value()) return;
    }
    if (next != nullptr) return Write(*next);
    FinishNow();
  }

  void OnCancel() override { Finish(grpc::Status::CANCELLED); }

  void OnDone() override {
    streams_.Remove(id_);
    self_.reset();  // the last of this object, unless the deciding thread is at it
  }

 private:
  void Write(const WorkloadAnswer& answer) {
    Fill(answer, message_);
    this->StartWrite(&message_);
  }

  void Finish(grpc::Status status) {
    {
      absl::MutexLock lock(&mutex_);
      if (end_.has_value()) return;
      end_ = std::move(status);
      waiting_ = nullptr;
      if (writing_) return;  // OnWriteDone finishes
    }
    FinishNow();
  }

  void FinishNow() {
    grpc::Status status;
    {
      absl::MutexLock lock(&mutex_);
      status = *end_;
    }
    grpc::ServerWriteReactor<Response>::Finish(std::move(status));
  }

  WorkloadStreams& streams_;
  uint64_t id_ = 0;
  std::shared_ptr<Call> self_;  // gRPC borrows this object until OnDone
  Response message_;            // of whoever set writing_
  absl::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<const WorkloadAnswer> waiting_ ABSL_GUARDED_BY(mutex_);
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mutex_);
};

// A call that is refused before it has anything to do with a stream.
template <typename Response>
class RefusedCall : public grpc::ServerWriteReactor<Response> {
 public:
  explicit RefusedCall(grpc::Status status) { this->Finish(std::move(status)); }
  void OnDone() override { delete this; }
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

 private:
  template <typename Response>
  grpc::ServerWriteReactor<Response>* Start(WorkloadStreams::Kind kind, const grpc::ServerContextBase& context) {
    if (!HasSecurityHeader(context)) {
      return new RefusedCall<Response>(
          {grpc::StatusCode::INVALID_ARGUMENT, "the metadata \"workload.spiffe.io: true\" is missing"});
    }
    std::shared_ptr<const LocalPeer> peer = peer_of_(context);
    if (peer == nullptr) {
      return new RefusedCall<Response>({grpc::StatusCode::UNAVAILABLE, "the connection's process is not known"});
    }
    return Call<Response>::Start(kind, streams_, std::move(peer));
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
