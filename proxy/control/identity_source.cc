#include "proxy/control/identity_source.h"

#include <utility>

#include "identity/base/backoff.h"
#include "identity/base/logging.h"

namespace lanyard {
namespace {

// An agent on the same machine that has nothing for us may have it any moment, and until then we serve nobody.
constexpr BackoffOptions kBackoff = {.initial = absl::Milliseconds(100), .max = absl::Seconds(5), .factor = 2.0};

}  // namespace

IdentitySource::IdentitySource(Options options, ControlLoop& loop, IdentityRotation& rotation)
    : options_(std::move(options)), loop_(loop), rotation_(rotation) {}

IdentitySource::~IdentitySource() = default;

void IdentitySource::Start() {
  if (!options_.files.has_value()) return StreamIdentities();
  file_watch_.emplace(options_.files->Paths());
  loop_.Post([this] { PollFiles(); });
  loop_.Every(options_.poll_interval, [this] { PollFiles(); });
}

void IdentitySource::StreamIdentities() {
  WorkloadWatch::Callbacks callbacks;
  callbacks.on_identity = [this](WorkloadIdentity identity) {
    loop_.Post([this, identity = std::move(identity)]() mutable { rotation_.Offer(std::move(identity)); });
  };
  callbacks.on_error = [this](const absl::Status& status, absl::Duration wait) {
    const bool ended = wait > absl::ZeroDuration();
    loop_.Post([this, status, ended] { ended ? rotation_.StreamEnded(status) : rotation_.SourceFailed(status); });
  };
  workload_watch_ = std::make_unique<WorkloadWatch>(options_.workload_api, std::move(callbacks), kBackoff);
}

void IdentitySource::PollFiles() {
  if (!file_watch_->Poll()) return;
  absl::StatusOr<WorkloadIdentity> identity = ReadIdentityFiles(*options_.files);
  if (!identity.ok()) return rotation_.SourceFailed(identity.status());
  if (KeyReadableByOthers(*options_.files)) {
    Log(LogLevel::kWarning, "private key is readable by every user; chmod o-r it", {{"path", options_.files->key}});
  }
  rotation_.Offer(*std::move(identity));
}

}  // namespace lanyard
