#include "identity/agent/fake_authority.h"

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/base/random.h"
#include "identity/spiffe/csr.h"

namespace lanyard {
namespace {

constexpr absl::Duration kBackDated = absl::Seconds(10);

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

class FakeAuthorityClient : public AuthorityClient {
 public:
  FakeAuthorityClient(FakeAuthority& authority, std::optional<SpiffeId> node)
      : authority_(authority), node_(std::move(node)) {}

  absl::StatusOr<NodeGrant> Attest(absl::string_view join_token, const std::string& csr_der, absl::Duration) override {
    if (cancelled_) return absl::CancelledError("cancelled");
    return authority_.Attest(std::string(join_token), csr_der);
  }

  absl::StatusOr<NodeGrant> RenewNode(const std::string& csr_der, absl::Duration) override {
    if (cancelled_) return absl::CancelledError("cancelled");
    if (!node_.has_value()) return absl::UnauthenticatedError("no node SVID");
    return authority_.RenewNode(*node_, csr_der);
  }

  absl::StatusOr<std::vector<Signed>> SignX509Svids(absl::Span<const SignRequest> requests, absl::Duration) override {
    if (cancelled_) return absl::CancelledError("cancelled");
    if (!node_.has_value()) return absl::UnauthenticatedError("no node SVID");
    authority_.CountSignCall();
    std::vector<Signed> results;
    for (const SignRequest& request : requests) {
      Signed one = authority_.Sign(request.entry_id, request.csr_der);
      if (absl::IsUnavailable(one.status())) return one.status();
      results.push_back(std::move(one));
    }
    return results;
  }

  absl::Status WatchNode(const std::function<void(NodeState)>& on_state) override {
    if (!node_.has_value()) return absl::UnauthenticatedError("no node SVID");
    for (uint64_t seen = 0;;) {
      absl::StatusOr<NodeState> state = authority_.NextState(seen, [this] { return cancelled_.load(); });
      if (!state.ok()) return state.status();
      seen = state->revision;
      on_state(*std::move(state));
    }
  }

  absl::Status ReportProxies(const std::vector<std::string>& statuses, absl::Duration) override {
    if (cancelled_) return absl::CancelledError("cancelled");
    if (!node_.has_value()) return absl::UnauthenticatedError("no node SVID");
    return authority_.ReportProxies(statuses);
  }

  absl::Status ReportObserved(const std::vector<std::string>& reports, absl::Duration) override {
    if (cancelled_) return absl::CancelledError("cancelled");
    if (!node_.has_value()) return absl::UnauthenticatedError("no node SVID");
    return authority_.ReportObserved(reports);
  }

  void Cancel() override { cancelled_ = true; }

 private:
  FakeAuthority& authority_;
  const std::optional<SpiffeId> node_;
  std::atomic<bool> cancelled_ = false;
};

}  // namespace

FakeAuthority::FakeAuthority(const Clock& clock) : clock_(clock), trust_domain_(*TrustDomain::Parse("example.org")) {
  absl::MutexLock lock(&mutex_);
  MakeAuthorities();
  state_.revision = 1;
  state_.bundles = BundlesLocked();
  state_.mesh = std::make_shared<const NodeMesh>();
}

void FakeAuthority::MakeAuthorities() {
  const absl::Time now = clock_.Now();
  const PrivateKey root_key = *PrivateKey::Generate(KeyType::kEcP256);
  const PrivateKey intermediate_key = *PrivateKey::Generate(KeyType::kEcP256);
  root_ = *CreateRoot(trust_domain_, root_key, now - absl::Hours(1), now + absl::Hours(24 * 365), SystemRandom());
  intermediate_ = *CreateIntermediate(*root_, trust_domain_, intermediate_key, now - absl::Hours(1),
                                      now + absl::Hours(24 * 30), SystemRandom());
  roots_.push_back(root_->certificate);
}

BundleSet FakeAuthority::BundlesLocked() const {
  BundleSet set;
  set.Set(*X509Bundle::Create(trust_domain_, roots_));
  return set;
}

BundleSet FakeAuthority::bundles() const {
  absl::MutexLock lock(&mutex_);
  return BundlesLocked();
}

X509Svid FakeAuthority::ServerSvid() const {
  return Mint("spiffe://example.org/lanyard/authority", absl::Hours(24));
}

X509Svid FakeAuthority::Mint(const std::string& spiffe_id, absl::Duration lifetime) const {
  absl::MutexLock lock(&mutex_);
  PrivateKey key = *PrivateKey::Generate(KeyType::kEcP256);
  const LeafRequest request = {.id = *SpiffeId::Parse(spiffe_id),
                               .public_key = key.evp(),
                               .not_before = clock_.Now() - kBackDated,
                               .not_after = clock_.Now() + lifetime,
                               .dns_names = {}};
  return *X509Svid::Create({*SignLeaf(*intermediate_, request, SystemRandom()), intermediate_->certificate},
                           std::move(key));
}

absl::StatusOr<std::vector<Certificate>> FakeAuthority::SignFor(const SpiffeId& id, const std::string& csr_der,
                                                                absl::Duration lifetime) {
  const absl::StatusOr<Csr> csr = Csr::Parse(Bytes(csr_der));
  if (!csr.ok()) return csr.status();
  const LeafRequest request = {.id = id,
                               .public_key = csr->public_key(),
                               .not_before = clock_.Now() - kBackDated,
                               .not_after = clock_.Now() + lifetime,
                               .dns_names = {}};
  absl::StatusOr<Certificate> leaf = SignLeaf(*intermediate_, request, SystemRandom());
  if (!leaf.ok()) return leaf.status();
  return std::vector<Certificate>{*std::move(leaf), intermediate_->certificate};
}

void FakeAuthority::AddToken(const std::string& token) {
  absl::MutexLock lock(&mutex_);
  tokens_.insert(token);
}

void FakeAuthority::SetEntries(std::vector<WorkloadEntry> entries) {
  absl::MutexLock lock(&mutex_);
  state_.entries = std::move(entries);
  ++state_.revision;
}

void FakeAuthority::SetMesh(NodeMesh mesh) {
  absl::MutexLock lock(&mutex_);
  state_.mesh = std::make_shared<const NodeMesh>(std::move(mesh));
  ++state_.revision;
}

absl::Status FakeAuthority::ReportProxies(std::vector<std::string> statuses) {
  absl::MutexLock lock(&mutex_);
  if (away_) return absl::UnavailableError("away");
  reported_ = std::move(statuses);
  return absl::OkStatus();
}

std::vector<std::string> FakeAuthority::reported() const {
  absl::MutexLock lock(&mutex_);
  return reported_;
}

absl::Status FakeAuthority::ReportObserved(std::vector<std::string> reports) {
  absl::MutexLock lock(&mutex_);
  if (away_) return absl::UnavailableError("away");
  observed_ = std::move(reports);
  return absl::OkStatus();
}

std::vector<std::string> FakeAuthority::observed() const {
  absl::MutexLock lock(&mutex_);
  return observed_;
}

void FakeAuthority::ReplaceRoot(bool keep_old) {
  absl::MutexLock lock(&mutex_);
  if (!keep_old) roots_.clear();
  MakeAuthorities();
  state_.bundles = BundlesLocked();
  ++state_.revision;
}

void FakeAuthority::SetLifetimes(absl::Duration workload, absl::Duration node) {
  absl::MutexLock lock(&mutex_);
  workload_lifetime_ = workload;
  node_lifetime_ = node;
}

void FakeAuthority::SetAway(bool away) {
  absl::MutexLock lock(&mutex_);
  away_ = away;
}

void FakeAuthority::SetBanned(bool banned) {
  absl::MutexLock lock(&mutex_);
  banned_ = banned;
}

void FakeAuthority::RefuseEntry(const std::string& entry_id, absl::Status why) {
  absl::MutexLock lock(&mutex_);
  refused_[entry_id] = std::move(why);
}

absl::StatusOr<AuthorityClient::NodeGrant> FakeAuthority::Attest(const std::string& token,
                                                                 const std::string& csr_der) {
  absl::MutexLock lock(&mutex_);
  if (away_) return absl::UnavailableError("away");
  if (tokens_.erase(token) == 0) return absl::PermissionDeniedError("the join token is not known or was used");
  absl::StatusOr<std::vector<Certificate>> chain =
      SignFor(*SpiffeId::FromParts(trust_domain_, absl::StrCat("/lanyard/agent/", token)), csr_der, node_lifetime_);
  if (!chain.ok()) return chain.status();
  ++attested_;
  return AuthorityClient::NodeGrant{*std::move(chain), BundlesLocked()};
}

absl::StatusOr<AuthorityClient::NodeGrant> FakeAuthority::RenewNode(const SpiffeId& node, const std::string& csr_der) {
  absl::MutexLock lock(&mutex_);
  if (away_) return absl::UnavailableError("away");
  if (banned_) return absl::PermissionDeniedError("the node is not known");
  absl::StatusOr<std::vector<Certificate>> chain = SignFor(node, csr_der, node_lifetime_);
  if (!chain.ok()) return chain.status();
  ++renewed_;
  return AuthorityClient::NodeGrant{*std::move(chain), BundlesLocked()};
}

AuthorityClient::Signed FakeAuthority::Sign(const std::string& entry_id, const std::string& csr_der) {
  absl::MutexLock lock(&mutex_);
  if (away_) return absl::UnavailableError("away");
  if (const auto refused = refused_.find(entry_id); refused != refused_.end() && !refused->second.ok()) {
    return refused->second;
  }
  for (const WorkloadEntry& entry : state_.entries) {
    if (entry.id != entry_id) continue;
    ++signed_;
    const absl::Duration own = absl::Seconds(entry.x509_svid_ttl_seconds);
    return SignFor(entry.spiffe_id, csr_der, own > absl::ZeroDuration() ? own : workload_lifetime_);
  }
  return absl::NotFoundError(absl::StrCat("no entry ", entry_id));
}

absl::StatusOr<NodeState> FakeAuthority::NextState(uint64_t seen, const std::function<bool()>& cancelled) {
  absl::MutexLock lock(&mutex_);
  const auto something = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return away_ || banned_ || state_.revision != seen || cancelled();
  };
  // A client that goes away wakes nobody.
  while (!mutex_.AwaitWithTimeout(absl::Condition(&something), absl::Milliseconds(20))) {
  }
  if (cancelled()) return absl::CancelledError("cancelled");
  if (away_) return absl::UnavailableError("away");
  if (banned_) return absl::PermissionDeniedError("the node is not known");
  return state_;
}

int FakeAuthority::attested() const {
  absl::MutexLock lock(&mutex_);
  return attested_;
}

int FakeAuthority::renewed() const {
  absl::MutexLock lock(&mutex_);
  return renewed_;
}

int FakeAuthority::signed_svids() const {
  absl::MutexLock lock(&mutex_);
  return signed_;
}

int FakeAuthority::sign_calls() const {
  absl::MutexLock lock(&mutex_);
  return sign_calls_;
}

void FakeAuthority::CountSignCall() {
  absl::MutexLock lock(&mutex_);
  ++sign_calls_;
}

std::unique_ptr<AuthorityClient> NewFakeAuthorityClient(FakeAuthority& authority, std::optional<SpiffeId> node) {
  return std::make_unique<FakeAuthorityClient>(authority, std::move(node));
}

}  // namespace lanyard
