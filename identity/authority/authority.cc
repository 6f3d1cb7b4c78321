#include "identity/authority/authority.h"

#include <grpcpp/impl/codegen/service_type.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <future>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/admin/metrics_endpoint.h"
#include "identity/authority/authority_metrics.h"
#include "identity/authority/authority_service.h"
#include "identity/authority/ca_rotation.h"
#include "identity/authority/data_dir.h"
#include "identity/authority/node_attestation.h"
#include "identity/authority/node_watches.h"
#include "identity/authority/own_identity.h"
#include "identity/authority/schedule.h"
#include "identity/authority/signing_allowance.h"
#include "identity/base/atomic_file.h"
#include "identity/base/logging.h"
#include "identity/base/version.h"
#include "identity/channel/local_server.h"
#include "identity/channel/server.h"
#include "identity/registry/mesh_registry.h"
#include "identity/registry/mesh_rules_service.h"
#include "identity/registry/mesh_reports.h"
#include "identity/registry/registry.h"
#include "identity/registry/registry_service.h"
#include "identity/registry/sqlite_store.h"

namespace lanyard {
namespace {

constexpr char kDatabaseFile[] = "registry.db";
constexpr char kSealedKeysFile[] = "authorities.sealed";
// The most that an agent has to say are the statuses of a thousand proxies, of 4 KiB each.
constexpr int kMaxAgentRequestBytes = 4 << 20;

// A server's handlers may run before the call that started it returns; they wait for it here.
template <typename Server>
class Started {
 public:
  void Set(Server* server) { promise_.set_value(server); }
  Server* Get() const { return future_.get(); }

 private:
  std::promise<Server*> promise_;
  std::shared_future<Server*> future_ = promise_.get_future().share();
};

// The records are made before the first key is, so keys without records have lost them. An empty file is an operator's
// word that it shall begin anew (or a first start that crashed).
absl::Status CheckRecordsAreThere(const std::string& database, const std::string& sealed_keys) {
  std::error_code unknown;  // what cannot be looked at is told by who opens it
  if (std::filesystem::exists(database, unknown) || !std::filesystem::exists(sealed_keys, unknown)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "the registry ", database, " is gone although the signing keys ", sealed_keys,
      " are there, and with it every entry, agent, policy and ban; restore it from a backup, or make an empty file of "
      "that name to go on with none of them"));
}

}  // namespace

// Members stand in the order of their dependence: the last one is stopped first.
struct Authority::State final : public AuthorityFacts {
  State(const AuthoritySettings& settings, const Clock& clock, Random& random)
      : settings(settings), clock(clock), random(random), start_time(clock.Now()) {}

  absl::Status OpenRecords();
  absl::Status OpenKeys();
  absl::Status StartServers();
  // What the schedule does: rotate, write the bundle file, renew the own SVID, drop bans that have ended.
  absl::StatusOr<absl::Time> RunDue();
  absl::Status WriteBundleFile();
  absl::Status ServeMetrics();
  AuthorityFigures Figures() const;
  void Stop(absl::Duration grace);

  std::string agents_address() const override {
    return absl::StrCat(settings.agents_host, ":", agents_started.Get()->port());
  }
  bool IsConnected(const SpiffeId& agent) const override { return watches.IsConnected(agent); }
  void End(const SpiffeId& agent, absl::string_view why);
  void EndBanned();
  absl::StatusOr<std::vector<SpiffeId>> Agents() const override;
  void Disconnect(const SpiffeId& agent) override;
  std::string OperatorOf(const grpc::ServerContextBase& call) const override;

  const AuthoritySettings settings;
  const Clock& clock;
  Random& random;
  const absl::Time start_time;
  std::optional<DataDir> data_dir;
  std::unique_ptr<SqliteStore> store;
  std::unique_ptr<Registry> registry;
  std::unique_ptr<MeshRegistry> mesh;
  std::unique_ptr<CaRotation> rotation;
  std::unique_ptr<Issuer> issuer;
  std::unique_ptr<NodeAttestation> attestation;
  std::unique_ptr<OwnIdentity> own_identity;
  std::optional<X509Bundle> written_bundle;
  NodeWatches watches;
  IssuingCounters issuing;
  SigningAllowance allowance{clock};
  std::atomic<uint64_t> schedule_failures = 0;
  MeshReports reports;
  std::unique_ptr<Schedule> schedule;
  std::unique_ptr<grpc::Service> authority_service;
  std::unique_ptr<grpc::Service> registry_service;
  std::unique_ptr<grpc::Service> mesh_rules_service;
  Started<ChannelServer> agents_started;
  Started<LocalServer> operators_started;
  std::unique_ptr<ChannelServer> agents;
  std::unique_ptr<LocalServer> operators;
  std::unique_ptr<MetricsEndpoint> metrics;
};

absl::Status Authority::State::OpenRecords() {
  absl::StatusOr<DataDir> locked = DataDir::Lock(settings.data_dir);
  if (!locked.ok()) return locked.status();
  data_dir.emplace(*std::move(locked));
  const std::string database = absl::StrCat(settings.data_dir, "/", kDatabaseFile);
  const std::string sealed_keys = absl::StrCat(settings.data_dir, "/", kSealedKeysFile);
  if (absl::Status there = CheckRecordsAreThere(database, sealed_keys); !there.ok()) return there;
  auto opened = SqliteStore::Open(database, settings.trust_domain);
  if (!opened.ok()) return opened.status();
  store = *std::move(opened);
  auto loaded =
      Registry::Open(settings.trust_domain, {.max_x509_svid_ttl = settings.ca.LongestLeaf()}, *store, clock, random);
  if (!loaded.ok()) return loaded.status();
  registry = *std::move(loaded);
  registry->SetOnChange([this] { watches.WakeAll(); });
  auto rules = MeshRegistry::Open(settings.trust_domain, *store, clock);
  if (!rules.ok()) return rules.status();
  mesh = *std::move(rules);
  mesh->SetOnChange([this] {
    watches.WakeAll();
    EndBanned();
    schedule->RunBy(mesh->NextBanExpiry());
  });
  return absl::OkStatus();
}

absl::Status Authority::State::OpenKeys() {
  absl::StatusOr<CaKeys> keys = CaKeys::Open(absl::StrCat(settings.data_dir, "/", kSealedKeysFile),
                                             settings.sealing_key_file, settings.trust_domain, random);
  if (!keys.ok()) return keys.status();
  auto opened = CaRotation::Open(*std::move(keys), settings.ca, *registry, clock, random);
  if (!opened.ok()) return opened.status();
  rotation = *std::move(opened);
  issuer = std::make_unique<Issuer>([this] { return rotation->current(); },
                                    [this](const SpiffeId& id) { return mesh->CheckIssuing(id); }, settings.svids,
                                    clock, random);
  attestation = std::make_unique<NodeAttestation>(*registry, *mesh, *issuer);
  own_identity = std::make_unique<OwnIdentity>(*issuer, clock);
  return absl::OkStatus();
}

absl::Status Authority::State::StartServers() {
  const absl::StatusOr<absl::Time> advanced = rotation->Step();
  if (!advanced.ok()) return advanced.status();
  if (absl::Status written = WriteBundleFile(); !written.ok()) return written;
  auto context = own_identity->Refresh(registry->snapshot()->bundle);
  if (!context.ok()) return context.status();

  // Nothing is due before the servers stand; but who they serve may have something to add.
  schedule = std::make_unique<Schedule>([this] { return RunDue(); }, absl::InfiniteFuture(), clock, random);
  authority_service =
      NewAuthorityService({*registry, *mesh, reports, clock, *issuer, *attestation, watches, issuing, allowance,
                           [this](const grpc::ServerContextBase& call) { return agents_started.Get()->PeerOf(call); },
                           [this](const SpiffeId& agent) { End(agent, "has attested anew"); }});
  registry_service = NewRegistryService(*registry, *this, clock, kVersion);
  mesh_rules_service = NewMeshRulesService(*mesh, reports, *this);
  // Without require_client_svid: a node that attests has no SVID yet. Every other call asks PeerOf.
  auto agents_server = ChannelServer::Start(
      {.address = absl::StrCat(settings.agents_host, ":", settings.agents_port),
       .require_client_svid = false,
       .max_message_bytes = kMaxAgentRequestBytes},
      *context, {authority_service.get()});
  if (!agents_server.ok()) {
    return absl::Status(agents_server.status().code(),
                        absl::StrCat("agents.address: ", agents_server.status().message(),
                                     "; stop who listens there, or write another address"));
  }
  agents = *std::move(agents_server);
  agents_started.Set(agents.get());
  std::error_code ignored;  // LocalServer says what is wrong
  std::filesystem::create_directory(std::filesystem::path(settings.operators_socket).parent_path(), ignored);
  auto operators_server = LocalServer::Start({.path = settings.operators_socket, .allowed_uids = {0, geteuid()}},
                                             {registry_service.get(), mesh_rules_service.get()});
  if (!operators_server.ok()) return operators_server.status();
  operators = *std::move(operators_server);
  operators_started.Set(operators.get());
  schedule->RunBy(clock.Now());
  return absl::OkStatus();
}

absl::StatusOr<absl::Time> Authority::State::RunDue() {
  // Each by itself: a full disk, where nothing can rotate, must not keep the own SVID from being renewed.
  const absl::StatusOr<absl::Time> next = rotation->Step();
  const auto context = own_identity->Refresh(registry->snapshot()->bundle);
  if (context.ok() && *context != nullptr) agents->SetContext(*context);
  const absl::Status written = WriteBundleFile();
  const absl::Status dropped = mesh->DropEndedBans();
  for (const absl::Status& status : {next.status(), context.status(), written, dropped}) {
    if (status.ok()) continue;
    ++schedule_failures;
    return status;
  }
  return std::min({*next, own_identity->NextRenewal(), mesh->NextBanExpiry()});
}

absl::Status Authority::State::WriteBundleFile() {
  const X509Bundle bundle = registry->snapshot()->bundle;
  if (settings.bundle_file.empty() || written_bundle == bundle) return absl::OkStatus();
  if (absl::Status written = WriteFileAtomically(settings.bundle_file, bundle.ToPem(), 0644); !written.ok())
    return written;
  written_bundle = bundle;
  return absl::OkStatus();
}

AuthorityFigures Authority::State::Figures() const {
  const std::shared_ptr<const RegistrySnapshot> records = registry->snapshot();
  const std::shared_ptr<const MeshSnapshot> rules = mesh->snapshot();
  AuthorityFigures figures;
  figures.issuing = &issuing;
  figures.authorities = records->authorities;
  figures.agents_connected = watches.agents();
  figures.streams_limited = watches.limit_reached();
  const ChannelServer::Stats connections = agents->stats();
  figures.connections_accepted = connections.accepted;
  figures.connections_refused = connections.refused_limit;
  figures.handshakes_failed = connections.failed_handshakes;
  figures.anonymous_ended = connections.ended_anonymous;
  figures.entries = records->entries.size();
  figures.registry_revision = records->revision;
  figures.mesh_version = rules->version;
  figures.policies = rules->rules->policies.size();
  figures.route_sets = rules->rules->routes.size();
  figures.bans = rules->bans->all().size();
  figures.banned_svids_not_named = rules->unnamed;
  figures.signings_not_remembered = allowance.not_remembered();
  figures.schedule_failures = schedule_failures.load();
  figures.proxy_reports_refused = reports.refused();
  figures.start_time = start_time;
  return figures;
}

absl::Status Authority::State::ServeMetrics() {
  if (settings.admin_address.empty()) return absl::OkStatus();
  auto started = MetricsEndpoint::Start(settings.admin_address, [this] {
    return AuthorityMetricsText(Figures(), ReadProcessStats(), clock.Now());
  });
  if (!started.ok()) return started.status();
  metrics = *std::move(started);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SpiffeId>> Authority::State::Agents() const {
  const absl::StatusOr<std::vector<Node>> nodes = registry->ListNodes();
  if (!nodes.ok()) return nodes.status();
  std::vector<SpiffeId> agents;
  for (const Node& node : *nodes) agents.push_back(node.id);
  return agents;
}

void Authority::State::Disconnect(const SpiffeId& agent) { End(agent, "was deleted"); }

void Authority::State::End(const SpiffeId& agent, absl::string_view why) {
  watches.End(agent, absl::PermissionDeniedError(absl::StrCat(agent.ToString(), " ", why)));
  agents_started.Get()->CloseConnections([&](const VerifiedSvid& peer) { return peer.id == agent; });
}

// Their streams end by themselves; an idle connection would stay, and keep others out.
void Authority::State::EndBanned() {
  if (mesh->snapshot()->bans->all().empty()) return;
  agents_started.Get()->CloseConnections(
      [this](const VerifiedSvid& peer) { return !mesh->CheckAgent(peer.id, peer.serial).ok(); });
}

std::string Authority::State::OperatorOf(const grpc::ServerContextBase& call) const {
  const std::shared_ptr<const LocalPeer> peer = operators_started.Get()->PeerOf(call);
  return peer == nullptr ? "unknown" : absl::StrCat("uid ", peer->uid());
}

void Authority::State::Stop(absl::Duration grace) {
  metrics.reset();
  if (schedule != nullptr) schedule->Stop();
  watches.EndAll(absl::UnavailableError("the authority is shutting down"));
  if (operators != nullptr) operators->Shutdown(grace);
  if (agents != nullptr) agents->Shutdown(grace);
}

Authority::Authority(std::unique_ptr<State> state) : state_(std::move(state)) {}

Authority::~Authority() { Stop(absl::ZeroDuration()); }

absl::StatusOr<std::unique_ptr<Authority>> Authority::Start(const AuthoritySettings& settings, const Clock& clock,
                                                            Random& random) {
  std::unique_ptr<Authority> authority(new Authority(std::make_unique<State>(settings, clock, random)));
  State& state = *authority->state_;
  if (absl::Status opened = state.OpenRecords(); !opened.ok()) return opened;
  if (absl::Status opened = state.OpenKeys(); !opened.ok()) return opened;
  if (absl::Status started = state.StartServers(); !started.ok()) return started;
  if (absl::Status started = state.ServeMetrics(); !started.ok()) return started;
  Log(LogLevel::kInfo, "serving",
      {{"trust_domain", settings.trust_domain.name()},
       {"agents_address", state.agents_address()},
       {"operators_socket", settings.operators_socket},
       {"bundle_file", settings.bundle_file},
       {"version", kVersion}});
  return authority;
}

std::string Authority::agents_address() const { return state_->agents_address(); }

void Authority::Stop(absl::Duration grace) { state_->Stop(grace); }

}  // namespace lanyard
