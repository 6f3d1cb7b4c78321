// What the agent can hand out at one moment, and to whom. Pure: time is an argument.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "identity/agent/entry.h"
#include "identity/spiffe/svid.h"
#include "identity/spiffe/trust_domain.h"

namespace lanyard {

// What is true of a caller: "unix:uid:1000", "unix:path:/usr/sbin/nginx", ...
using SelectorSet = absl::flat_hash_set<std::string>;
// "unix:path:", ...: all selectors that begin so.
using SelectorKinds = std::set<std::string>;

// One immutable picture, published whole (SvidCache).
struct WorkloadView {
  struct Item {
    std::shared_ptr<const WorkloadEntry> entry;
    std::optional<X509Svid> svid;  // nothing while it is being fetched
    bool failed = false;           // the last attempt to fetch it did: nobody waits for the next
  };
  uint64_t version = 0;
  TrustDomain trust_domain;
  std::vector<Item> items;
  BundleSet bundles;
  std::shared_ptr<const NodeMesh> mesh;  // null while nothing is known of it
  bool whole = true;                     // as NodeState::whole
};

// True if some entry asks for the caller's unix:sha256, which costs reading its whole binary.
bool WantsSha256(const WorkloadView& view);

// True if that would matter for a caller with these selectors: some such entry asks for nothing else that it lacks.
bool WantsSha256(const WorkloadView& view, const SelectorSet& caller);

// What one caller gets: every identity it is entitled to, in the entries' order (the first is the default).
struct WorkloadAnswer {
  struct Identity {
    std::string entry_id;
    X509Svid svid;
    std::string hint;  // unique in the answer (Workload API 5.2.1): the first entry keeps it, later ones lose it
  };
  std::vector<Identity> identities;
  // False while the SVID of some entry of this caller is not there or expired, and its next one may come any moment.
  bool complete = false;
  TrustDomain trust_domain;
  BundleSet bundles;

  // Equal for equal answers: an answer that was sent need not be sent again.
  std::string Version() const;
};

// The IDs of every entry that matches the caller, with or without an SVID, in the entries' order. Errors as AnswerFor.
absl::StatusOr<std::vector<SpiffeId>> IdsFor(const WorkloadView& view, const SelectorSet& caller);

// PermissionDenied when no entry matches the caller, or only such whose ID is banned at `now`: then it says why. An
// entry matches when the caller has every one of its selectors; an entry without selectors matches nobody. SVIDs that
// are not valid at `now`, and those of banned IDs, are left out: not everybody who would accept one hears of bans.
absl::StatusOr<WorkloadAnswer> AnswerFor(const WorkloadView& view, const SelectorSet& caller, absl::Time now);

// What a caller is told instead of the error `why` of these: Unavailable where that is a matter of the moment, for to
// be denied means to lose what one was given (Workload API 5.2.1). An entry of this node could not be read, or one
// might match the caller by selectors of the kinds `unknown`, which could not be found out.
absl::Status RefusalOf(const WorkloadView& view, const SelectorSet& caller, const SelectorKinds& unknown,
                       const absl::Status& why);

}  // namespace lanyard
