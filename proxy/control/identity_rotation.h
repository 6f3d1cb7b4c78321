// The identity in force: takes every one that its source offers, verifies it, and keeps the old where the
// new is no good.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "identity/base/clock.h"
#include "identity/spiffe/spiffe_id.h"
#include "identity/tls/tls_context.h"
#include "identity/workload/watch.h"

namespace lanyard {

// On the control thread only. Never goes from an identity to none: an SVID that has expired stays (and is
// refused by peers) until its source offers a good one, and so does one that was withdrawn (and nothing new is begun
// with it).
//
// Withdrawn (Workload API 5.2.1: one SHOULD cease to use what was given before) is what the source refused on the very
// stream by which it had given something, and again kWithdrawnAfter or more later, having given nothing in between. A
// needless refusal is an outage, and less proves little: a SPIRE agent refuses for a moment when an entry is replaced
// (the old one goes before the new one's SVID is signed; one sync in between, and it is 5 seconds), and it refuses
// whoever calls anew while one of its attestors does not work, as after a restart. What vanishes from an answer that
// gives other SVIDs, and files that vanish, withdraw nothing: an agent that cannot have an SVID leaves it out too.
class IdentityRotation {
 public:
  static constexpr absl::Duration kWithdrawnAfter = absl::Seconds(10);

  struct Options {
    std::optional<SpiffeId> spiffe_id;  // which SVID to use; nothing: the first
    std::string source;                 // for logs: an address or a path
    const Clock* clock = nullptr;       // borrowed
    TlsContext::Options tls;
    // Called for every change of either.
    std::function<void(std::shared_ptr<const TlsContext>, bool withdrawn)> publish;
  };
  explicit IdentityRotation(Options options);

  // A whole identity from the source. Published when it differs from the one in force and verifies
  // against its own bundle; else counted and logged, and tried again by Retry.
  void Offer(WorkloadIdentity offered);

  // The source failed; the identity in force stays.
  void SourceFailed(const absl::Status& status);

  // Likewise, but that nothing follows on this stream. PermissionDenied: no identity is ours any more. Call it for each
  // stream; a source that refuses must be asked again.
  void StreamEnded(const absl::Status& status);

  // Tries what was refused last once more: an SVID that is not valid yet becomes so, and clocks are set right, while
  // a source does not repeat itself. Call every now and then.
  void Retry();

  // Logs, once, that the SVID in force has expired. Call every now and then.
  void CheckExpiry();

  const std::shared_ptr<const TlsContext>& current() const { return current_; }  // null before the first
  // OK, or why this proxy cannot prove who it is: no identity yet, an expired or a withdrawn one, and what the source
  // said last.
  absl::Status Usable() const;
  bool withdrawn() const { return withdrawn_; }
  const std::string& source() const { return options_.source; }
  uint64_t rotations() const { return rotations_; }  // SVIDs taken into force, the first included
  uint64_t bundle_changes() const { return bundle_changes_; }
  uint64_t failures() const { return failures_; }  // offers refused, and failures of the source
  uint64_t offers() const { return offers_; }
  const std::vector<std::string>& left_out() const { return left_out_; }  // of the latest offer's bundles: unusable

 private:
  absl::StatusOr<X509Svid> Choose(const WorkloadIdentity& offered) const;
  absl::Status Take(WorkloadIdentity offered);
  void Fail(const absl::Status& status);
  void NoteLeftOut(const std::vector<std::string>& left_out);

  const Options options_;
  const std::shared_ptr<VerifyCache> cache_;
  std::shared_ptr<const TlsContext> current_;
  std::optional<WorkloadIdentity> refused_;  // the latest offer, if it was
  absl::Status source_status_;
  std::vector<std::string> left_out_;        // by the latest offer
  bool gave_ = false;                        // something, on the present stream
  std::optional<absl::Duration> refusing_;   // since when, monotonic, having given before and nothing since
  bool withdrawn_ = false;                   // current_ is; false before the first
  bool withdrawal_logged_ = false;
  bool expiry_logged_ = false;
  uint64_t rotations_ = 0, bundle_changes_ = 0, failures_ = 0, offers_ = 0;
};

}  // namespace lanyard
