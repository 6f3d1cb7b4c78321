#include "identity/authority/signing_allowance.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

// A walk over all of them, so not at each that is one too many.
constexpr absl::Duration kForgetInterval = absl::Seconds(1);

absl::Duration ShareOf(absl::Duration lifetime) { return lifetime / SigningAllowance::kInALifetime; }

}  // namespace

absl::Status SigningAllowance::Take(const SpiffeId& agent, const std::string& entry_id, absl::Duration lifetime) {
  const absl::Duration now = clock_.Monotonic(), share = ShareOf(lifetime);
  std::lock_guard<std::mutex> lock(mutex_);
  if (pairs_ >= max_pairs_) ForgetThoseAtRest(now);
  OfAgent& entries = agents_[agent];
  auto found = entries.find(entry_id);
  if (found == entries.end()) {
    if (pairs_ >= max_pairs_) {
      ++not_remembered_;
      if (entries.empty()) agents_.erase(agent);
      return absl::OkStatus();
    }
    found = entries.emplace(entry_id, now).first;
    ++pairs_;
  }
  const absl::Duration taken_until = std::max(found->second, now);
  const absl::Duration wait = taken_until - now - share * (kAtOnce - 1);
  if (wait > absl::ZeroDuration()) {
    return absl::ResourceExhaustedError(
        absl::StrCat(agent.ToString(), " had too many SVIDs signed of entry ", entry_id, "; the next one in ",
                     absl::FormatDuration(absl::Ceil(wait, absl::Milliseconds(1)))));
  }
  found->second = taken_until + share;
  return absl::OkStatus();
}

void SigningAllowance::GiveBack(const SpiffeId& agent, const std::string& entry_id, absl::Duration lifetime) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto entries = agents_.find(agent);
  if (entries == agents_.end()) return;
  const auto found = entries->second.find(entry_id);
  if (found != entries->second.end()) found->second -= ShareOf(lifetime);
}

void SigningAllowance::ForgetThoseAtRest(absl::Duration now) {
  if (now - forgot_at_ < kForgetInterval) return;
  forgot_at_ = now;
  pairs_ = 0;
  for (auto agent = agents_.begin(); agent != agents_.end();) {
    absl::erase_if(agent->second, [&](const auto& pair) { return pair.second <= now; });
    pairs_ += agent->second.size();
    agent = agent->second.empty() ? agents_.erase(agent) : std::next(agent);
  }
}

uint64_t SigningAllowance::not_remembered() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return not_remembered_;
}

size_t SigningAllowance::pairs() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return pairs_;
}

}  // namespace lanyard
