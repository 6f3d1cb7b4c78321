// A gRPC server on a Unix socket that knows its caller from the kernel: SO_PEERCRED and a pidfd
// taken when the connection was made (invariant 4). Serves the Workload API and the operators.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace grpc {
class Service;
class ServerContextBase;
}  // namespace grpc

namespace lanyard {

// The process that connected, by one connection. Immutable but for `entitled`, thread-safe; owns its pidfd.
class LocalPeer {
 public:
  LocalPeer(pid_t pid, uid_t uid, gid_t gid, int pidfd) : pid_(pid), uid_(uid), gid_(gid), pidfd_(pidfd) {}
  ~LocalPeer();
  LocalPeer(const LocalPeer&) = delete;

  // Names the caller only if Alive() is still true after what was read through it (/proc/<pid>/...).
  pid_t pid() const { return pid_; }
  uid_t uid() const { return uid_; }
  gid_t gid() const { return gid_; }
  int pidfd() const { return pidfd_; }
  // False once the process that connected has exited, even if its pid is in use again.
  bool Alive() const;
  // Said by a service once it has something for this caller: its connection is not given up for others then.
  void SetEntitled() const { entitled_ = true; }
  bool entitled() const { return entitled_; }

 private:
  pid_t pid_;
  uid_t uid_;
  gid_t gid_;
  int pidfd_;
  mutable std::atomic<bool> entitled_ = false;
};

// Thread-safe. Owns its threads; the services are borrowed and must outlive it.
class LocalServer {
 public:
  struct Options {
    std::string path = {};                 // absolute; a stale socket is replaced, one that answers is an error
    mode_t mode = 0600;                 // in force before the first connection can be made
    // One more ends the oldest whose caller is entitled to nothing; if all are, it is closed at accept: users are many
    // where one has a range of subordinate uids.
    size_t max_connections = 4096;
    size_t max_connections_per_uid = 1024;   // more are closed at accept
    int max_message_bytes = 16 << 20;   // larger requests are refused
    // Calls at once. A client is told how many one connection may carry, and waits with the rest. More than twice that,
    // for it may not have heard yet, end the connection, and so do more than max_calls_per_uid.
    int max_calls_per_connection = 100;
    size_t max_calls_per_uid = 4096;
    std::vector<uid_t> allowed_uids = {};  // empty: anyone; others are closed at accept and logged with uid and pid
  };
  struct Stats {
    uint64_t refused_limit = 0;   // closed at accept
    uint64_t ended_limit = 0;     // later: for others, or at a limit of StreamLimit
  };
  static absl::StatusOr<std::unique_ptr<LocalServer>> Start(Options options, std::vector<grpc::Service*> services);
  ~LocalServer();   // Shutdown(now); removes the socket

  // Who is at the other end of the connection that carries this call; null once it is gone.
  std::shared_ptr<const LocalPeer> PeerOf(const grpc::ServerContextBase& call) const;

  Stats stats() const;   // zeros after Shutdown
  void Shutdown(absl::Duration grace);

 private:
  struct State;
  explicit LocalServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace lanyard
