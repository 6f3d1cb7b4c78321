// How many SVIDs were signed, and how many refused and why. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace lanyard {

enum class SvidKind { kWorkload, kNode };
inline constexpr size_t kSvidKindCount = 2;

enum class RefusalReason {
  kNoEntry,      // no such entry for this agent
  kNotAllowed,   // a ban, a token that is not (or no longer) good, a node that is not known
  kBadRequest,   // a CSR that is malformed, badly signed or weak
  kNoSigner,     // no intermediate is valid, or the registry cannot be written
  kLimit,        // too many of one entry for one agent (SigningAllowance)
  kOther,
};
inline constexpr size_t kRefusalReasonCount = 6;

// "no_entry", "not_allowed", ...: label values.
absl::string_view RefusalReasonName(RefusalReason reason);
// Never kLimit, which no status tells from a disk that is full.
RefusalReason ReasonOfRefusal(const absl::Status& status);

class IssuingCounters {
 public:
  void CountSigned(SvidKind kind) { ++signed_[static_cast<size_t>(kind)]; }
  void CountRefused(const absl::Status& why) { ++refused_[static_cast<size_t>(ReasonOfRefusal(why))]; }
  void CountLimited() { ++refused_[static_cast<size_t>(RefusalReason::kLimit)]; }
  // Whichever of the first two `outcome` says.
  void Count(SvidKind kind, const absl::Status& outcome) { outcome.ok() ? CountSigned(kind) : CountRefused(outcome); }

  uint64_t signed_svids(SvidKind kind) const { return signed_[static_cast<size_t>(kind)]; }
  uint64_t refused(RefusalReason reason) const { return refused_[static_cast<size_t>(reason)]; }

 private:
  std::array<std::atomic<uint64_t>, kSvidKindCount> signed_ = {};
  std::array<std::atomic<uint64_t>, kRefusalReasonCount> refused_ = {};
};

}  // namespace lanyard
