// What the admin address answers: /live, /ready, /metrics, /connections, /observed, /tap, /identity, /view.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "identity/admin/admin_server.h"
#include "proxy/control/control_loop.h"
#include "proxy/control/identity_rotation.h"
#include "proxy/control/metrics.h"
#include "proxy/control/mesh_watch.h"
#include "proxy/control/publisher.h"
#include "proxy/control/rules_in_force.h"
#include "proxy/control/tap_page.h"
#include "proxy/control/worker_answers.h"
#include "proxy/control/worker_handle.h"

namespace lanyard {

// JSON of /identity: spiffe_id, serial, not_before, not_after, source, and each trust domain's
// authorities (fingerprint, serial, not_before, not_after). Certificates only: nothing here knows a key.
std::string IdentityJson(const IdentityRotation& rotation);

// JSON of /view: the version published and acknowledged, where the rules come from, the rules of captured connections
// and the bans, what the agent says of the mesh, and why the configuration file as it stands was refused (empty: it was
// not).
std::string ViewJson(const Publisher& publisher, const RulesInForce& rules, const MeshWatch& mesh,
                     const std::string& configuration_refused);

// JSON array of /connections.
std::string ConnectionsJson(const std::vector<ConnectionRecord>& connections);

// On the control thread. Borrows all of Options.
class AdminPages {
 public:
  struct Options {
    ControlLoop* loop = nullptr;
    std::vector<WorkerHandle*> workers;
    const IdentityRotation* identity = nullptr;
    const Publisher* publisher = nullptr;
    const RulesInForce* rules = nullptr;
    const MeshWatch* mesh = nullptr;
    TapPage* tap = nullptr;
    std::function<absl::Status()> ready;  // not OK: 503 with its message
    std::function<ControlCounters()> counters;
    std::string upgrade_socket = {};      // empty: there is none
    std::vector<std::string> close_reasons = {};  // all that a connection can close for
    std::function<std::string()> configuration_refused = [] { return ""; };
    absl::Duration worker_timeout = kWorkerTimeout;  // a worker that takes longer is left out, and the answer is 504
  };
  explicit AdminPages(Options options) : options_(std::move(options)) {}

  // An AdminServer::Handler.
  void Handle(const AdminRequest& request, AdminServer::Respond respond) const;

 private:
  template <typename Record>
  void Gather(AskWorker<Record> ask, std::function<void(int status, const std::vector<Record>&)> done) const;
  void RespondConnections(AdminServer::Respond respond) const;
  void RespondObserved(AdminServer::Respond respond) const;
  void RespondTap(const std::string& query, AdminServer::Respond respond) const;

  const Options options_;
};

}  // namespace lanyard
