#include "identity/registry/fake_store.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "identity/registry/token_rule.h"

namespace lanyard {
namespace {

absl::Status NoNode(const SpiffeId& id) { return absl::NotFoundError(absl::StrCat("no node ", id.ToString())); }

}  // namespace

void FakeStore::FailWith(absl::Status error) {
  std::lock_guard<std::mutex> lock(mutex_);
  error_ = std::move(error);
}

absl::StatusOr<uint64_t> FakeStore::Revision() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_.ok()) return error_;
  return revision_;
}

absl::Status FakeStore::CreateEntry(const Entry& entry) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_.ok()) return error_;
  for (const Entry& old : entries_) {
    if (old.id() == entry.id() || old.UniqueKey() == entry.UniqueKey()) {
      return absl::AlreadyExistsError(absl::StrCat("entry ", old.id(), " is the same"));
    }
  }
  entries_.push_back(entry);
  ++revision_;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Entry>> FakeStore::ListEntries() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_.ok()) return error_;
  return entries_;
}

absl::Status FakeStore::DeleteEntry(const std::string& id) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_.ok()) return error_;
  if (std::erase_if(entries_, [&](const Entry& entry) { return entry.id() == id; }) == 0) {
    return absl::NotFoundError(absl::StrCat("no entry ", id));
  }
  ++revision_;
  return absl::OkStatus();
}

absl::Status FakeStore::CreateJoinToken(const JoinToken& token) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_.ok()) return error_;
  const absl::Time horizon = token.created_at - kTokenHistory;
  std::erase_if(tokens_, [&](const auto& item) { return item.second.expires_at < horizon; });
  tokens_.insert_or_assign(token.hash, token);
  return absl::OkStatus();
}

absl::StatusOr<JoinToken> FakeStore::FindJoinToken(const std::string& hash) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_.ok()) return error_;
  const auto found = tokens_.find(hash);
  if (found == tokens_.end()) return UnknownJoinToken();
  return found->second;
}

absl::Status FakeStore::AttestNode(const std::string& token_hash, const Node& node) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_.ok()) return error_;
  const auto found = tokens_.find(token_hash);
  if (found == tokens_.end()) return UnknownJoinToken();
  if (absl::Status usable = CheckJoinToken(found->second, node); !usable.ok()) return usable;
  found->second.used_at = node.attested_at;
  nodes_.insert_or_assign(node.id, node);
  return absl::OkStatus();
}

absl::Status FakeStore::UpdateNodeSvid(const SpiffeId& id, const std::string& serial, absl::Time not_before,
                                       absl::Time expires_at) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_.ok()) return error_;
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return NoNode(id);
  found->second.svid_serial = serial;
  found->second.svid_expires_at = expires_at;
  found->second.min_not_before = std::min(found->second.min_not_before, not_before);
  return absl::OkStatus();
}

absl::StatusOr<Node> FakeStore::GetNode(const SpiffeId& id) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_.ok()) return error_;
  const auto found = nodes_.find(id);
  if (found == nodes_.end()) return NoNode(id);
  return found->second;
}

absl::Status FakeStore::DeleteNode(const SpiffeId& id) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_.ok()) return error_;
  return nodes_.erase(id) == 1 ? absl::OkStatus() : NoNode(id);
}

absl::StatusOr<std::vector<Node>> FakeStore::ListNodes() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_.ok()) return error_;
  std::vector<Node> nodes;
  for (const auto& [id, node] : nodes_) nodes.push_back(node);
  return nodes;
}

absl::Status FakeStore::ReplaceAuthorities(const std::vector<AuthorityRecord>& authorities) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_.ok()) return error_;
  authorities_ = authorities;
  ++revision_;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<AuthorityRecord>> FakeStore::ListAuthorities() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_.ok()) return error_;
  return authorities_;
}

absl::StatusOr<MeshRecords> FakeStore::ListMeshRecords() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_.ok()) return error_;
  return mesh_;
}

absl::Status FakeStore::ChangeMesh(const MeshChange& change) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_.ok()) return error_;
  mesh_.version = change.version;
  for (const std::string& name : change.delete_policies) mesh_.rules.policies.erase(name);
  for (const std::string& name : change.delete_routes) mesh_.rules.routes.erase(name);
  for (const PolicyRecord& record : change.put_policies) {
    mesh_.rules.policies.insert_or_assign(record.policy.name, record);
  }
  for (const RoutesRecord& record : change.put_routes) mesh_.rules.routes.insert_or_assign(record.routes.name, record);
  const auto drop = [&](const BanSubject& subject) {
    std::erase_if(mesh_.bans, [&](const Ban& ban) { return ban.subject == subject; });
  };
  for (const BanSubject& subject : change.delete_bans) drop(subject);
  for (const Ban& ban : change.put_bans) {
    drop(ban.subject);
    mesh_.bans.push_back(ban);
  }
  std::sort(mesh_.bans.begin(), mesh_.bans.end(), [](const Ban& a, const Ban& b) { return a.subject < b.subject; });
  return absl::OkStatus();
}

absl::Status FakeStore::RecordIssuances(const std::vector<Issuance>& issuances, absl::Time now) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_.ok()) return error_;
  std::erase_if(issuances_, [&](const auto& item) { return item.second.not_after < now; });
  for (const Issuance& issuance : issuances) issuances_.insert_or_assign(issuance.serial, issuance);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Issuance>> FakeStore::ListIssuances(const SpiffeId& agent, absl::Time now) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!error_.ok()) return error_;
  std::vector<Issuance> found;
  for (const auto& [serial, issuance] : issuances_) {
    if (issuance.agent == agent && issuance.not_after > now) found.push_back(issuance);
  }
  return found;
}

}  // namespace lanyard
