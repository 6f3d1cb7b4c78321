// The node's tie to the authority: attests once, keeps one connection and the node SVID fresh, and
// passes on what the authority says.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "identity/agent/authority_client.h"
#include "identity/agent/entry.h"
#include "identity/agent/node_identity.h"
#include "identity/agent/node_status.h"
#include "identity/base/backoff.h"
#include "identity/base/bell.h"
#include "identity/base/clock.h"
#include "identity/base/random.h"
#include "identity/spiffe/private_key.h"

namespace lanyard {

// One thread decides; one more a connection reads its stream. A renewed node SVID is used by a new connection, which
// is made and read from before the old one is dropped. Without a valid identity it attests; with one it does so only
// when the authority does not know the node any more, or is not known itself. The wall clock may jump: waits between
// tries do not hang on it, a node SVID obtained later than now is renewed, and until that is possible the one before
// is used. Borrows clock and random.
class AuthorityLink {
 public:
  struct Options {
    TrustDomain trust_domain;
    // Connects to the authority as this node and verifies who answers. Blocks, with a limit of its own.
    std::function<absl::StatusOr<std::shared_ptr<AuthorityClient>>(const NodeIdentity& node)> dial;
    // First contact: sends the CSR with the join token, and vouches for where the answer came from. `known`: the
    // bundles of an identity that does not serve any more, null on a node that never had one. Blocks likewise.
    std::function<absl::StatusOr<AuthorityClient::NodeGrant>(const std::string& csr_der, const BundleSet* known)>
        attest;
    // Must not fail silently: a node identity that is not kept needs a new token after a restart.
    std::function<absl::Status(const NodeIdentity&)> keep;
    std::function<void(NodeState)> on_state;   // on a stream's thread
    std::function<void()> on_connected;        // client() may have changed
    // The longest wait between tries, asked at each: an outage hurts the sooner the shorter SVIDs live.
    std::function<absl::Duration()> longest_wait;
    BackoffOptions backoff = {};
  };

  // `node`: what an earlier process kept, expired or not. Starts at once.
  AuthorityLink(Options options, std::optional<NodeIdentity> node, const Clock& clock, Random& random);
  ~AuthorityLink();  // Stop

  // Null while not connected. Thread-safe.
  std::shared_ptr<AuthorityClient> client() const;
  // Of the node's own SVID; nothing before it has one. Thread-safe.
  std::optional<absl::Time> node_not_after() const;
  // Thread-safe.
  NodeStatus status() const;
  // Connections begun, ever. Thread-safe.
  uint64_t connections() const { return connections_.load(); }
  // A caller found that `client` does not work: it is replaced. Thread-safe.
  void Broken(const std::shared_ptr<AuthorityClient>& client, const absl::Status& why);
  // Cancels what can be, and returns when the threads have ended: after a dial's own timeout at the latest. The last
  // client() stays valid, but its calls fail. One thread only.
  void Stop();

 private:
  struct Connection;
  using Grant = AuthorityClient::NodeGrant;

  void Run();
  absl::Status AttestAndStay();
  absl::Status Attest();
  // Connects and stays so, renewing the node SVID; returns why it ended.
  absl::Status Stay();
  // With the first state received.
  absl::StatusOr<std::unique_ptr<Connection>> Connect();
  void Use(const Connection& connection);
  absl::Status Disconnect(std::unique_ptr<Connection> connection);  // why its stream ended
  void Deliver(uint64_t connection_number, NodeState state);
  // True when the node SVID is due, or is newer than the connection; false when that ended or Stop was called.
  // `retry_at`: not before then, by the monotonic clock.
  bool WaitUntilDue(const Connection& connection, absl::Duration retry_at) const;
  absl::Status RenewIfDue(AuthorityClient& client);
  absl::Status Switch(std::unique_ptr<Connection>& connection);
  absl::Status Adopt(const PrivateKey& key, Grant grant);
  void Learn(const BundleSet& bundles);
  void Keep();
  // Of node_, or of the one before, which then is node_ again.
  bool HasValidIdentity();
  bool IsValid(const std::optional<NodeIdentity>& node) const;
  absl::Time DueTime() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  bool IsDue() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void WaitBeforeRetry(const absl::Status& why);
  bool stopping() const;

  const Options options_;
  const Clock& clock_;
  Random& random_;
  const double phase_;  // of node SVIDs' renewal
  Backoff backoff_;
  bool must_attest_ = false;           // own thread only
  std::atomic<uint64_t> connections_ = 0;  // written by its own thread only

  absl::Mutex deliver_mutex_;          // taken before mutex_
  uint64_t newest_speaker_ ABSL_GUARDED_BY(deliver_mutex_) = 0;
  absl::Mutex keep_mutex_;             // taken before mutex_

  mutable absl::Mutex mutex_;
  mutable Bell changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool renew_now_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<NodeIdentity> node_ ABSL_GUARDED_BY(mutex_);
  std::optional<NodeIdentity> previous_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<AuthorityClient> client_ ABSL_GUARDED_BY(mutex_);
  absl::Time since_ ABSL_GUARDED_BY(mutex_);         // connected, or not
  std::string last_error_ ABSL_GUARDED_BY(mutex_);   // of the last try, while not connected
  std::thread thread_;
};

}  // namespace lanyard
