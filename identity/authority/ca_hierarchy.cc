#include "identity/authority/ca_hierarchy.h"

#include <algorithm>
#include <utility>

namespace lanyard {
namespace {

CaEvent EventOf(CaEvent::What what, const CaAuthority& authority) {
  return {what, authority.kind, authority.certificate.serial(), authority.certificate.not_after()};
}

bool IsIntermediateToCome(const CaAuthority& authority, absl::Time now) {
  return authority.kind == AuthorityKind::kIntermediate && now < authority.certificate.not_before();
}

}  // namespace

absl::Duration CaLifetimes::LongestLeaf() const { return std::max(intermediate / 2, longest_svid); }

CaHierarchy::CaHierarchy(TrustDomain trust_domain, CaLifetimes lifetimes, std::vector<CaAuthority> authorities)
    : trust_domain_(std::move(trust_domain)), lifetimes_(lifetimes), authorities_(std::move(authorities)) {}

CaHierarchy::Phases CaHierarchy::PhasesOf(AuthorityKind kind) const {
  if (kind == AuthorityKind::kRoot) {
    return {lifetimes_.root, lifetimes_.Propagation(), lifetimes_.intermediate, lifetimes_.Propagation()};
  }
  // Intermediates travel in the chain: nobody needs to hear of one before it signs.
  return {lifetimes_.intermediate, lifetimes_.intermediate / 12, lifetimes_.LongestLeaf(), absl::ZeroDuration()};
}

const CaAuthority* CaHierarchy::Find(AuthorityKind kind, AuthorityState state) const {
  for (const CaAuthority& authority : authorities_) {
    if (authority.kind == kind && authority.state == state) return &authority;
  }
  return nullptr;
}

CaAuthority* CaHierarchy::Find(AuthorityKind kind, AuthorityState state) {
  return const_cast<CaAuthority*>(std::as_const(*this).Find(kind, state));
}

absl::Time CaHierarchy::StopOf(const CaAuthority& active) const {
  return active.certificate.not_after() - PhasesOf(active.kind).tail;
}

absl::Time CaHierarchy::ActivationOf(const CaAuthority& active, const CaAuthority& prepared) const {
  return std::max(StopOf(active), prepared.prepared_at + PhasesOf(active.kind).announce);
}

bool CaHierarchy::SuccessorHelps(const CaAuthority& active, absl::Time now) const {
  absl::Time end = now + PhasesOf(active.kind).lifetime;
  if (active.kind == AuthorityKind::kIntermediate) {
    const CaAuthority* root = Find(AuthorityKind::kRoot, AuthorityState::kActive);
    if (root != nullptr) end = std::min(end, root->certificate.not_after());
  }
  return end > active.certificate.not_after() + PhasesOf(active.kind).lead;
}

absl::StatusOr<std::vector<CaEvent>> CaHierarchy::Advance(absl::Time now, Random& random) {
  std::vector<CaEvent> events;
  DropExpired(now, events);
  DiscardNotBegun(now, events);
  for (AuthorityKind kind : {AuthorityKind::kRoot, AuthorityKind::kIntermediate}) {
    if (absl::Status status = AdvanceKind(kind, now, random, events); !status.ok()) return status;
  }
  return events;
}

void CaHierarchy::DropExpired(absl::Time now, std::vector<CaEvent>& events) {
  for (const CaAuthority& authority : authorities_) {
    if (now >= authority.certificate.not_after()) events.push_back(EventOf(CaEvent::What::kExpired, authority));
  }
  std::erase_if(authorities_, [&](const CaAuthority& authority) { return now >= authority.certificate.not_after(); });
}

bool CaHierarchy::RootHasBegun(absl::Time now) const {
  const CaAuthority* root = Find(AuthorityKind::kRoot, AuthorityState::kActive);
  return root != nullptr && root->certificate.not_before() <= now;
}

void CaHierarchy::DiscardNotBegun(absl::Time now, std::vector<CaEvent>& events) {
  if (!RootHasBegun(now)) return;
  for (const CaAuthority& authority : authorities_) {
    if (IsIntermediateToCome(authority, now)) events.push_back(EventOf(CaEvent::What::kDiscarded, authority));
  }
  std::erase_if(authorities_, [&](const CaAuthority& authority) { return IsIntermediateToCome(authority, now); });
}

absl::Status CaHierarchy::AdvanceKind(AuthorityKind kind, absl::Time now, Random& random,
                                      std::vector<CaEvent>& events) {
  const CaAuthority* active = Find(kind, AuthorityState::kActive);
  const bool prepare =
      active == nullptr || (now >= StopOf(*active) - PhasesOf(kind).lead && SuccessorHelps(*active, now));
  if (prepare && Find(kind, AuthorityState::kPrepared) == nullptr) {
    if (absl::Status prepared = Prepare(kind, now, random, events); !prepared.ok()) return prepared;
    active = Find(kind, AuthorityState::kActive);  // the vector has grown
  }
  CaAuthority* prepared = Find(kind, AuthorityState::kPrepared);
  if (prepared != nullptr && (active == nullptr || now >= ActivationOf(*active, *prepared))) {
    Activate(*prepared, now, events);
  }
  return absl::OkStatus();
}

absl::Status CaHierarchy::Prepare(AuthorityKind kind, absl::Time now, Random& random, std::vector<CaEvent>& events) {
  absl::StatusOr<PrivateKey> key = PrivateKey::Generate(KeyType::kEcP256);
  if (!key.ok()) return key.status();
  const absl::Time not_before = now - lifetimes_.backdate;
  absl::StatusOr<SigningAuthority> made;
  if (kind == AuthorityKind::kRoot) {
    made = CreateRoot(trust_domain_, *key, not_before, now + lifetimes_.root, random);
  } else {
    const CaAuthority* root = Find(AuthorityKind::kRoot, AuthorityState::kActive);
    if (root == nullptr || !root->key) return absl::InternalError("there is no active root to sign an intermediate");
    made = CreateIntermediate({root->certificate, *root->key}, trust_domain_, *key, not_before,
                              now + lifetimes_.intermediate, random);
  }
  if (!made.ok()) return made.status();
  CaAuthority prepared{kind, AuthorityState::kPrepared, now, std::move(made->certificate), *std::move(key)};
  events.push_back(EventOf(CaEvent::What::kPrepared, prepared));
  const auto place = std::find_if(authorities_.begin(), authorities_.end(),
                                  [&](const CaAuthority& authority) { return authority.kind > kind; });
  authorities_.insert(place, std::move(prepared));
  return absl::OkStatus();
}

void CaHierarchy::Activate(CaAuthority& prepared, absl::Time now, std::vector<CaEvent>& events) {
  if (CaAuthority* active = Find(prepared.kind, AuthorityState::kActive)) {
    active->state = AuthorityState::kRetired;
    active->key.reset();
    events.push_back(EventOf(CaEvent::What::kRetired, *active));
  }
  prepared.state = AuthorityState::kActive;
  CaEvent event = EventOf(CaEvent::What::kActivated, prepared);
  event.unannounced = now < prepared.prepared_at + PhasesOf(prepared.kind).announce;
  events.push_back(std::move(event));
}

absl::Time CaHierarchy::NextChange(absl::Time now) const {
  absl::Time next = absl::InfiniteFuture();
  for (const CaAuthority& authority : authorities_) {
    if (IsIntermediateToCome(authority, now) && RootHasBegun(now)) return now;
    next = std::min(next, authority.certificate.not_after());
  }
  for (AuthorityKind kind : {AuthorityKind::kRoot, AuthorityKind::kIntermediate}) {
    const CaAuthority* active = Find(kind, AuthorityState::kActive);
    const CaAuthority* prepared = Find(kind, AuthorityState::kPrepared);
    if (active == nullptr) return now;
    if (prepared != nullptr) {
      next = std::min(next, ActivationOf(*active, *prepared));
    } else if (const absl::Time prepare_at = StopOf(*active) - PhasesOf(kind).lead;
               SuccessorHelps(*active, std::max(now, prepare_at))) {
      next = std::min(next, prepare_at);
    }
  }
  return next;
}

std::optional<SigningAuthority> CaHierarchy::Signer() const {
  const CaAuthority* active = Find(AuthorityKind::kIntermediate, AuthorityState::kActive);
  if (active == nullptr || !active->key) return std::nullopt;
  return SigningAuthority{active->certificate, *active->key};
}

std::vector<AuthorityRecord> CaHierarchy::Records() const {
  std::vector<AuthorityRecord> records;
  for (const CaAuthority& authority : authorities_) {
    records.push_back({authority.kind, authority.state, authority.certificate});
  }
  return records;
}

}  // namespace lanyard
