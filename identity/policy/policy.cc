#include "identity/policy/policy.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace lanyard {
namespace {

bool CoversPort(const PolicyRule& rule, uint16_t port) {
  return rule.ports.empty() || std::find(rule.ports.begin(), rule.ports.end(), port) != rule.ports.end();
}

absl::Status CheckRule(const PolicyRule& rule, std::set<absl::string_view>& names) {
  if (rule.name.empty()) return absl::InvalidArgumentError("a rule has no name: give each one, it stands in the logs");
  if (!names.insert(rule.name).second) {
    return absl::InvalidArgumentError(absl::StrCat("two rules are named ", rule.name, ": names must be unique"));
  }
  if (rule.peers.empty() && !rule.allow_plaintext) {
    return absl::InvalidArgumentError(
        absl::StrCat("rule ", rule.name, " allows nobody: give it peers, or allow_plaintext"));
  }
  return absl::OkStatus();
}

PolicyDecision Allowed(const PolicyRule& rule, absl::string_view who) {
  return {true, rule.name, absl::StrCat("rule ", rule.name, " allows ", who)};
}

}  // namespace

absl::StatusOr<PeerPattern> PeerPattern::Parse(absl::string_view text) {
  absl::string_view fixed = text;
  const bool wildcard = absl::ConsumeSuffix(&fixed, "/*");
  if (text == "spiffe://*") {
    return absl::InvalidArgumentError("spiffe://* names no trust domain; write spiffe://trust-domain/* for each");
  }
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(fixed);
  if (!id.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        id.status().message(), "; write an ID, or spiffe://trust-domain/* or spiffe://trust-domain/path/*"));
  }
  if (wildcard) return PeerPattern(std::string(text), absl::StrCat(fixed, "/"), true);
  if (id->has_path()) return PeerPattern(std::string(text), id->ToString(), false);
  return absl::InvalidArgumentError(
      absl::StrCat("peer ", text, " has no path and would match nobody: for a whole trust domain write ", text, "/*"));
}

bool PeerPattern::Matches(const SpiffeId& id) const {
  // An ID never ends in '/', so what starts with the prefix has at least one segment after it.
  return wildcard_ ? absl::StartsWith(id.ToString(), prefix_) : id.ToString() == prefix_;
}

bool MatchesAny(const std::vector<PeerPattern>& patterns, const SpiffeId& id) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const PeerPattern& p) { return p.Matches(id); });
}

absl::StatusOr<InboundPolicy> InboundPolicy::Create(std::vector<PolicyRule> rules) {
  std::set<absl::string_view> names;
  for (const PolicyRule& rule : rules) {
    if (absl::Status status = CheckRule(rule, names); !status.ok()) return status;
  }
  InboundPolicy policy;
  policy.rules_ = std::move(rules);
  return policy;
}

PolicyDecision InboundPolicy::Decide(const CallFacts& facts) const {
  const std::string who = facts.peer == nullptr ? "plaintext" : facts.peer->ToString();
  for (const PolicyRule& rule : rules_) {
    if (!CoversPort(rule, facts.port)) continue;
    if (facts.peer == nullptr ? rule.allow_plaintext : MatchesAny(rule.peers, *facts.peer)) return Allowed(rule, who);
  }
  return {false, "", absl::StrCat("no rule allows ", who, " on port ", facts.port)};
}

bool InboundPolicy::NamesPeers(uint16_t port) const {
  return std::any_of(rules_.begin(), rules_.end(),
                     [&](const PolicyRule& rule) { return !rule.peers.empty() && CoversPort(rule, port); });
}

bool InboundPolicy::AllowsPlaintext(uint16_t port) const {
  return std::any_of(rules_.begin(), rules_.end(),
                     [&](const PolicyRule& rule) { return rule.allow_plaintext && CoversPort(rule, port); });
}

}  // namespace lanyard
