#include "proxy/proxy.h"

#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "identity/base/bell.h"
#include "identity/base/logging.h"
#include "proxy/close_reason_names.h"
#include "proxy/config_reload.h"
#include "proxy/control/admin_pages.h"
#include "identity/admin/admin_server.h"
#include "proxy/control/control_loop.h"
#include "proxy/control/hand_over.h"
#include "proxy/control/identity_rotation.h"
#include "proxy/control/identity_source.h"
#include "proxy/control/mesh_watch.h"
#include "proxy/control/observed_reporter.h"
#include "proxy/control/publisher.h"
#include "proxy/control/rules_in_force.h"
#include "proxy/control/tap_page.h"
#include "proxy/control/upgrade_server.h"
#include "proxy/io/local_listener.h"
#include "proxy/startup_checks.h"
#include "proxy/worker_group.h"

namespace lanyard {
namespace {

constexpr absl::Duration kFirstAcknowledgementCheck = absl::Milliseconds(5);
constexpr absl::Duration kLastAcknowledgementCheck = absl::Seconds(1);
// How often the agent is told how many connections are open.
constexpr absl::Duration kStatusInterval = absl::Seconds(10);
constexpr absl::Duration kTakeOverCheck = absl::Milliseconds(20);
// How long callers wait at the start for word of who is banned, where rules would let them in without it.
constexpr absl::Duration kLongestWaitForBans = absl::Seconds(5);

FileRules RulesOf(const ProxySettings& settings) { return {settings.rules, settings.capture_rules}; }

}  // namespace

// Everything but the latch belongs to the control thread once it runs.
struct Proxy::State {
  State(Options options, std::unique_ptr<Accounts> made, Workers created)
      : settings(options.settings),
        poll_interval(options.poll_interval),
        clock(*options.clock),
        start_time(options.clock->Now()),
        accounts(std::move(made)),
        take_over(options.take_over),
        upgrade_options(options.upgrade),
        config_path(options.config_path),
        workers(std::move(created)),
        rules(RulesOf(settings), settings.mesh_address, Captures(settings)),
        publisher(Handles(workers), rules.Combined(), clock),
        rotation({settings.spiffe_id,
                  SourceName(settings),
                  &clock,
                  {.alpn = AlpnOf(settings), .session_resumption = settings.session_resumption},
                  [this](auto tls, bool withdrawn) { TakeIdentity(std::move(tls), withdrawn); }}),
        source({settings.workload_api, settings.identity_files, poll_interval}, loop, rotation),
        reload({options.config_path, options.config_text, settings, options.environment,
                [this](const ProxySettings& read) {
                  rules.SetFile(RulesOf(read));
                  PublishRules();
                }}),
        mesh({.address = settings.mesh_address,
              .state_file = settings.mesh_state_file,
              .keep = options.take_over == nullptr,
              .clock = &clock,
              .on_view = [this](std::shared_ptr<const MeshUpdate> view,
                                RulesInForce::Source from) { TakeView(std::move(view), from); },
              .on_first_word = [this] { EndWaitForBans(); }},
             loop),
        observed({.loop = &loop,
                  .workers = Handles(workers),
                  .clock = &clock,
                  .report = [this](std::shared_ptr<const ObservedReport> all) { mesh.Observed(std::move(all)); }}),
        tap(loop, accounts->tap),
        pages({.loop = &loop,
               .workers = Handles(workers),
               .identity = &rotation,
               .publisher = &publisher,
               .rules = &rules,
               .mesh = &mesh,
               .tap = &tap,
               .ready = [this] { return Ready(); },
               .counters = [this] { return Counters(); },
               .upgrade_socket = settings.upgrade_socket,
               .close_reasons = CloseReasonNames(),
               .configuration_refused = [this] { return reload.refusal(); }}) {
    rules.AwaitView(take_over != nullptr && !take_over->Take(kViewMark, "", "").empty());
  }

  AdminServer::Options AdminOptions();
  absl::Status ListenAdmin();
  absl::Status SetAdmin(absl::StatusOr<std::unique_ptr<AdminServer>> server);
  absl::Status ListenUpgrade();
  void TakeOverWhenReady();
  void TakeKeptOfBefore();
  std::vector<HandedSocket> HandedSockets() const;
  absl::StatusOr<pid_t> Upgrade(const UpgradeRequest& request);
  void TellService(const std::string& state) const;
  void TakeIdentity(std::shared_ptr<const TlsContext> tls, bool withdrawn);
  void TakeView(std::shared_ptr<const MeshUpdate> view, RulesInForce::Source from);
  void PublishRules();
  void ReportApplied();
  void Serve();
  void EndWaitForBans();
  void AnnounceServing();
  void CheckAcknowledgements(absl::Duration delay);
  absl::Status Ready() const;
  ControlCounters Counters() const;
  void BeginDrain();

  const ProxySettings settings;
  const absl::Duration poll_interval;
  const Clock& clock;
  const absl::Time start_time;
  const std::unique_ptr<Accounts> accounts;
  TakeOver* take_over;     // null once this process serves
  const UpgradeOptions upgrade_options;
  const std::string config_path;
  ControlLoop loop;
  Workers workers;
  RulesInForce rules;
  Publisher publisher;
  IdentityRotation rotation;
  IdentitySource source;
  ConfigReload reload;
  MeshWatch mesh;
  ObservedReporter observed;
  TapPage tap;
  AdminPages pages;
  UniqueFd inherited_admin;  // answered once this process serves
  std::unique_ptr<AdminServer> admin;
  std::unique_ptr<UpgradeServer> upgrade;
  std::atomic<bool> handed_over = false;
  std::atomic<bool> has_view = false;  // of the mesh
  bool serving = false;    // the workers run
  bool waiting_for_bans = false;  // and do not accept yet
  bool announced = false;  // and each has a view
  bool draining = false;
  bool checking_acknowledgements = false;
  uint64_t rules_published_as = 0;  // the publisher's version that holds what `rules` are now; 0: none does yet

  absl::Mutex latch;
  int busy_workers ABSL_GUARDED_BY(latch) = 0;
  Bell worker_done;
  bool drain_begun ABSL_GUARDED_BY(latch) = false;
};

AdminServer::Options Proxy::State::AdminOptions() {
  return {.address = settings.admin->ToString(),
          .handler = [this](const AdminRequest& request, AdminServer::Respond respond) {
            pages.Handle(request, std::move(respond));
          }};
}

absl::Status Proxy::State::ListenAdmin() {
  if (!settings.admin.has_value()) return absl::OkStatus();
  if (take_over != nullptr) {
    std::vector<UniqueFd> taken = take_over->Take(kAdminSocket, "", settings.admin->ToString());
    if (!taken.empty()) {
      inherited_admin = std::move(taken.front());
      return absl::OkStatus();
    }
  }
  return SetAdmin(AdminServer::Create(loop.context(), AdminOptions()));
}

absl::Status Proxy::State::SetAdmin(absl::StatusOr<std::unique_ptr<AdminServer>> server) {
  if (!server.ok()) return server.status();
  admin = *std::move(server);
  if (!admin->is_loopback()) {
    Log(LogLevel::kWarning, "admin address is not loopback: whoever reaches it can read every connection",
        {{"address", admin->address()}});
  }
  return absl::OkStatus();
}

// Upgrades.

absl::Status Proxy::State::ListenUpgrade() {
  const std::string& path = settings.upgrade_socket;
  if (path.empty()) return absl::OkStatus();
  std::vector<UniqueFd> taken;
  if (take_over != nullptr) taken = take_over->Take(kUpgradeSocket, "", path);
  absl::StatusOr<UniqueFd> listener = taken.empty() ? OpenLocalListener(path) : std::move(taken.front());
  if (!listener.ok()) {
    return absl::Status(listener.status().code(), absl::StrCat("upgrade.socket: ", listener.status().message()));
  }
  upgrade = std::make_unique<UpgradeServer>(
      UpgradeServer::Options{.path = path,
                             .listener = *std::move(listener),
                             .upgrade = [this](const UpgradeRequest& request) { return Upgrade(request); },
                             .on_upgraded = [] { kill(getpid(), SIGTERM); }});  // as anybody has a proxy finish
  return absl::OkStatus();
}

std::vector<HandedSocket> Proxy::State::HandedSockets() const {
  std::vector<HandedSocket> handed = ListeningSockets(settings, workers);
  if (admin != nullptr) handed.push_back({kAdminSocket, "", settings.admin->ToString(), admin->listening()});
  handed.push_back({kUpgradeSocket, "", upgrade->path(), upgrade->listener()});
  return handed;
}

// On the upgrade server's thread, while all that it names is open: Drain and the destructor end that thread first.
absl::StatusOr<pid_t> Proxy::State::Upgrade(const UpgradeRequest& request) {
  if (!upgrade_options.refusal.empty()) return absl::FailedPreconditionError(upgrade_options.refusal);
  const absl::StatusOr<std::pair<Passage, Passage>> mark = Passage::Pair();
  if (!mark.ok()) return mark.status();
  std::vector<HandedSocket> sockets = HandedSockets();
  if (has_view) sockets.push_back({kViewMark, "", "", mark->first.fd()});
  const HandOver plan = {.binary = request.binary.empty() ? upgrade_options.binary : request.binary,
                         .config = request.config.empty() ? config_path : request.config,
                         .timeout = request.timeout,
                         .sockets = std::move(sockets),
                         .on_ready = [this] { mesh.KeepViews(false); },
                         .on_failed = [this] { mesh.KeepViews(true); },
                         .cancelled = [this] { return upgrade->stopping(); }};
  Log(LogLevel::kInfo, "starting another proxy to take over", {{"binary", plan.binary}, {"config", plan.config}});
  absl::StatusOr<Successor> next = HandOverTo(plan);
  if (!next.ok()) return next.status();
  handed_over = true;
  workers.front()->worker().MoveStreamsTo(next->passage.Release());
  TellService(absl::StrCat("MAINPID=", next->pid));
  loop.Post([this] {
    if (admin != nullptr) admin->Leave();
  });
  return next->pid;
}

// Once this process can serve, and the one before it has said go.
void Proxy::State::TakeOverWhenReady() {
  const absl::Status ready = Ready();
  const absl::Status status = ready.ok() ? take_over->Ready() : take_over->Wait(ready.message());
  if (!status.ok()) {
    Log(LogLevel::kError, "the upgrade came to nothing", {{"error", status}});
    kill(getpid(), SIGTERM);
    return;
  }
  if (!ready.ok()) return loop.After(kTakeOverCheck, [this] { TakeOverWhenReady(); });
  TakeKeptOfBefore();
  for (const auto& worker : workers) worker->worker().StartAccepting();
  if (inherited_admin.valid()) {
    const absl::Status adopted = SetAdmin(AdminServer::Adopt(loop.context(), AdminOptions(), inherited_admin.get()));
    inherited_admin.Reset();
    if (!adopted.ok()) Log(LogLevel::kError, "nobody answers at the admin address", {{"error", adopted}});
  }
  mesh.KeepViews(true);
  if (upgrade != nullptr) upgrade->Start();
  take_over->Serving();
  workers.front()->worker().TakeStreamsFrom(take_over->Release());
  take_over = nullptr;
  AnnounceServing();
}

// Since "go" the process before keeps nothing any more. What it kept last is in force here before anybody is let in.
void Proxy::State::TakeKeptOfBefore() {
  rules.AwaitView(false);
  if (rules.source() == RulesInForce::Source::kAgent) return;
  const std::shared_ptr<const MeshUpdate> kept = mesh.ReadKept();
  if (kept != nullptr) TakeView(kept, RulesInForce::Source::kDisk);
}

void Proxy::State::TellService(const std::string& state) const {
  const absl::Status told = TellServiceManager(upgrade_options.notify_socket, state);
  if (!told.ok()) Log(LogLevel::kWarning, "systemd was not told", {{"state", state}, {"error", told}});
}

// Views.

void Proxy::State::TakeIdentity(std::shared_ptr<const TlsContext> tls, bool withdrawn) {
  const X509Svid& svid = *tls->svid();
  mesh.Shows(svid.id().ToString(), svid.leaf().serial(), svid.not_after());
  if (rules.SetIdentity(svid.id())) {
    if (rules.source() == RulesInForce::Source::kDisk) {
      Log(LogLevel::kError, "the kept view of the mesh is not used but for its bans: it is of another workload",
          {{"path", settings.mesh_state_file}, {"spiffe_id", svid.id().ToString()}});
    }
    publisher.SetRules(rules.Combined());
  }
  publisher.SetTls(std::move(tls), withdrawn);
  rules_published_as = publisher.version();
  CheckAcknowledgements(kFirstAcknowledgementCheck);
  if (!serving && !draining) Serve();
}

void Proxy::State::TakeView(std::shared_ptr<const MeshUpdate> view, RulesInForce::Source from) {
  if (rules.SetView(std::move(view), from)) return PublishRules();
  ReportApplied();
}

void Proxy::State::PublishRules() {
  has_view = rules.view() != nullptr;
  publisher.SetRules(rules.Combined());
  rules_published_as = publisher.version();
  CheckAcknowledgements(kFirstAcknowledgementCheck);
}

// A view counts as applied once every worker has it.
void Proxy::State::ReportApplied() {
  if (rules.view() == nullptr || rules_published_as == 0) return;
  if (publisher.acknowledged_version() >= rules_published_as) mesh.Applied(rules.version_in_force());
}

void Proxy::State::Serve() {
  serving = true;
  // Captured connections that follow the registry are refused without a view in any case.
  const bool let_in = rules.rules_from_file() || HasStaticListeners(settings);
  waiting_for_bans = let_in && !mesh.address().empty() && !mesh.has_spoken();
  const bool accept = take_over == nullptr && !waiting_for_bans;
  for (const auto& worker : workers) accept ? worker->worker().Start() : worker->worker().StartWithoutAccepting();
  if (waiting_for_bans) loop.After(kLongestWaitForBans, [this] { EndWaitForBans(); });
}

void Proxy::State::EndWaitForBans() {
  if (draining || !std::exchange(waiting_for_bans, false)) return;
  if (!mesh.has_spoken() && rules.Usable().ok()) {
    Log(LogLevel::kWarning, "serving without the mesh's bans: no view came from the agent, and none was kept",
        {{"address", mesh.address()}, {"error", mesh.last_error()}});
  }
  // One that takes over accepts when the one before lets go.
  for (size_t i = 0; take_over == nullptr && i < workers.size(); ++i) workers[i]->worker().StartAccepting();
  CheckAcknowledgements(kFirstAcknowledgementCheck);
}

// Once every worker has the first view: whoever waits for this line finds /ready true.
void Proxy::State::AnnounceServing() {
  announced = true;
  std::vector<std::string> names;
  const std::vector<SocketAddress> bound = workers.front()->worker().BoundAddresses();
  for (size_t i = 0; i < bound.size(); ++i) {
    names.push_back(absl::StrCat(settings.listeners[i].name, "=", bound[i].ToString()));
  }
  Log(LogLevel::kInfo, "serving",
      {{"listeners", absl::StrJoin(names, " ")},
       {"admin", admin == nullptr ? "disabled" : admin->address()},
       {"workers", workers.size()}});
  TellService("READY=1");
  // What starting needed and running does not.
  malloc_trim(0);
}

void Proxy::State::CheckAcknowledgements(absl::Duration delay) {
  if (checking_acknowledgements) return;
  checking_acknowledgements = true;
  loop.After(delay, [this, delay] {
    checking_acknowledgements = false;
    if (publisher.CollectAcknowledgements()) CheckAcknowledgements(std::min(2 * delay, kLastAcknowledgementCheck));
    ReportApplied();
    const bool accepts = take_over == nullptr && !waiting_for_bans;
    if (!announced && accepts && publisher.acknowledged_version() > 0) AnnounceServing();
  });
}

absl::Status Proxy::State::Ready() const {
  if (draining) return absl::UnavailableError("draining");
  if (const absl::Status usable = rotation.Usable(); !usable.ok()) return usable;
  if (publisher.acknowledged_version() == 0) return absl::UnavailableError("the workers are starting");
  const absl::Status usable = rules.Usable();
  if (usable.ok() && waiting_for_bans) {
    return absl::UnavailableError(absl::StrCat("waiting for word from ", mesh.address(), " of who is banned"));
  }
  if (usable.ok() || mesh.last_error().empty()) return usable;
  return absl::Status(usable.code(), absl::StrCat(usable.message(), "; its agent said last: ", mesh.last_error()));
}

ControlCounters Proxy::State::Counters() const {
  ControlCounters counters;
  counters.ready = Ready().ok();
  counters.view_version = publisher.version();
  counters.view_acknowledged_version = publisher.acknowledged_version();
  counters.view_acknowledgement_delay = publisher.acknowledgement_delay();
  counters.has_mesh = !mesh.address().empty();
  counters.mesh_connected = mesh.connected();
  counters.mesh_source = NameOf(rules.source());
  counters.mesh_view_version = rules.view() == nullptr ? 0 : rules.view()->version;
  counters.mesh_views = mesh.views();
  counters.mesh_views_refused = mesh.refused();
  counters.mesh_keep_failures = mesh.keep_failures();
  counters.has_identity = rotation.current() != nullptr;
  if (counters.has_identity) {
    counters.identity_not_before = rotation.current()->svid()->not_before();
    counters.identity_not_after = rotation.current()->svid()->not_after();
  }
  counters.identity_withdrawn = rotation.withdrawn();
  counters.identity_rotations = rotation.rotations();
  counters.identity_failures = rotation.failures();
  counters.bundle_changes = rotation.bundle_changes();
  counters.access_log_written = accounts->access_log->written();
  counters.access_log_failed = accounts->access_log->failed();
  counters.log_lines_dropped = LogLinesDropped();
  counters.tap_watchers = tap.watchers();
  counters.tap_lost = tap.lost();
  counters.config_reloads = reload.applied();
  counters.config_reload_failures = reload.refused();
  counters.start_time = start_time;
  counters.now = clock.Now();
  return counters;
}

void Proxy::State::BeginDrain() {
  draining = true;
  absl::MutexLock lock(&latch);
  drain_begun = true;
  if (!serving) return;
  busy_workers = static_cast<int>(workers.size());
  for (const auto& worker : workers) {
    worker->worker().Drain([this] {
      absl::MutexLock idle(&latch);
      --busy_workers;
      worker_done.Ring();
    });
  }
}

absl::StatusOr<std::unique_ptr<Proxy>> Proxy::Create(Options options) {
  absl::StatusOr<std::unique_ptr<AccessLog>> access_log = AccessLog::Open(options.settings.access_log);
  if (!access_log.ok()) return access_log.status();
  auto accounts = std::make_unique<Accounts>();
  accounts->access_log = *std::move(access_log);
  absl::StatusOr<Workers> workers =
      CreateWorkers(options.settings, *options.clock, *accounts, options.take_over);
  if (!workers.ok()) return workers.status();
  WarnOfSettings(options.settings);
  auto state = std::make_unique<State>(std::move(options), std::move(accounts), *std::move(workers));
  if (const absl::Status status = state->ListenAdmin(); !status.ok()) return status;
  if (const absl::Status status = state->ListenUpgrade(); !status.ok()) return status;
  return std::unique_ptr<Proxy>(new Proxy(std::move(state)));
}

Proxy::Proxy(std::unique_ptr<State> state) : state_(std::move(state)) {}

Proxy::~Proxy() {
  if (state_->upgrade != nullptr) state_->upgrade->Stop();
  // The control thread next, or it might start a worker that has been stopped. The loop outlives the workers, who
  // may still post answers to it; nobody runs those.
  state_->loop.Stop();
  StopAll(state_->workers);
}

void Proxy::Start() {
  State* const state = state_.get();
  Log(LogLevel::kInfo, "starting", {{"identity_source", state->rotation.source()}});
  state->loop.Every(state->poll_interval, [state] {
    state->reload.Poll();
    state->rotation.Retry();
    state->rotation.CheckExpiry();
  });
  state->loop.Every(kStatusInterval, [state] { state->mesh.OpenConnections(CountOpen(state->workers)); });
  state->mesh.Start();
  if (!state->mesh.address().empty()) state->observed.Start();
  state->source.Start();
  if (state->take_over != nullptr) {
    state->loop.Post([state] { state->TakeOverWhenReady(); });
  } else if (state->upgrade != nullptr) {
    state->upgrade->Start();
  }
  state->loop.Start();
}

void Proxy::Reload() {
  State* const state = state_.get();
  state->loop.Post([state] {
    state->reload.Poll();
    const absl::Status reopened = state->accounts->access_log->Reopen();
    if (!reopened.ok()) Log(LogLevel::kError, "the access log goes on in the old file", {{"error", reopened}});
  });
}

bool Proxy::Drain() {
  State* const state = state_.get();
  if (state->upgrade != nullptr) state->upgrade->Stop();
  if (!state->handed_over) state->TellService("STOPPING=1");
  Log(LogLevel::kInfo, "draining", {{"deadline", absl::FormatDuration(state->settings.drain_deadline)}});
  state->loop.Post([state] { state->BeginDrain(); });
  bool idle;
  {
    absl::MutexLock lock(&state->latch);
    state->latch.Await(absl::Condition(&state->drain_begun));
    const auto done = [state]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(state->latch) { return state->busy_workers == 0; };
    idle = state->worker_done.AwaitFor(state->latch, state->settings.drain_deadline, done);
  }
  StopAll(state->workers);
  Log(LogLevel::kInfo, "drained", {{"all_connections_finished", idle}});
  return idle;
}

}  // namespace lanyard
