// Bans as values: who is shut out, whatever a policy says. Pure: the time is an
// argument.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "identity/policy/policy.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

// Whom a ban names. A value; exists only by parsing.
class BanSubject {
 public:
  enum class Kind {
    kSpiffeId,  // one ID, or every ID below a path
    kSerial,    // one X.509-SVID
    kAgent,     // an agent: its node, and every SVID that was issued through it
  };

  // "spiffe://td/a", "spiffe://td/a/*", "serial:0a1b2c" or
  // "agent:spiffe://td/lanyard/agent/web-1". InvalidArgument says which rule
  // was broken and how a subject is written. A serial is hexadecimal in either
  // case, at most 20 bytes.
  static absl::StatusOr<BanSubject> Parse(absl::string_view text);

  Kind kind() const { return kind_; }
  // Without "serial:" or "agent:"; a serial in lower case without leading zero
  // bytes, as Certificate::serial() is.
  const std::string &text() const { return text_; }
  // As Parse reads it. Two subjects are the same if this is.
  std::string ToString() const;
  friend bool operator==(const BanSubject &, const BanSubject &) = default;
  friend auto operator<=>(const BanSubject &a, const BanSubject &b) { return a.ToString() <=> b.ToString(); }

 private:
  BanSubject(Kind kind, std::string text) : kind_(kind), text_(std::move(text)) {}
  Kind kind_;
  std::string text_;
};

struct Ban {
  static constexpr size_t kMaxReasonSizeBytes = 256;

  BanSubject subject;
  std::string reason;  // for people; UTF-8 without control characters
  absl::Time created_at;
  absl::Time expires_at = absl::InfiniteFuture();  // infinite: until unbanned

  // One sentence: who, until when, why. "spiffe://td/a is banned until
  // 2026-01-01T00:00:00Z: stolen laptop".
  std::string Explanation() const;
  friend bool operator==(const Ban &, const Ban &) = default;
};

// Several bans, to be asked many times. Immutable; a ban that ends at `now` or
// before counts as gone.
class BanSet {
 public:
  BanSet() = default;
  // Of two bans of one subject the one that lasts longer is in force.
  explicit BanSet(std::vector<Ban> bans);

  // The ban that shuts out the holder of this SVID, or null. A ban of an agent
  // counts for the agent's own ID; what was issued through it is here as
  // serials. The answer lives as long as this set.
  const Ban *Find(const SpiffeId &id, absl::string_view serial, absl::Time now) const;
  // Whether this agent is shut out from the authority: by a ban of the agent,
  // or of the SVID that it shows. Wildcards are for workloads: agents must stay
  // to hear of the ban.
  const Ban *FindAgent(const SpiffeId &agent, absl::string_view serial, absl::Time now) const;
  // The ban of the ID alone, of one not yet issued anything; of the one SVID alone.
  const Ban *FindId(const SpiffeId &id, absl::Time now) const;
  const Ban *FindSerial(absl::string_view serial, absl::Time now) const;
  // Of exactly this subject.
  const Ban *FindSubject(const BanSubject &subject, absl::Time now) const;

  // By subject.
  const std::vector<Ban> &all() const { return bans_; }
  // When the next of them ends; InfiniteFuture if none does.
  absl::Time NextExpiry() const { return next_expiry_; }
  friend bool operator==(const BanSet &a, const BanSet &b) { return a.bans_ == b.bans_; }

 private:
  const Ban *Exact(absl::string_view key, absl::Time now) const;
  std::vector<Ban> bans_;
  absl::flat_hash_map<std::string, size_t> exact_;        // BanSubject::ToString() -> index in bans_
  std::vector<std::pair<PeerPattern, size_t>> patterns_;  // those with a wildcard
  absl::Time next_expiry_ = absl::InfiniteFuture();
};

}  // namespace lanyard
