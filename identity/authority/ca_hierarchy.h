// The signing authorities of a trust domain and their rotation, as a pure state machine: what is due at a
// given time. Performs no I/O; CaSchedule persists and publishes what it decides.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/base/random.h"
#include "identity/registry/records.h"
#include "identity/spiffe/issue.h"
#include "identity/spiffe/private_key.h"
#include "identity/spiffe/trust_domain.h"

namespace lanyard {

// The phases are fractions of these, so that a test may run a year in a minute:
//
//   root         |-prepared (R/12)-|------------ active ------------|---- retired (I) ----|
//   its successor                       |-prepared, published (R/12)-|------ active ------ ...
//   intermediate |-prepared (I/12)-|--- active ---|-- retired (longest leaf) --|
//
// A root stops signing one intermediate's lifetime before its end, an intermediate one leaf's before its own, so
// that whatever they sign lives its full time. A root is in the bundle from its preparation to its end.
//
// The clock may have been ahead for a while: an intermediate that begins after `now` is discarded, and another made
// at once. A root never is: that the clock is behind now looks the same, and a new root would cut off everybody.
struct CaLifetimes {
  absl::Duration root = absl::Hours(24 * 3652);
  absl::Duration intermediate = absl::Hours(24);
  absl::Duration longest_svid = absl::Hours(1);  // of those the configuration names
  absl::Duration backdate = absl::Seconds(10);

  // The longest leaf that always fits: at least half an intermediate's lifetime.
  absl::Duration LongestLeaf() const;
  // How long a root is published before anything is signed under it.
  absl::Duration Propagation() const { return root / 12; }
  // Above these rotation has no room.
  absl::Duration LongestSvidAllowed() const { return intermediate * 3 / 4; }
  absl::Duration LongestIntermediateAllowed() const { return root / 2; }
};

struct CaAuthority {
  AuthorityKind kind;
  AuthorityState state;
  absl::Time prepared_at;
  Certificate certificate;
  std::optional<PrivateKey> key;  // gone once retired: nothing will be signed with it again
};

// One thing that happened to one authority; a log line.
struct CaEvent {
  enum class What { kPrepared, kActivated, kRetired, kExpired, kDiscarded };
  What what;
  AuthorityKind kind;
  std::string serial;
  absl::Time not_after;
  // The authority was not published for its full time before it was put to use: there was no other.
  bool unannounced = false;
};

// A value; cheap to copy. Not thread-safe; used by its owner and, once const, shared.
class CaHierarchy {
 public:
  CaHierarchy(TrustDomain trust_domain, CaLifetimes lifetimes, std::vector<CaAuthority> authorities = {});

  // Does everything that is due at `now`, from nothing to a whole new hierarchy. On an error the value is
  // unusable: keep a copy. Errors are those of making keys and certificates.
  absl::StatusOr<std::vector<CaEvent>> Advance(absl::Time now, Random& random);
  // When Advance has something to do again, as things stand at `now`.
  absl::Time NextChange(absl::Time now) const;

  // The active intermediate, or nothing before the first Advance.
  std::optional<SigningAuthority> Signer() const;
  const CaLifetimes& lifetimes() const { return lifetimes_; }
  const TrustDomain& trust_domain() const { return trust_domain_; }
  // Roots before intermediates, each in the order they were made.
  const std::vector<CaAuthority>& authorities() const { return authorities_; }
  // The same without keys. Every root here belongs in the bundle.
  std::vector<AuthorityRecord> Records() const;

 private:
  // How one kind passes from one authority to the next.
  struct Phases {
    absl::Duration lifetime;
    absl::Duration lead;      // a successor is prepared this long before it is needed
    absl::Duration tail;      // an authority retires this long before its end
    absl::Duration announce;  // a successor waits this long before it is put to use
  };
  Phases PhasesOf(AuthorityKind kind) const;
  CaAuthority* Find(AuthorityKind kind, AuthorityState state);
  const CaAuthority* Find(AuthorityKind kind, AuthorityState state) const;
  absl::Time StopOf(const CaAuthority& active) const;
  absl::Time ActivationOf(const CaAuthority& active, const CaAuthority& prepared) const;
  // Whether a successor made at `now` would outlive the active one: not while the root holds both down.
  bool SuccessorHelps(const CaAuthority& active, absl::Time now) const;

  // Begun, so that what it signs now can be valid.
  bool RootHasBegun(absl::Time now) const;
  void DropExpired(absl::Time now, std::vector<CaEvent>& events);
  void DiscardNotBegun(absl::Time now, std::vector<CaEvent>& events);
  absl::Status AdvanceKind(AuthorityKind kind, absl::Time now, Random& random, std::vector<CaEvent>& events);
  absl::Status Prepare(AuthorityKind kind, absl::Time now, Random& random, std::vector<CaEvent>& events);
  void Activate(CaAuthority& prepared, absl::Time now, std::vector<CaEvent>& events);

  TrustDomain trust_domain_;
  CaLifetimes lifetimes_;
  std::vector<CaAuthority> authorities_;
};

}  // namespace lanyard
