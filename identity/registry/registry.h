// The registry: what operators and the authority may do to the records, by which rules. Never sees a private key.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/base/clock.h"
#include "identity/base/random.h"
#include "identity/registry/entry.h"
#include "identity/registry/records.h"
#include "identity/registry/store.h"
#include "identity/spiffe/bundle.h"
#include "identity/spiffe/trust_domain.h"

namespace lanyard {

// One moment of what agents are told; immutable, published whole.
struct RegistrySnapshot {
  uint64_t revision;
  std::map<std::string, Entry> entries;  // by id
  std::vector<AuthorityRecord> authorities;
  X509Bundle bundle;  // the roots among them
};

struct NewJoinToken {
  std::string text;  // shown once; never logged
  SpiffeId agent_id;
  absl::Time expires_at;
};

// Thread-safe. Borrows the store, clock and randomness, which must outlive it. Errors of the store pass
// through unchanged.
class Registry {
 public:
  struct Limits {
    absl::Duration max_x509_svid_ttl = absl::Hours(12);  // longest SVID that the authority can always sign
    absl::Duration min_x509_svid_ttl = absl::Seconds(2);  // as in the configuration; renewing costs the more below
    size_t max_entries = 100'000;
    // Those of an agent and those of every agent together: what an agent serves (its SvidCache::kMaxEntries).
    size_t max_entries_per_agent = 20'000;
  };
  static constexpr absl::Duration kDefaultTokenTtl = absl::Minutes(10);
  static constexpr absl::Duration kMaxTokenTtl = absl::Hours(24 * 30);

  static absl::StatusOr<std::unique_ptr<Registry>> Open(TrustDomain trust_domain, Limits limits, Store& store,
                                                        const Clock& clock, Random& random);

  const TrustDomain& trust_domain() const { return trust_domain_; }
  std::shared_ptr<const RegistrySnapshot> snapshot() const;
  // Called after every new snapshot, on the thread that made the change, without locks held. Set before
  // other threads use the registry.
  void SetOnChange(std::function<void()> on_change) { on_change_ = std::move(on_change); }

  // `fields.id` and `fields.created_at` are chosen here. InvalidArgument: all that Entry::Parse refuses, and a
  // lifetime beyond the limits; AlreadyExists names the entry that is the same; ResourceExhausted at max_entries, and
  // where an agent would have more than max_entries_per_agent.
  absl::StatusOr<Entry> CreateEntry(EntryFields fields);
  // The entry as it was; NotFound.
  absl::StatusOr<Entry> DeleteEntry(const std::string& id);

  // An empty name is drawn at random; zero `ttl` is kDefaultTokenTtl. InvalidArgument.
  absl::StatusOr<NewJoinToken> CreateJoinToken(const std::string& node_name, absl::Duration ttl);
  // The agent that this token, now, may become. PermissionDenied: unknown, used or expired.
  absl::StatusOr<SpiffeId> AgentOfToken(const std::string& token_text);
  // Spends the token and records the node in one step; PermissionDenied as above.
  absl::Status AttestNode(const std::string& token_text, const SpiffeId& agent_id, const Certificate& node_svid);

  // NotFound for a node that is not, or no longer, known.
  absl::StatusOr<Node> GetNode(const SpiffeId& id) { return store_.GetNode(id); }
  absl::StatusOr<std::vector<Node>> ListNodes() { return store_.ListNodes(); }
  absl::Status RenewNode(const SpiffeId& id, const Certificate& node_svid);
  absl::Status DeleteNode(const SpiffeId& id) { return store_.DeleteNode(id); }

  // Makes these the signing authorities; their roots are the bundle. Durable and published on return; nothing
  // happens when they are the same as before.
  absl::Status PublishAuthorities(std::vector<AuthorityRecord> authorities);

 private:
  Registry(TrustDomain trust_domain, Limits limits, Store& store, const Clock& clock, Random& random);
  absl::Status Load();
  absl::Status CheckRoom(const std::map<std::string, Entry>& entries, const Entry& entry) const;
  // A copy to change, with the revision that the store will have after that change: nobody else writes to it.
  RegistrySnapshot NextSnapshot() const;
  void Publish(RegistrySnapshot next);

  const TrustDomain trust_domain_;
  const Limits limits_;
  Store& store_;
  const Clock& clock_;
  Random& random_;
  std::function<void()> on_change_;
  std::mutex change_mutex_;            // one change at a time, store and snapshot together
  mutable std::mutex snapshot_mutex_;  // guards snapshot_; never held over the store
  std::shared_ptr<const RegistrySnapshot> snapshot_;
};

}  // namespace lanyard
