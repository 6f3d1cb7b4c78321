#include "identity/agent/mesh_service.h"

#include <grpcpp/alarm.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/lanyard/authority/authority.pb.h"
#include "api/lanyard/mesh/mesh.grpc.pb.h"
#include "identity/agent/node_mesh_proto.h"
#include "identity/agent/stream_call.h"
#include "identity/base/logging.h"
#include "identity/policy/observed_proto.h"

namespace lanyard {
namespace {

using WatchReactor = grpc::ServerBidiReactor<mesh::v1::WatchRequest, mesh::v1::View>;

class WatchCall : public StreamCall<WatchReactor, mesh::v1::View> {
 public:
  WatchCall(WorkloadStreams& streams, ProxyReports& reports, ProxyReports& observed, const Clock& clock)
      : StreamCall(streams),
        reports_(reports),
        observed_(observed),
        clock_(clock),
        report_id_(reports.NewStream()),
        refilled_at_(clock.Monotonic()) {}

  void OnReadDone(bool ok) override {
    if (!ok) return;  // the proxy has nothing more to say; what it is told goes on
    const absl::Status taken = Take();
    if (!taken.ok()) {
      Log(LogLevel::kWarning, "a proxy's status refused", {{"error", taken}});
      return End(taken);
    }
    if (allowance_ < 1) return ReadLater();
    StartRead(&request_);
  }

  // Before gRPC may call OnReadDone.
  void Read() { StartRead(&request_); }

 protected:
  void Fill(const StreamAnswer& answer, mesh::v1::View& view) override {
    absl::StatusOr<mesh::v1::View> made = ViewOf(*answer.mesh);
    // Cannot be, as the authority's client made the pieces; if it is, no proxy may take what is left for a view.
    if (made.ok()) {
      view = *std::move(made);
    } else {
      view.add_bans();  // of nobody: refused by every proxy
      Log(LogLevel::kError, "a proxy's view cannot be made", {{"error", made.status()}});
    }
    absl::MutexLock lock(&status_mutex_);
    recognized_ = true;
    ids_ = answer.mesh->spiffe_ids;
    if (status_.has_value()) ReportStatus();
  }

  void Gone() override {
    reports_.Remove(report_id_);
    observed_.Remove(report_id_);
  }

 private:
  // The proxy waits with what it has to say next.
  void ReadLater() {
    if (!Hold()) return;
    const absl::Duration wait = absl::Seconds((1 - allowance_) / kWatchRequestsPerSecond);
    allowance_ = 1;
    refilled_at_ = clock_.Monotonic() + wait;
    // The next one may take the place of this one while it is still being set.
    const auto pause = std::make_shared<grpc::Alarm>();
    pause_ = pause;
    pause->Set(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                            gpr_time_from_nanos(absl::ToInt64Nanoseconds(wait), GPR_TIMESPAN)),
               [this](bool) {
                 StartRead(&request_);
                 Release();
               });
  }

  absl::Status Take() {
    const absl::Duration now = clock_.Monotonic();
    const absl::Duration since = std::max(now - refilled_at_, absl::ZeroDuration());
    allowance_ = std::min(kWatchRequestBurst, allowance_ + absl::ToDoubleSeconds(since) * kWatchRequestsPerSecond) - 1;
    refilled_at_ = std::max(now, refilled_at_);
    const size_t limit_bytes = kMaxWatchRequestBytes + (request_.has_observed() ? kMaxObservedBytes : 0);
    if (request_.ByteSizeLong() > limit_bytes) {
      return absl::InvalidArgumentError(absl::StrCat("a request is larger than ", limit_bytes, " bytes"));
    }
    if (request_.has_observed()) TakeObserved();
    if (!request_.has_status()) return absl::OkStatus();
    if (const absl::Status good = CheckProxyStatus(request_.status()); !good.ok()) return good;
    TakeShown(request_.status().spiffe_id());
    request_.mutable_status()->set_proxy(report_id_);
    absl::MutexLock lock(&status_mutex_);
    status_ = request_.status();
    if (recognized_) ReportStatus();
    return absl::OkStatus();
  }

  // Nobody is shown to operators as another workload's proxy: of an identity that is none of the caller's nothing is
  // said.
  void ReportStatus() ABSL_EXCLUSIVE_LOCKS_REQUIRED(status_mutex_) {
    mesh::v1::ProxyStatus status = *status_;
    const auto is_shown = [&status](const SpiffeId& id) { return id.ToString() == status.spiffe_id(); };
    if (!status.spiffe_id().empty() && std::none_of(ids_.begin(), ids_.end(), is_shown)) {
      status.clear_spiffe_id();
      status.clear_serial();
      status.clear_not_after_unix();
    }
    reports_.Set(report_id_, status.SerializeAsString());
  }

  // It may have none yet.
  void TakeShown(const std::string& text) {
    if (text == shown_) return;
    absl::StatusOr<SpiffeId> id = SpiffeId::Parse(text);
    if (!id.ok()) return;
    shown_ = text;
    Shows(*std::move(id));
  }

  // A proxy sends it when its view has asked for it. Before that nobody can say whose calls these may be.
  void TakeObserved() {
    absl::MutexLock lock(&status_mutex_);
    if (!recognized_) return;
    authority::v1::ReportObservedRequest::OfProxy report;
    report.set_proxy(report_id_);
    report.mutable_observed()->Swap(request_.mutable_observed());
    KeepOwnCalls([this](const SpiffeId& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(status_mutex_) {
      return std::find(ids_.begin(), ids_.end(), id) != ids_.end();
    }, *report.mutable_observed());
    observed_.Set(report_id_, report.SerializeAsString());
  }

  ProxyReports& reports_;
  ProxyReports& observed_;
  const Clock& clock_;
  const uint64_t report_id_;
  // Of the read under way.
  mesh::v1::WatchRequest request_;
  std::string shown_;                      // the last ID that it said it shows
  double allowance_ = kWatchRequestBurst;  // at least one while a read is under way
  absl::Duration refilled_at_;
  std::shared_ptr<grpc::Alarm> pause_;

  absl::Mutex status_mutex_;
  bool recognized_ ABSL_GUARDED_BY(status_mutex_) = false;
  std::vector<SpiffeId> ids_ ABSL_GUARDED_BY(status_mutex_);  // of the caller, once it is recognised
  std::optional<mesh::v1::ProxyStatus> status_ ABSL_GUARDED_BY(status_mutex_);
};

class MeshService : public mesh::v1::MeshService::CallbackService {
 public:
  MeshService(WorkloadStreams& streams, ProxyReports& reports, ProxyReports& observed, const Clock& clock,
              std::function<std::shared_ptr<const LocalPeer>(const grpc::ServerContextBase&)> peer_of)
      : streams_(streams), reports_(reports), observed_(observed), clock_(clock), peer_of_(std::move(peer_of)) {}

  WatchReactor* Watch(grpc::CallbackServerContext* context) override {
    if (grpc::Status header = CheckSecurityHeader(*context); !header.ok()) {
      return new RefusedCall<WatchReactor>(std::move(header));
    }
    std::shared_ptr<const LocalPeer> peer = peer_of_(*context);
    if (peer == nullptr) {
      return new RefusedCall<WatchReactor>({grpc::StatusCode::UNAVAILABLE, "the connection's process is not known"});
    }
    auto call = std::make_shared<WatchCall>(streams_, reports_, observed_, clock_);
    WatchCall* const borrowed = call.get();
    WatchCall::Begin(std::move(call), WorkloadStreams::Kind::kMesh, std::move(peer));
    borrowed->Read();
    return borrowed;
  }

 private:
  WorkloadStreams& streams_;
  ProxyReports& reports_;
  ProxyReports& observed_;
  const Clock& clock_;
  const std::function<std::shared_ptr<const LocalPeer>(const grpc::ServerContextBase&)> peer_of_;
};

}  // namespace

std::unique_ptr<grpc::Service> NewMeshService(
    WorkloadStreams& streams, ProxyReports& reports, ProxyReports& observed, const Clock& clock,
    std::function<std::shared_ptr<const LocalPeer>(const grpc::ServerContextBase&)> peer_of) {
  return std::make_unique<MeshService>(streams, reports, observed, clock, std::move(peer_of));
}

}  // namespace lanyard
