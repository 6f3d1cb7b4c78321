#include "identity/agent/authority_link.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"
#include "identity/spiffe/csr.h"
#include "identity/spiffe/svid.h"
#include "identity/spiffe/verify.h"

namespace lanyard {
namespace {

constexpr absl::Duration kCallTimeout = absl::Seconds(10);
constexpr absl::Duration kFirstStateTimeout = absl::Seconds(10);
// Looks at the clock at least this often, as the wall clock may be set while it waits.
constexpr absl::Duration kLongestWait = absl::Seconds(1);
constexpr double kEarliestPhase = 0.40;
constexpr double kLatestPhase = 0.60;

std::string UtcTime(absl::Time time) { return absl::FormatTime(absl::RFC3339_sec, time, absl::UTCTimeZone()); }

// After these another try over the same connection is of no use.
bool EndsConnection(const absl::Status& status) {
  return absl::IsPermissionDenied(status) || absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace

// One connection and the thread that reads its stream. `ended` and what follows are guarded by the link's mutex_.
struct AuthorityLink::Connection {
  uint64_t number = 0;
  absl::Time as_obtained_at;  // which node identity it was made with
  std::shared_ptr<AuthorityClient> client;
  bool has_state = false;
  bool ended = false;
  absl::Status why;
  std::thread watcher;
};

AuthorityLink::AuthorityLink(Options options, std::optional<NodeIdentity> node, const Clock& clock, Random& random)
    : options_(std::move(options)),
      clock_(clock),
      random_(random),
      phase_(kEarliestPhase + random.Uniform() * (kLatestPhase - kEarliestPhase)),
      backoff_(options_.backoff, random_),
      node_(std::move(node)),
      since_(clock.Now()) {
  thread_ = std::thread([this] { Run(); });
}

AuthorityLink::~AuthorityLink() { Stop(); }

void AuthorityLink::Stop() {
  std::shared_ptr<AuthorityClient> client;
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    changed_.Ring();
    client = client_;
  }
  if (client != nullptr) client->Cancel();
  if (thread_.joinable()) thread_.join();
}

bool AuthorityLink::stopping() const {
  absl::MutexLock lock(&mutex_);
  return stopping_;
}

std::shared_ptr<AuthorityClient> AuthorityLink::client() const {
  absl::MutexLock lock(&mutex_);
  return client_;
}

std::optional<absl::Time> AuthorityLink::node_not_after() const {
  absl::MutexLock lock(&mutex_);
  if (!node_.has_value()) return std::nullopt;
  return node_->svid.not_after();
}

NodeStatus AuthorityLink::status() const {
  absl::MutexLock lock(&mutex_);
  NodeStatus status{.agent = {}, .not_after = {}, .connected = client_ != nullptr, .since = since_,
                    .last_error = last_error_};
  if (node_.has_value()) {
    status.agent = node_->svid.id();
    status.not_after = node_->svid.not_after();
  }
  return status;
}

void AuthorityLink::Broken(const std::shared_ptr<AuthorityClient>& client, const absl::Status& why) {
  {
    absl::MutexLock lock(&mutex_);
    if (client_ != client) return;
  }
  Log(LogLevel::kWarning, "connection to the authority does not work any more", {{"error", why}});
  client->Cancel();
}

void AuthorityLink::Run() {
  while (!stopping()) {
    const absl::Status ended = AttestAndStay();
    if (!stopping()) WaitBeforeRetry(ended);
  }
}

absl::Status AuthorityLink::AttestAndStay() {
  const bool must_attest = std::exchange(must_attest_, false);
  if (must_attest || !HasValidIdentity()) {
    const absl::Status attested = Attest();
    if (!attested.ok() && !HasValidIdentity()) return attested;
    // A node that the authority did not know a moment ago may be known again.
    if (!attested.ok()) Log(LogLevel::kError, "cannot attest anew; the old node SVID is tried", {{"error", attested}});
  }
  return Stay();
}

bool AuthorityLink::IsValid(const std::optional<NodeIdentity>& node) const {
  return node.has_value() && VerifySvid(node->svid.chain(), node->bundles, clock_.Now()).ok();
}

bool AuthorityLink::HasValidIdentity() {
  {
    absl::MutexLock lock(&mutex_);
    if (IsValid(node_)) return true;
    if (!node_.has_value() || clock_.Now() >= node_->svid.not_before() || !IsValid(previous_)) return false;
    Log(LogLevel::kWarning, "the node SVID is not valid yet, as after a clock that was ahead: the one before is used",
        {{"expires", UtcTime(previous_->svid.not_after())}});
    std::swap(node_, previous_);
  }
  Keep();
  return true;
}

absl::Status AuthorityLink::Attest() {
  const absl::StatusOr<PrivateKey> key = PrivateKey::Generate(KeyType::kEcP256);
  if (!key.ok()) return key.status();
  const absl::StatusOr<std::string> csr = Csr::Create(*key);
  if (!csr.ok()) return csr.status();
  std::optional<BundleSet> known;
  {
    absl::MutexLock lock(&mutex_);
    if (node_.has_value()) known = node_->bundles;
  }
  absl::StatusOr<Grant> grant = options_.attest(*csr, known.has_value() ? &*known : nullptr);
  if (!grant.ok()) {
    return absl::Status(grant.status().code(), absl::StrCat("cannot attest: ", grant.status().message()));
  }
  const absl::Status adopted = Adopt(*key, *std::move(grant));
  if (!adopted.ok()) return adopted;
  absl::MutexLock lock(&mutex_);
  Log(LogLevel::kInfo, "attested",
      {{"spiffe_id", node_->svid.id().ToString()}, {"expires", UtcTime(node_->svid.not_after())}});
  return absl::OkStatus();
}

absl::Status AuthorityLink::Adopt(const PrivateKey& key, Grant grant) {
  absl::StatusOr<X509Svid> svid = X509Svid::Create(std::move(grant.chain), key);
  if (!svid.ok()) return svid.status();
  if (svid->id().trust_domain() != options_.trust_domain || !absl::StartsWith(svid->id().path(), "/lanyard/agent/")) {
    return absl::InternalError(absl::StrCat("the authority gave this node the SPIFFE ID ", svid->id().ToString(),
                                            ", which is not that of an agent of ", options_.trust_domain.name()));
  }
  const auto verified = VerifySvid(svid->chain(), grant.bundles, clock_.Now());
  if (!verified.ok()) {
    return absl::InternalError(absl::StrCat("the authority gave this node an SVID that does not verify: ",
                                            verified.status().message()));
  }
  {
    absl::MutexLock lock(&mutex_);
    previous_ = std::exchange(node_, NodeIdentity{*std::move(svid), std::move(grant.bundles), clock_.Now()});
    renew_now_ = false;
  }
  Keep();
  return absl::OkStatus();
}

void AuthorityLink::Keep() {
  absl::MutexLock keep_lock(&keep_mutex_);
  std::optional<NodeIdentity> node;
  {
    absl::MutexLock lock(&mutex_);
    node = node_;
  }
  const absl::Status kept = options_.keep(*node);
  if (!kept.ok()) {
    Log(LogLevel::kError, "node identity not kept: after a restart this node needs a new join token",
        {{"error", kept}});
  }
}

absl::Status AuthorityLink::Stay() {
  absl::StatusOr<std::unique_ptr<Connection>> connected = Connect();
  if (!connected.ok()) return connected.status();
  std::unique_ptr<Connection> connection = *std::move(connected);
  backoff_.Reset();
  Use(*connection);
  Log(LogLevel::kInfo, "connected to the authority", {});
  absl::Duration retry_at = -absl::InfiniteDuration();
  while (WaitUntilDue(*connection, retry_at)) {
    absl::Status status = RenewIfDue(*connection->client);
    if (status.ok()) status = Switch(connection);
    if (status.ok()) {
      backoff_.Reset();
      continue;
    }
    const absl::Duration wait = std::min(backoff_.Next(), options_.longest_wait());
    Log(LogLevel::kWarning, "node SVID not renewed", {{"error", status}, {"retry_in", absl::FormatDuration(wait)}});
    retry_at = clock_.Monotonic() + wait;
  }
  {
    absl::MutexLock lock(&mutex_);
    client_ = nullptr;
    since_ = clock_.Now();
  }
  const absl::Status why = Disconnect(std::move(connection));
  if (absl::IsPermissionDenied(why)) must_attest_ = true;
  return why;
}

// The new connection works before the old one is dropped; until there is one, the old one serves on.
absl::Status AuthorityLink::Switch(std::unique_ptr<Connection>& connection) {
  absl::StatusOr<std::unique_ptr<Connection>> next = Connect();
  if (!next.ok()) return next.status();
  Use(**next);
  Disconnect(std::move(connection)).IgnoreError();  // it ends because it is cancelled here
  connection = *std::move(next);
  return absl::OkStatus();
}

void AuthorityLink::Use(const Connection& connection) {
  {
    absl::MutexLock lock(&mutex_);
    if (client_ == nullptr) since_ = clock_.Now();
    client_ = connection.client;
    last_error_.clear();
  }
  must_attest_ = false;
  options_.on_connected();
}

absl::StatusOr<std::unique_ptr<AuthorityLink::Connection>> AuthorityLink::Connect() {
  std::optional<NodeIdentity> node;
  {
    absl::MutexLock lock(&mutex_);
    node = node_;
  }
  absl::StatusOr<std::shared_ptr<AuthorityClient>> client = options_.dial(*node);
  if (!client.ok()) {
    // Its SVID was refused: the trust domain's root was replaced while this node was away, or it is an impostor.
    if (absl::IsUnauthenticated(client.status())) must_attest_ = true;
    return client.status();
  }
  auto connection = std::make_unique<Connection>();
  connection->number = ++connections_;
  connection->as_obtained_at = node->obtained_at;
  connection->client = *std::move(client);
  Connection* const borrowed = connection.get();
  connection->watcher = std::thread([this, borrowed] {
    const absl::Status why = borrowed->client->WatchNode([this, borrowed](NodeState state) {
      Deliver(borrowed->number, std::move(state));
      absl::MutexLock lock(&mutex_);
      borrowed->has_state = true;
      changed_.Ring();
    });
    absl::MutexLock lock(&mutex_);
    borrowed->ended = true;
    borrowed->why = why.ok() ? absl::UnavailableError("the authority ended the stream") : why;
    changed_.Ring();
  });
  bool works = false;
  {
    absl::MutexLock lock(&mutex_);
    const auto decided = [&] { return borrowed->has_state || borrowed->ended || stopping_; };
    changed_.AwaitFor(mutex_, kFirstStateTimeout, decided);
    works = borrowed->has_state && !borrowed->ended && !stopping_;
  }
  if (works) return connection;
  const absl::Status why = Disconnect(std::move(connection));
  if (absl::IsCancelled(why)) return absl::DeadlineExceededError("the authority sent no state in time");
  if (absl::IsPermissionDenied(why)) must_attest_ = true;
  return why;
}

absl::Status AuthorityLink::Disconnect(std::unique_ptr<Connection> connection) {
  connection->client->Cancel();
  connection->watcher.join();
  return connection->why;
}

// What an older connection still says after a newer one has spoken may be out of date.
void AuthorityLink::Deliver(uint64_t connection_number, NodeState state) {
  absl::MutexLock lock(&deliver_mutex_);
  if (connection_number < newest_speaker_) return;
  newest_speaker_ = connection_number;
  Learn(state.bundles);
  options_.on_state(std::move(state));
}

void AuthorityLink::Learn(const BundleSet& bundles) {
  {
    absl::MutexLock lock(&mutex_);
    if (node_->bundles == bundles) return;
    node_->bundles = bundles;
    renew_now_ = !VerifySvid(node_->svid.chain(), bundles, clock_.Now()).ok();
  }
  Keep();
}

absl::Time AuthorityLink::DueTime() const {
  return node_->obtained_at + (node_->svid.not_after() - node_->obtained_at) * phase_;
}

bool AuthorityLink::IsDue() const {
  const absl::Time now = clock_.Now();
  return renew_now_ || now >= DueTime() || now < node_->obtained_at;
}

bool AuthorityLink::WaitUntilDue(const Connection& connection, absl::Duration retry_at) const {
  absl::MutexLock lock(&mutex_);
  const auto over = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || connection.ended; };
  while (!over()) {
    const bool stale = connection.as_obtained_at != node_->obtained_at;
    const absl::Duration until_due = IsDue() || stale ? absl::ZeroDuration() : DueTime() - clock_.Now();
    const absl::Duration wait = std::max(until_due, retry_at - clock_.Monotonic());
    if (wait <= absl::ZeroDuration()) return true;
    changed_.AwaitFor(mutex_, std::clamp(wait, absl::Milliseconds(1), kLongestWait), over);
  }
  return false;
}

absl::Status AuthorityLink::RenewIfDue(AuthorityClient& client) {
  {
    absl::MutexLock lock(&mutex_);
    if (!IsDue()) return absl::OkStatus();
  }
  const absl::StatusOr<PrivateKey> key = PrivateKey::Generate(KeyType::kEcP256);
  if (!key.ok()) return key.status();
  const absl::StatusOr<std::string> csr = Csr::Create(*key);
  if (!csr.ok()) return csr.status();
  absl::StatusOr<Grant> grant = client.RenewNode(*csr, kCallTimeout);
  if (!grant.ok()) {
    if (absl::IsPermissionDenied(grant.status())) must_attest_ = true;
    if (EndsConnection(grant.status())) client.Cancel();
    return grant.status();
  }
  const absl::Status adopted = Adopt(*key, *std::move(grant));
  if (!adopted.ok()) return adopted;
  absl::MutexLock lock(&mutex_);
  Log(LogLevel::kInfo, "node SVID renewed", {{"expires", UtcTime(node_->svid.not_after())}});
  return absl::OkStatus();
}

void AuthorityLink::WaitBeforeRetry(const absl::Status& why) {
  const absl::Duration wait = std::min(backoff_.Next(), options_.longest_wait());
  Log(LogLevel::kWarning, "no connection to the authority",
      {{"error", why}, {"code", absl::StatusCodeToString(why.code())}, {"retry_in", absl::FormatDuration(wait)}});
  absl::MutexLock lock(&mutex_);
  last_error_ = std::string(why.message());
  changed_.AwaitFor(mutex_, wait, [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_; });
}

}  // namespace lanyard
