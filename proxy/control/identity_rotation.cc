#include "proxy/control/identity_rotation.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "identity/base/logging.h"

namespace lanyard {
namespace {

std::string Utc(absl::Time time) { return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone()); }

}  // namespace

IdentityRotation::IdentityRotation(Options options)
    : options_(std::move(options)), cache_(std::make_shared<VerifyCache>()) {}

void IdentityRotation::Offer(WorkloadIdentity offered) {
  ++offers_;
  NoteLeftOut(offered.left_out);
  gave_ = true;
  refusing_.reset();
  const absl::Status taken = Take(offered);
  refused_.reset();
  if (taken.ok()) {
    source_status_ = absl::OkStatus();
  } else {
    refused_ = std::move(offered);
    Fail(taken);
  }
}

// Once for each change, as sources repeat themselves.
void IdentityRotation::NoteLeftOut(const std::vector<std::string>& left_out) {
  if (left_out == left_out_) return;
  left_out_ = left_out;
  if (left_out_.empty()) {
    Log(LogLevel::kInfo, "bundles are used whole again", {{"source", options_.source}});
    return;
  }
  Log(LogLevel::kWarning, "left out of the bundles: what cannot be used",
      {{"count", left_out_.size()}, {"first", left_out_.front()}, {"source", options_.source}});
}

void IdentityRotation::Retry() {
  if (!refused_.has_value() || !Take(*refused_).ok()) return;
  refused_.reset();
  source_status_ = absl::OkStatus();
}

void IdentityRotation::SourceFailed(const absl::Status& status) { Fail(status); }

void IdentityRotation::StreamEnded(const absl::Status& status) {
  const bool gave = std::exchange(gave_, false);
  if (!absl::IsPermissionDenied(status)) return Fail(status);
  refused_.reset();  // what it offered before
  const absl::Duration now = options_.clock->Monotonic();
  if (gave) refusing_ = now;
  const bool withdraws = current_ != nullptr && !withdrawn_ && refusing_.has_value() &&
                         now - *refusing_ >= kWithdrawnAfter;
  if (withdraws) withdrawn_ = true;
  Fail(status);
  if (withdraws) options_.publish(current_, true);
}

void IdentityRotation::Fail(const absl::Status& status) {
  ++failures_;
  // A source that is asked every few seconds says the same for hours.
  const bool news = source_status_ != status || withdrawn_ != withdrawal_logged_;
  const LogLevel level = news ? LogLevel::kWarning : LogLevel::kDebug;
  source_status_ = status;
  withdrawal_logged_ = withdrawn_;
  if (current_ == nullptr) {
    Log(level, "waiting for an identity", {{"source", options_.source}, {"error", status}});
    return;
  }
  Log(level,
      withdrawn_ ? "identity withdrawn: nothing new is begun with it; see that this workload has its entry, and no ban"
                 : "identity kept",
      {{"spiffe_id", current_->svid()->id().ToString()},
       {"serial", current_->svid()->leaf().serial()},
       {"not_after", Utc(current_->svid()->not_after())},
       {"source", options_.source},
       {"error", status}});
}

absl::StatusOr<X509Svid> IdentityRotation::Choose(const WorkloadIdentity& offered) const {
  if (offered.svids.empty()) return absl::InvalidArgumentError("the source offered no SVID");
  if (!options_.spiffe_id.has_value()) return offered.svids.front();
  for (const X509Svid& svid : offered.svids) {
    if (svid.id() == *options_.spiffe_id) return svid;
  }
  const auto name = [](std::string* out, const X509Svid& svid) { out->append(svid.id().ToString()); };
  return absl::NotFoundError(absl::StrCat("identity.spiffe_id is ", options_.spiffe_id->ToString(),
                                          ", and the source offered only ", absl::StrJoin(offered.svids, ", ", name)));
}

absl::Status IdentityRotation::Take(WorkloadIdentity offered) {
  absl::StatusOr<X509Svid> svid = Choose(offered);
  if (!svid.ok()) return svid.status();
  const bool same_svid = current_ != nullptr && svid->chain() == current_->svid()->chain();
  const bool same_bundles = current_ != nullptr && offered.bundles == current_->bundles();
  const bool given_again = withdrawn_;
  if (same_svid && same_bundles && !given_again) return absl::OkStatus();
  absl::StatusOr<std::shared_ptr<const TlsContext>> context =
      TlsContext::Create(*std::move(svid), std::move(offered.bundles), cache_, *options_.clock, options_.tls);
  if (!context.ok()) return context.status();
  current_ = *std::move(context);
  withdrawn_ = false;
  if (!same_svid) {
    ++rotations_;
    expiry_logged_ = false;
  }
  if (!same_bundles) ++bundle_changes_;
  const X509Svid& now = *current_->svid();
  Log(LogLevel::kInfo, given_again ? "identity given again" : same_svid ? "bundles" : "identity",
      {{"spiffe_id", now.id().ToString()},
       {"serial", now.leaf().serial()},
       {"not_after", Utc(now.not_after())},
       {"trust_domains", current_->bundles().bundles().size()},
       {"source", options_.source}});
  options_.publish(current_, false);
  return absl::OkStatus();
}

void IdentityRotation::CheckExpiry() {
  if (current_ == nullptr || expiry_logged_ || options_.clock->Now() <= current_->svid()->not_after()) return;
  expiry_logged_ = true;
  Log(LogLevel::kError, "identity expired",
      {{"spiffe_id", current_->svid()->id().ToString()},
       {"serial", current_->svid()->leaf().serial()},
       {"not_after", Utc(current_->svid()->not_after())},
       {"source", options_.source}});
}

absl::Status IdentityRotation::Usable() const {
  const std::string last =
      source_status_.ok() ? "" : absl::StrCat("; its source said last: ", source_status_.message());
  if (current_ == nullptr) {
    return absl::UnavailableError(absl::StrCat("waiting for the first identity from ", options_.source, last));
  }
  if (options_.clock->Now() > current_->svid()->not_after()) {
    return absl::UnavailableError(absl::StrCat("the identity ", current_->svid()->id().ToString(), " expired at ",
                                               Utc(current_->svid()->not_after()), last));
  }
  if (withdrawn_) {
    return absl::UnavailableError(
        absl::StrCat("the identity ", current_->svid()->id().ToString(), " was withdrawn", last));
  }
  return absl::OkStatus();
}

}  // namespace lanyard
