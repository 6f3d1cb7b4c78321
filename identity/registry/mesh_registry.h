// Who may talk to whom, as the operator says it: policies, route sets and bans, by which rules they change, and what a
// ban means for issuing.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/base/clock.h"
#include "identity/policy/ban.h"
#include "identity/policy/workload_rules.h"
#include "identity/registry/mesh_records.h"
#include "identity/registry/store.h"
#include "identity/spiffe/spiffe_id.h"
#include "identity/spiffe/trust_domain.h"

namespace lanyard {

// For each banned agent the SVIDs that were issued through it and still live, as bans of their serials, which end with
// the ban or the SVID. Without its reason: there may be very many of them.
using IssuedBans = std::map<SpiffeId, std::vector<Ban>>;

// At most what a ban takes in a message to an agent or a proxy.
size_t BanSizeBytes(const Ban& ban);

// One moment; immutable. What did not change is shared with the moment before: a ban copies no rules.
struct MeshSnapshot {
  uint64_t version = 0;                    // grows with every change; never 0, which says that nothing is known
  std::shared_ptr<const RuleRecords> rules;  // these three are never null
  std::shared_ptr<const BanSet> bans;      // as the operator gave them
  std::shared_ptr<const IssuedBans> issued;
  size_t unnamed = 0;                      // SVIDs of banned agents beyond what `issued` may hold
};

struct ApplyOutcome {
  enum class What { kCreated, kChanged, kUnchanged };
  enum class Kind { kPolicy, kRoute };
  Kind kind;
  std::string name;
  What what;
  uint64_t version;  // of the record
};

// Thread-safe. Borrows the store and the clock, which must outlive it. Errors of the store pass through unchanged, and
// then nothing has changed.
class MeshRegistry {
 public:
  static constexpr size_t kMaxPolicies = 10'000;
  static constexpr size_t kMaxRouteSets = 10'000;
  static constexpr size_t kMaxBans = 10'000;
  // What all bans take in a message to an agent or a proxy: half of what these receive, for the rest they are told.
  static constexpr size_t kMaxBansBytes = 8 << 20;
  // SVIDs of all banned agents together that are named in it, as far as the operator's own bans leave room. Of more,
  // each agent has its share, in which those that live longest are named; the others are counted and logged, and
  // whoever has one is let in until it ends. No agent is kept from being banned by how many there are.
  static constexpr size_t kMaxIssuedBans = 100'000;
  static constexpr size_t kMaxUnrecorded = 10'000;   // SVIDs handed out while the store could not be written
  static constexpr absl::Duration kMaxBan = absl::Hours(24 * 3652);

  static absl::StatusOr<std::unique_ptr<MeshRegistry>> Open(TrustDomain trust_domain, Store& store, const Clock& clock);

  std::shared_ptr<const MeshSnapshot> snapshot() const;
  // Called after every new snapshot, on the thread that made the change, without locks held. Set before other threads
  // use the registry.
  void SetOnChange(std::function<void()> on_change) { on_change_ = std::move(on_change); }

  // Creates or replaces the records, all in one step; of what is there already nothing changes. With `dry_run` nothing
  // does. In the order given, policies first. ResourceExhausted at a limit.
  absl::StatusOr<std::vector<ApplyOutcome>> Apply(std::vector<WorkloadPolicy> policies,
                                                  std::vector<WorkloadRoutes> routes, bool dry_run);
  // All or none: NotFound names the record that is not there.
  absl::Status Delete(const std::vector<std::string>& policies, const std::vector<std::string>& routes);

  struct Banned {
    Ban ban;
    uint64_t version;  // of the mesh from which on it is in force
    std::optional<Ban> replaced = std::nullopt;
  };
  // Replaces a ban of the same subject, and says which was still in force. Zero `length` is until unbanned.
  // InvalidArgument: a subject that would shut out the authority's own or agents by ID, an agent of elsewhere, a length
  // out of range; ResourceExhausted at kMaxBans or kMaxBansBytes, of which only operators' bans take a part.
  absl::StatusOr<Banned> AddBan(BanSubject subject, std::string reason, absl::Duration length);
  // NotFound names the subject.
  absl::Status RemoveBan(const BanSubject& subject);
  // Deletes the bans that have ended. To be called at NextBanExpiry, or later.
  absl::Status DropEndedBans();
  absl::Time NextBanExpiry() const { return snapshot()->bans->NextExpiry(); }

  // OK, or PermissionDenied with who is banned, until when and why: whether this ID (a workload's or an agent's) may be
  // issued an SVID; whether the agent that shows this serial may be served.
  absl::Status CheckIssuing(const SpiffeId& id) const;
  absl::Status CheckAgent(const SpiffeId& agent, absl::string_view serial) const;

  // Makes SVIDs that were signed through one agent known, durably, before they are handed out. One status each, in
  // order: PermissionDenied when the agent or the ID was banned since it was signed; then it must not leave. A store
  // that fails does not end issuing before kMaxUnrecorded (ResourceExhausted): they are kept in memory and written with
  // the next ones.
  std::vector<absl::Status> RecordIssuances(const std::vector<Issuance>& issuances);

 private:
  MeshRegistry(TrustDomain trust_domain, Store& store, const Clock& clock)
      : trust_domain_(std::move(trust_domain)), store_(store), clock_(clock) {}
  absl::Status Load();
  absl::Time Now() const;  // as the store keeps it
  absl::Status CheckSubject(const BanSubject& subject) const;
  // With change_mutex_ held: what next.bans mean for SVIDs out already, into next.issued and next.unnamed; those of
  // agents banned before are as `known`.
  absl::Status NameIssued(const IssuedBans& known, MeshSnapshot& next) const;
  absl::StatusOr<std::vector<Ban>> IssuedThrough(const SpiffeId& agent, const Ban& ban, absl::Time now) const;
  // Stores the change and publishes the snapshot with the bans that then hold.
  absl::Status ChangeBans(MeshChange change, std::vector<Ban> bans);
  void Publish(MeshSnapshot next);

  const TrustDomain trust_domain_;
  Store& store_;
  const Clock& clock_;
  std::function<void()> on_change_;
  std::mutex change_mutex_;  // one change at a time, store and snapshot together; guards unrecorded_
  std::vector<Issuance> unrecorded_;
  mutable std::mutex snapshot_mutex_;  // guards snapshot_; never held over the store
  std::shared_ptr<const MeshSnapshot> snapshot_;
};

}  // namespace lanyard
