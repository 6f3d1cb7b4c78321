// An entry: which workloads (selectors), on which node (parent), may be which SPIFFE ID.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "identity/registry/selector.h"
#include "identity/spiffe/spiffe_id.h"
#include "identity/spiffe/trust_domain.h"

namespace lanyard {

// The path below which the authority names its own: "/lanyard/agent/<node>", "/lanyard/authority".
inline constexpr absl::string_view kReservedPath = "/lanyard/";
inline constexpr absl::string_view kAgentPath = "/lanyard/agent/";

// spiffe://<trust domain>/lanyard/agent/<node_name>. InvalidArgument unless the name is one path
// segment of 1 to 128 characters.
absl::StatusOr<SpiffeId> AgentId(const TrustDomain& trust_domain, absl::string_view node_name);
bool IsAgentId(const SpiffeId& id);

// What an operator wrote, or a row holds: nothing is promised.
struct EntryFields {
  std::string id;
  std::string spiffe_id;
  std::string parent_id;  // empty: every agent
  std::vector<std::string> selectors;
  absl::Duration x509_svid_ttl;  // zero: the authority's default
  std::vector<std::string> dns_names;
  std::string hint;
  absl::Time created_at = absl::UnixEpoch();
};

// A value; immutable, exists only by parsing.
class Entry {
 public:
  static constexpr size_t kMaxSelectors = 64;
  static constexpr size_t kMaxDnsNames = 32;
  static constexpr size_t kMaxHintSizeBytes = 1024;
  static constexpr absl::Duration kMinTtl = absl::Seconds(1);

  // The ID is of `trust_domain`, has a path and not a reserved one; the parent, if any, is an agent of
  // it; 1 to 64 different known selectors; the TTL is zero or whole seconds from kMinTtl on; DNS names are
  // lower-case host names. InvalidArgument has one sentence for each problem.
  static absl::StatusOr<Entry> Parse(const EntryFields& fields, const TrustDomain& trust_domain);

  const std::string& id() const { return id_; }
  const SpiffeId& spiffe_id() const { return spiffe_id_; }
  const std::optional<SpiffeId>& parent() const { return parent_; }
  const std::vector<Selector>& selectors() const { return selectors_; }  // sorted, no two the same
  absl::Duration x509_svid_ttl() const { return x509_svid_ttl_; }
  const std::vector<std::string>& dns_names() const { return dns_names_; }
  const std::string& hint() const { return hint_; }
  absl::Time created_at() const { return created_at_; }

  // Whether workloads on `agent` can be this entry.
  bool IsFor(const SpiffeId& agent) const { return !parent_ || *parent_ == agent; }

  // Equal for two entries of the same parent, ID and selectors, of which only one may exist.
  std::string UniqueKey() const;

  friend bool operator==(const Entry&, const Entry&) = default;

 private:
  Entry(std::string id, SpiffeId spiffe_id) : id_(std::move(id)), spiffe_id_(std::move(spiffe_id)) {}
  std::string id_;
  SpiffeId spiffe_id_;
  std::optional<SpiffeId> parent_;
  std::vector<Selector> selectors_;
  absl::Duration x509_svid_ttl_;
  std::vector<std::string> dns_names_;
  std::string hint_;
  absl::Time created_at_;
};

}  // namespace lanyard
