#include "identity/registry/entry.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace lanyard {
namespace {

constexpr size_t kMaxNodeNameSizeBytes = 128;

// One sentence a problem, so that an operator mends all of them in one go.
using Problems = std::vector<std::string>;

bool IsHostName(absl::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  for (absl::string_view label : absl::StrSplit(name, '.')) {
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-') return false;
    for (char c : label) {
      if (!absl::ascii_islower(c) && !absl::ascii_isdigit(c) && c != '-') return false;
    }
  }
  return true;
}

// A workload's ID: ours, with a path, not one of the authority's own.
void CheckWorkloadId(const absl::StatusOr<SpiffeId>& id, absl::string_view text, const TrustDomain& trust_domain,
                     Problems& problems) {
  if (!id.ok()) {
    problems.push_back(absl::StrCat("the SPIFFE ID '", text, "' is malformed: ", id.status().message(), "."));
  } else if (id->trust_domain() != trust_domain) {
    problems.push_back(absl::StrCat("the SPIFFE ID '", text, "' is not in this authority's trust domain; write ",
                                    trust_domain.IdString(), "/... ."));
  } else if (!id->has_path()) {
    problems.push_back(absl::StrCat("the SPIFFE ID '", text, "' has no path; write ", text, "/<workload>."));
  } else if (absl::StartsWith(absl::StrCat(id->path(), "/"), kReservedPath)) {
    problems.push_back(absl::StrCat("the SPIFFE ID '", text, "' lies below ", kReservedPath,
                                    ", which is reserved for agents and the authority; choose another path."));
  }
}

void CheckParent(const absl::StatusOr<SpiffeId>& parent, absl::string_view text, const TrustDomain& trust_domain,
                 Problems& problems) {
  if (!parent.ok()) {
    problems.push_back(absl::StrCat("the parent '", text, "' is malformed: ", parent.status().message(), "."));
  } else if (parent->trust_domain() != trust_domain || !IsAgentId(*parent)) {
    problems.push_back(absl::StrCat("the parent '", text, "' is not an agent of this trust domain; write ",
                                    trust_domain.IdString(), kAgentPath, "<node>, or nothing for every agent."));
  }
}

std::vector<Selector> ParseSelectors(const std::vector<std::string>& texts, Problems& problems) {
  std::vector<Selector> selectors;
  if (texts.empty()) problems.push_back("the entry has no selector; give at least one, such as unix:uid:1000.");
  if (texts.size() > Entry::kMaxSelectors) {
    problems.push_back(
        absl::StrCat("the entry has ", texts.size(), " selectors; at most ", Entry::kMaxSelectors, " are allowed."));
    return selectors;
  }
  for (const std::string& text : texts) {
    absl::StatusOr<Selector> selector = Selector::Parse(text);
    if (selector.ok()) {
      selectors.push_back(*std::move(selector));
    } else {
      problems.push_back(absl::StrCat(selector.status().message(), "."));
    }
  }
  std::sort(selectors.begin(), selectors.end());
  selectors.erase(std::unique(selectors.begin(), selectors.end()), selectors.end());
  return selectors;
}

void CheckRest(const EntryFields& fields, Problems& problems) {
  const absl::Duration ttl = fields.x509_svid_ttl;
  if (ttl != absl::ZeroDuration() && (ttl < Entry::kMinTtl || absl::Trunc(ttl, absl::Seconds(1)) != ttl)) {
    problems.push_back(absl::StrCat("the X.509-SVID lifetime ", absl::FormatDuration(ttl),
                                    " is not possible; write whole seconds from 1 on, or 0 for the default."));
  }
  if (fields.dns_names.size() > Entry::kMaxDnsNames) {
    problems.push_back(absl::StrCat("the entry has ", fields.dns_names.size(), " DNS names; at most ",
                                    Entry::kMaxDnsNames, " are allowed."));
  }
  for (const std::string& name : fields.dns_names) {
    if (!IsHostName(name)) {
      problems.push_back(absl::StrCat("the DNS name '", name, "' is malformed; write a lower-case host name."));
    }
  }
  const bool printable =
      std::all_of(fields.hint.begin(), fields.hint.end(), [](char c) { return absl::ascii_isprint(c); });
  if (fields.hint.size() > Entry::kMaxHintSizeBytes || !printable) {
    problems.push_back(
        absl::StrCat("the hint is not printable ASCII of at most ", Entry::kMaxHintSizeBytes, " bytes."));
  }
}

}  // namespace

absl::StatusOr<SpiffeId> AgentId(const TrustDomain& trust_domain, absl::string_view node_name) {
  absl::StatusOr<SpiffeId> id = SpiffeId::FromParts(trust_domain, absl::StrCat(kAgentPath, node_name));
  if (!id.ok() || !IsAgentId(*id) || node_name.size() > kMaxNodeNameSizeBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the node name '", node_name, "' is malformed; write 1 to ",
                                                   kMaxNodeNameSizeBytes,
                                                   " letters, digits, '.', '-' or '_', and not '.' or '..'"));
  }
  return id;
}

bool IsAgentId(const SpiffeId& id) {
  return absl::StartsWith(id.path(), kAgentPath) && !absl::StrContains(id.path().substr(kAgentPath.size()), '/');
}

absl::StatusOr<Entry> Entry::Parse(const EntryFields& fields, const TrustDomain& trust_domain) {
  Problems problems;
  absl::StatusOr<SpiffeId> spiffe_id = SpiffeId::Parse(fields.spiffe_id);
  CheckWorkloadId(spiffe_id, fields.spiffe_id, trust_domain, problems);
  std::optional<SpiffeId> parent;
  if (!fields.parent_id.empty()) {
    absl::StatusOr<SpiffeId> parsed = SpiffeId::Parse(fields.parent_id);
    CheckParent(parsed, fields.parent_id, trust_domain, problems);
    if (parsed.ok()) parent = *std::move(parsed);
  }
  std::vector<Selector> selectors = ParseSelectors(fields.selectors, problems);
  CheckRest(fields, problems);
  if (!problems.empty()) return absl::InvalidArgumentError(absl::StrJoin(problems, " "));

  Entry entry(fields.id, *std::move(spiffe_id));
  entry.parent_ = std::move(parent);
  entry.selectors_ = std::move(selectors);
  entry.x509_svid_ttl_ = fields.x509_svid_ttl;
  entry.dns_names_ = fields.dns_names;
  entry.hint_ = fields.hint;
  entry.created_at_ = fields.created_at;
  return entry;
}

std::string Entry::UniqueKey() const {
  // No part can hold a line break.
  std::string key = absl::StrCat(parent_ ? parent_->ToString() : "", "\n", spiffe_id_.ToString());
  for (const Selector& selector : selectors_) absl::StrAppend(&key, "\n", selector.ToString());
  return key;
}

}  // namespace lanyard
