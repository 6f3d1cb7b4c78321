#include "identity/registry/registry.h"

#include <openssl/sha.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/registry/token_rule.h"

namespace lanyard {
namespace {

constexpr size_t kTokenSizeBytes = 16;
constexpr size_t kIdSizeBytes = 12;
constexpr size_t kMaxTokenTextBytes = 256;

std::string HashOfToken(const std::string& text) {
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(), digest);
  return std::string(reinterpret_cast<const char*>(digest), sizeof(digest));
}

absl::StatusOr<X509Bundle> BundleOf(const TrustDomain& trust_domain, const std::vector<AuthorityRecord>& authorities) {
  std::vector<Certificate> roots;
  for (const AuthorityRecord& authority : authorities) {
    if (authority.kind == AuthorityKind::kRoot) roots.push_back(authority.certificate);
  }
  return X509Bundle::Create(trust_domain, std::move(roots));
}

// Empty where `ttl` fits, or is none of those that Entry::Parse takes.
std::string LifetimeProblem(absl::Duration ttl, const Registry::Limits& limits) {
  if (ttl > limits.max_x509_svid_ttl) {
    return absl::StrCat("the X.509-SVID lifetime ", absl::FormatDuration(ttl), " is above ",
                        absl::FormatDuration(limits.max_x509_svid_ttl),
                        ", the longest that always fits into an intermediate's; write less, or raise "
                        "lifetimes.intermediate or lifetimes.x509_svid.");
  }
  if (ttl >= Entry::kMinTtl && ttl < limits.min_x509_svid_ttl) {
    return absl::StrCat("the X.509-SVID lifetime ", absl::FormatDuration(ttl), " is below ",
                        absl::FormatDuration(limits.min_x509_svid_ttl),
                        ", the shortest that can be renewed in time; write more.");
  }
  return "";
}

}  // namespace

Registry::Registry(TrustDomain trust_domain, Limits limits, Store& store, const Clock& clock, Random& random)
    : trust_domain_(std::move(trust_domain)), limits_(limits), store_(store), clock_(clock), random_(random) {}

absl::StatusOr<std::unique_ptr<Registry>> Registry::Open(TrustDomain trust_domain, Limits limits, Store& store,
                                                         const Clock& clock, Random& random) {
  std::unique_ptr<Registry> registry(new Registry(std::move(trust_domain), limits, store, clock, random));
  if (absl::Status loaded = registry->Load(); !loaded.ok()) return loaded;
  return registry;
}

absl::Status Registry::Load() {
  const absl::StatusOr<uint64_t> revision = store_.Revision();
  if (!revision.ok()) return revision.status();
  absl::StatusOr<std::vector<Entry>> entries = store_.ListEntries();
  if (!entries.ok()) return entries.status();
  absl::StatusOr<std::vector<AuthorityRecord>> authorities = store_.ListAuthorities();
  if (!authorities.ok()) return authorities.status();
  absl::StatusOr<X509Bundle> bundle = BundleOf(trust_domain_, *authorities);
  if (!bundle.ok()) return bundle.status();
  RegistrySnapshot first{*revision, {}, *std::move(authorities), *std::move(bundle)};
  for (Entry& entry : *entries) {
    std::string id = entry.id();
    first.entries.emplace(std::move(id), std::move(entry));
  }
  Publish(std::move(first));
  return absl::OkStatus();
}

std::shared_ptr<const RegistrySnapshot> Registry::snapshot() const {
  std::lock_guard<std::mutex> lock(snapshot_mutex_);
  return snapshot_;
}

void Registry::Publish(RegistrySnapshot next) {
  auto published = std::make_shared<const RegistrySnapshot>(std::move(next));
  std::lock_guard<std::mutex> lock(snapshot_mutex_);
  snapshot_ = std::move(published);
}

RegistrySnapshot Registry::NextSnapshot() const {
  RegistrySnapshot next = *snapshot();
  ++next.revision;
  return next;
}

absl::Status Registry::CheckRoom(const std::map<std::string, Entry>& entries, const Entry& entry) const {
  if (entries.size() >= limits_.max_entries) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the registry holds ", limits_.max_entries, " entries, its limit; delete some first."));
  }
  if (entries.size() < limits_.max_entries_per_agent) return absl::OkStatus();
  size_t of_every_agent = 0;
  std::map<SpiffeId, size_t> of_agent;
  for (const auto& [id, one] : entries) ++(one.parent() ? of_agent[*one.parent()] : of_every_agent);
  size_t fullest = 0;
  if (entry.parent()) {
    fullest = of_agent[*entry.parent()];
  } else {
    for (const auto& [agent, count] : of_agent) fullest = std::max(fullest, count);
  }
  if (of_every_agent + fullest < limits_.max_entries_per_agent) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(entry.parent() ? entry.parent()->ToString() : "an agent", " would have more than ",
                   limits_.max_entries_per_agent, " entries, ", of_every_agent,
                   " of which are of every agent; give entries a parent, or delete some first."));
}

absl::StatusOr<Entry> Registry::CreateEntry(EntryFields fields) {
  fields.id = random_.Hex(kIdSizeBytes);
  // The store keeps microseconds; what is acknowledged is what a restart will read.
  fields.created_at = absl::FromUnixMicros(absl::ToUnixMicros(clock_.Now()));
  absl::StatusOr<Entry> entry = Entry::Parse(fields, trust_domain_);
  const std::string lifetime = LifetimeProblem(fields.x509_svid_ttl, limits_);
  if (!entry.ok()) {
    return absl::Status(entry.status().code(),
                        absl::StrCat(entry.status().message(), lifetime.empty() ? "" : " ", lifetime));
  }
  if (!lifetime.empty()) return absl::InvalidArgumentError(lifetime);
  {
    std::lock_guard<std::mutex> lock(change_mutex_);
    RegistrySnapshot next = NextSnapshot();
    if (absl::Status room = CheckRoom(next.entries, *entry); !room.ok()) return room;
    if (absl::Status created = store_.CreateEntry(*entry); !created.ok()) return created;
    next.entries.emplace(entry->id(), *entry);
    Publish(std::move(next));
  }
  if (on_change_) on_change_();
  return entry;
}

absl::StatusOr<Entry> Registry::DeleteEntry(const std::string& id) {
  std::optional<Entry> deleted;
  {
    std::lock_guard<std::mutex> lock(change_mutex_);
    if (absl::Status status = store_.DeleteEntry(id); !status.ok()) return status;
    RegistrySnapshot next = NextSnapshot();
    const auto found = next.entries.find(id);
    if (found == next.entries.end()) return absl::InternalError(absl::StrCat("entry ", id, " was in the store only"));
    deleted = std::move(found->second);
    next.entries.erase(found);
    Publish(std::move(next));
  }
  if (on_change_) on_change_();
  return *std::move(deleted);
}

absl::StatusOr<NewJoinToken> Registry::CreateJoinToken(const std::string& node_name, absl::Duration ttl) {
  if (ttl < absl::ZeroDuration() || ttl > kMaxTokenTtl) {
    return absl::InvalidArgumentError(absl::StrCat("the token's lifetime ", absl::FormatDuration(ttl),
                                                   " is not possible; write 1s to ", absl::FormatDuration(kMaxTokenTtl),
                                                   ", or 0 for ", absl::FormatDuration(kDefaultTokenTtl), "."));
  }
  absl::StatusOr<SpiffeId> agent_id = AgentId(trust_domain_, node_name.empty() ? random_.Hex(8) : node_name);
  if (!agent_id.ok()) return agent_id.status();
  const absl::Time now = absl::FromUnixMicros(absl::ToUnixMicros(clock_.Now()));
  NewJoinToken token{random_.Hex(kTokenSizeBytes), *agent_id,
                     now + (ttl == absl::ZeroDuration() ? kDefaultTokenTtl : ttl)};
  absl::Status created =
      store_.CreateJoinToken(JoinToken{HashOfToken(token.text), *agent_id, now, token.expires_at, std::nullopt});
  if (!created.ok()) return created;
  return token;
}

absl::StatusOr<SpiffeId> Registry::AgentOfToken(const std::string& token_text) {
  if (token_text.empty() || token_text.size() > kMaxTokenTextBytes) return UnknownJoinToken();
  const absl::StatusOr<JoinToken> token = store_.FindJoinToken(HashOfToken(token_text));
  if (!token.ok()) return token.status();
  if (absl::Status usable = CheckJoinTokenUsable(*token, clock_.Now()); !usable.ok()) return usable;
  return token->agent_id;
}

absl::Status Registry::AttestNode(const std::string& token_text, const SpiffeId& agent_id,
                                  const Certificate& node_svid) {
  return store_.AttestNode(HashOfToken(token_text),
                           Node{agent_id, "join_token", absl::FromUnixMicros(absl::ToUnixMicros(clock_.Now())),
                                node_svid.serial(), node_svid.not_after(), node_svid.not_before()});
}

absl::Status Registry::RenewNode(const SpiffeId& id, const Certificate& node_svid) {
  return store_.UpdateNodeSvid(id, node_svid.serial(), node_svid.not_before(), node_svid.not_after());
}

absl::Status Registry::PublishAuthorities(std::vector<AuthorityRecord> authorities) {
  absl::StatusOr<X509Bundle> bundle = BundleOf(trust_domain_, authorities);
  if (!bundle.ok()) return bundle.status();
  {
    std::lock_guard<std::mutex> lock(change_mutex_);
    RegistrySnapshot next = NextSnapshot();
    if (next.authorities == authorities) return absl::OkStatus();
    if (absl::Status stored = store_.ReplaceAuthorities(authorities); !stored.ok()) return stored;
    next.authorities = std::move(authorities);
    next.bundle = *std::move(bundle);
    Publish(std::move(next));
  }
  if (on_change_) on_change_();
  return absl::OkStatus();
}

}  // namespace lanyard
