// Authorization policy as a value: who may call which port, by SPIFFE ID. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

// Which SPIFFE IDs are meant: one ID ("spiffe://td/a/b"), every ID of a trust domain
// ("spiffe://td/*"), or every ID below a path ("spiffe://td/ns/prod/*"). A trailing "/*"
// is the only wildcard and matches one or more whole segments.
class PeerPattern {
 public:
  static absl::StatusOr<PeerPattern> Parse(absl::string_view text);
  bool Matches(const SpiffeId& id) const;
  const std::string& ToString() const { return text_; }
  friend bool operator==(const PeerPattern&, const PeerPattern&) = default;

 private:
  PeerPattern(std::string text, std::string prefix, bool wildcard)
      : text_(std::move(text)), prefix_(std::move(prefix)), wildcard_(wildcard) {}
  std::string text_;
  std::string prefix_;  // the ID, or everything up to and including the last '/'
  bool wildcard_;
};

bool MatchesAny(const std::vector<PeerPattern>& patterns, const SpiffeId& id);

// One allowing rule. There are no denying rules: what no rule allows is denied.
struct PolicyRule {
  std::string name;                 // stands in logs; unique in its policy
  std::vector<uint16_t> ports;      // empty: every port
  std::vector<PeerPattern> peers;   // who may call; may be empty if plaintext is allowed
  bool allow_plaintext = false;     // permissive: callers without mesh TLS, who have no ID
  friend bool operator==(const PolicyRule&, const PolicyRule&) = default;
};

// What is known of an inbound connection when it is decided.
struct CallFacts {
  uint16_t port = 0;                // the port the caller dialled
  const SpiffeId* peer = nullptr;   // null: plaintext, nobody is known
};

struct PolicyDecision {
  bool allowed = false;
  std::string rule;                 // the rule that allowed; empty when denied
  std::string reason;               // one sentence either way
};

// Immutable. An empty policy denies everything.
class InboundPolicy {
 public:
  InboundPolicy() = default;
  // InvalidArgument: two rules of one name, a rule that can allow nobody.
  static absl::StatusOr<InboundPolicy> Create(std::vector<PolicyRule> rules);
  // The first rule that allows, in order.
  PolicyDecision Decide(const CallFacts& facts) const;
  // True if some rule could allow plaintext on `port`; lets the proxy wait for a ClientHello only where it must.
  bool AllowsPlaintext(uint16_t port) const;
  // True if some rule names peers who may call `port`.
  bool NamesPeers(uint16_t port) const;
  const std::vector<PolicyRule>& rules() const { return rules_; }
  friend bool operator==(const InboundPolicy&, const InboundPolicy&) = default;

 private:
  std::vector<PolicyRule> rules_;
};

}  // namespace lanyard
