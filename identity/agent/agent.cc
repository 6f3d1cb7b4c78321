#include "identity/agent/agent.h"

#include <grpcpp/impl/service_type.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/admin/metrics_endpoint.h"
#include "identity/agent/agent_metrics.h"
#include "identity/agent/authority_dialer.h"
#include "identity/agent/authority_link.h"
#include "identity/agent/data_dir.h"
#include "identity/agent/mesh_service.h"
#include "identity/agent/node_status_service.h"
#include "identity/agent/process_info.h"
#include "identity/agent/proxy_reports.h"
#include "identity/agent/svid_cache.h"
#include "identity/agent/svid_renewer.h"
#include "identity/agent/workload_service.h"
#include "identity/agent/workload_streams.h"
#include "identity/base/logging.h"
#include "identity/base/version.h"
#include "identity/channel/local_server.h"
#include "identity/spiffe/verify.h"

namespace lanyard {
namespace {

// Workloads of any user call; the kernel says who they are.
constexpr mode_t kSocketMode = 0666;
constexpr absl::Duration kStopGrace = absl::Seconds(2);
constexpr absl::Duration kReportTimeout = absl::Seconds(10);
// What was observed is large and in no hurry.
constexpr absl::Duration kObservedGather = absl::Seconds(2);
constexpr size_t kMaxObservedReportBytes = 1'000'000;  // of a node; the authority takes 1 MiB
// What callers send is small.
constexpr int kMaxRequestBytes = 64 << 10;
constexpr absl::Duration kLongestReconnect = absl::Seconds(30);
constexpr absl::Duration kShortestReconnect = absl::Milliseconds(500);

// What is damaged is as good as absent: the token, or the authority, brings it back.
template <typename Value>
std::optional<Value> OrNothing(absl::StatusOr<std::optional<Value>> loaded, absl::string_view remedy) {
  if (loaded.ok()) return *std::move(loaded);
  Log(LogLevel::kError, "kept state not used", {{"error", loaded.status()}, {"now", remedy}});
  return std::nullopt;
}

// An expired SVID is of no use any more, but whom the node trusted with it is not forgotten.
std::optional<NodeIdentity> KeptNode(const DataDir& data_dir, const TrustDomain& trust_domain, absl::Time now) {
  std::optional<NodeIdentity> node =
      OrNothing<NodeIdentity>(data_dir.LoadNode(), "this node attests again, which needs a join token");
  if (!node.has_value()) return std::nullopt;
  const auto verified = VerifySvid(node->svid.chain(), node->bundles, now);
  const bool own = node->svid.id().trust_domain() == trust_domain;
  if (!verified.ok() || !own) {
    Log(LogLevel::kError, "kept node SVID not used: this node attests again, which needs a join token",
        {{"spiffe_id", node->svid.id().ToString()},
         {"error", own ? std::string(verified.status().message()) : "it is of another trust domain"}});
  }
  if (!own) return std::nullopt;
  return node;
}

}  // namespace

// In the order they are made; destroyed from the last to the first.
struct Agent::Parts {
  Parts(const AgentSettings& settings, const Clock& clock, Random& random)
      : trust_domain(settings.trust_domain),
        dialer({.trust_domain = settings.trust_domain,
                .address = settings.authority_address,
                .timeout = settings.connect_timeout,
                .bundle_file = settings.bundle_file,
                .insecure_trust_on_first_use = settings.insecure_trust_on_first_use,
                .join_token = settings.join_token,
                .join_token_file = settings.join_token_file},
               clock),
        cache(settings.trust_domain, clock, random),
        processes(NewProcProcessInfo()) {}
  ~Parts();

  absl::Status Serve(const AgentSettings& settings, const Clock& clock);
  void Restore();
  void Connect(std::optional<NodeIdentity> node, const Clock& clock, Random& random);
  void StateChanged();
  void TellOfEntriesLeftOut();
  NodeStatus StatusOf(const AuthorityLink& at) const;
  absl::Status ServeMetrics(const std::string& address, const Clock& clock);
  AgentFigures Figures(absl::Time start_time) const;
  absl::Duration LongestReconnect() const;
  std::shared_ptr<AuthorityClient> Client() const;  // null while not connected
  void MakeReports();

  const TrustDomain trust_domain;
  std::string socket_path;
  std::unique_ptr<DataDir> data_dir;
  AuthorityDialer dialer;
  SvidCache cache;
  std::unique_ptr<ProcessInfo> processes;
  std::atomic<bool> serving_logged = false;
  std::atomic<size_t> told_left_out = 0;
  std::unique_ptr<WorkloadStreams> streams;
  std::unique_ptr<ProxyReports> reports;   // of what proxies run
  std::unique_ptr<ProxyReports> observed;  // and of what they observed
  std::unique_ptr<grpc::Service> workload_service;
  std::unique_ptr<grpc::Service> mesh_service;
  std::unique_ptr<grpc::Service> node_status_service;
  std::atomic<const LocalServer*> server_of_calls = nullptr;
  std::unique_ptr<LocalServer> server;
  std::unique_ptr<AuthorityLink> link;
  // The renewer asks for the link's client, and the link wakes the renewer: each looks here first.
  std::atomic<AuthorityLink*> current_link = nullptr;
  std::atomic<SvidRenewer*> current_renewer = nullptr;
  std::unique_ptr<SvidRenewer> renewer;
  std::unique_ptr<MetricsEndpoint> metrics;
};

absl::Status Agent::Parts::Serve(const AgentSettings& settings, const Clock& clock) {
  const std::string& path = settings.socket_path;
  const auto peer_of = [this](const grpc::ServerContextBase& call) {
    const LocalServer* const at = server_of_calls.load();
    return at == nullptr ? nullptr : at->PeerOf(call);
  };
  workload_service = NewWorkloadService(*streams, peer_of);
  mesh_service = NewMeshService(*streams, *reports, *observed, clock, peer_of);
  node_status_service = NewNodeStatusService(kVersion, settings.authority_address, [this, &clock]() -> NodeStatus {
    AuthorityLink* const at = current_link.load();
    if (at != nullptr) return StatusOf(*at);
    return {.agent = {}, .not_after = {}, .connected = false, .since = clock.Now(), .last_error = ""};
  });
  std::error_code ignored;  // LocalServer says what is wrong
  std::filesystem::create_directory(std::filesystem::path(path).parent_path(), ignored);
  LocalServer::Options options;
  options.path = path;
  options.mode = kSocketMode;
  options.max_message_bytes = kMaxRequestBytes;
  absl::StatusOr<std::unique_ptr<LocalServer>> started =
      LocalServer::Start(options, {workload_service.get(), mesh_service.get(), node_status_service.get()});
  if (!started.ok()) return started.status();
  server = *std::move(started);
  server_of_calls = server.get();
  socket_path = path;
  Log(LogLevel::kInfo, "listening", {{"socket", path}});
  return absl::OkStatus();
}

void Agent::Parts::Restore() {
  std::optional<KeptWorkloads> kept =
      OrNothing<KeptWorkloads>(data_dir->LoadWorkloads(), "workloads wait for the authority");
  if (!kept.has_value() || kept->state.bundles.Find(trust_domain) == nullptr) return;
  const size_t entries = kept->state.entries.size();
  cache.Restore(*std::move(kept));
  Log(LogLevel::kInfo, "kept workloads restored", {{"entries", entries}});
}

void Agent::Parts::StateChanged() {
  streams->Changed();
  const auto view = cache.view();
  if (view == nullptr || serving_logged.exchange(true)) return;
  Log(LogLevel::kInfo, "serving",
      {{"socket", socket_path}, {"trust_domain", trust_domain.name()}, {"entries", view->items.size()}});
}

// Once for each number there is.
void Agent::Parts::TellOfEntriesLeftOut() {
  const size_t left_out = cache.left_out();
  if (told_left_out.exchange(left_out) == left_out) return;
  Log(left_out > 0 ? LogLevel::kError : LogLevel::kInfo,
      left_out > 0 ? "this node has more entries than it serves; delete some, or give them another parent"
                   : "all entries of this node are served again",
      {{"left_out", left_out}, {"served_at_most", SvidCache::kMaxEntries}});
}

NodeStatus Agent::Parts::StatusOf(const AuthorityLink& at) const {
  NodeStatus status = at.status();
  const size_t left_out = cache.left_out();
  if (status.connected && left_out > 0) {
    status.last_error = absl::StrCat(left_out, " entries of this node are left out, as it serves no more than ",
                                     SvidCache::kMaxEntries);
  }
  return status;
}

AgentFigures Agent::Parts::Figures(absl::Time start_time) const {
  AgentFigures figures;
  figures.view = cache.view();
  figures.svids_renewed = renewer->stats().renewed;
  figures.svid_failures = renewer->stats().failed;
  figures.entries_left_out = cache.left_out();
  const WorkloadStreams::Stats calls = streams->stats();
  figures.streams_open = calls.open;
  figures.streams_refused = calls.refused_limit;
  figures.answers_sent = calls.answers_sent;
  const LocalServer::Stats connections = server->stats();
  figures.connections_refused = connections.refused_limit;
  figures.connections_ended = connections.ended_limit;
  figures.statuses_left_out = reports->left_out();
  figures.observed_left_out = observed->left_out();
  figures.connected = link->client() != nullptr;
  figures.connections = link->connections();
  figures.node_not_after = link->node_not_after();
  figures.start_time = start_time;
  return figures;
}

// Last of all, so that everything it asks is there.
absl::Status Agent::Parts::ServeMetrics(const std::string& address, const Clock& clock) {
  if (address.empty()) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<MetricsEndpoint>> started =
      MetricsEndpoint::Start(address, [this, &clock, start_time = clock.Now()] {
        return AgentMetricsText(Figures(start_time), ReadProcessStats(), clock.Now());
      });
  if (!started.ok()) return started.status();
  metrics = *std::move(started);
  return absl::OkStatus();
}

// An outage hurts the sooner the shorter the SVIDs live.
absl::Duration Agent::Parts::LongestReconnect() const {
  return std::clamp(cache.ShortestLifetime() / 10, kShortestReconnect, kLongestReconnect);
}

std::shared_ptr<AuthorityClient> Agent::Parts::Client() const {
  AuthorityLink* const at = current_link.load();
  return at == nullptr ? nullptr : at->client();
}

void Agent::Parts::MakeReports() {
  using Report = absl::Status (AuthorityClient::*)(const std::vector<std::string>&, absl::Duration);
  const auto by = [this](Report report) {
    return [this, report](const std::vector<std::string>& all) -> absl::Status {
      const std::shared_ptr<AuthorityClient> client = Client();
      if (client == nullptr) return absl::UnavailableError("not connected");
      return (client.get()->*report)(all, kReportTimeout);
    };
  };
  reports = std::make_unique<ProxyReports>(ProxyReports::Options{.send = by(&AuthorityClient::ReportProxies)});
  observed = std::make_unique<ProxyReports>(ProxyReports::Options{.max_bytes = kMaxObservedReportBytes,
                                                                  .gather = kObservedGather,
                                                                  .send = by(&AuthorityClient::ReportObserved)});
}

void Agent::Parts::Connect(std::optional<NodeIdentity> node, const Clock& clock, Random& random) {
  renewer = std::make_unique<SvidRenewer>(
      cache,
      SvidRenewer::Connection{
          .current = [this] { return Client(); },
          .broken =
              [this](const std::shared_ptr<AuthorityClient>& client, const absl::Status& why) {
                current_link.load()->Broken(client, why);
              }},
      [this](const KeptWorkloads& kept) { return data_dir->SaveWorkloads(kept); }, clock);
  current_renewer = renewer.get();
  link = std::make_unique<AuthorityLink>(
      AuthorityLink::Options{
          .trust_domain = trust_domain,
          .dial = [this](const NodeIdentity& as) { return dialer.Dial(as); },
          .attest = [this](const std::string& csr_der,
                           const BundleSet* known) { return dialer.Attest(csr_der, known); },
          .keep = [this](const NodeIdentity& identity) { return data_dir->SaveNode(identity); },
          .on_state =
              [this](NodeState state) {
                cache.SetState(std::move(state));
                TellOfEntriesLeftOut();
                current_renewer.load()->Wake();
              },
          .on_connected =
              [this] {
                current_renewer.load()->Wake();
                reports->Connected();
                observed->Connected();
              },
          .longest_wait = [this] { return LongestReconnect(); }},
      std::move(node), clock, random);
  current_link = link.get();
  renewer->Wake();
}

Agent::Parts::~Parts() {
  metrics.reset();  // it asks all the others
  // The link ends first: that cancels the call which the renewer may wait for, and nothing wakes the renewer after it.
  if (link != nullptr) link->Stop();
  renewer.reset();
  if (streams != nullptr) streams->Stop();
  if (server != nullptr) server->Shutdown(kStopGrace);
  reports.reset();  // no call is left to report; it asks the link for a client
  observed.reset();
}

absl::StatusOr<std::unique_ptr<Agent>> Agent::Start(const AgentSettings& settings, const Clock& clock,
                                                    Random& random) {
  auto parts = std::make_unique<Parts>(settings, clock, random);
  absl::StatusOr<std::unique_ptr<DataDir>> data_dir = DataDir::Open(settings.data_dir, random);
  if (!data_dir.ok()) return data_dir.status();
  parts->data_dir = *std::move(data_dir);
  Parts* const borrowed = parts.get();
  absl::StatusOr<std::unique_ptr<WorkloadStreams>> streams =
      WorkloadStreams::Start({}, [borrowed] { return borrowed->cache.view(); }, *parts->processes, clock);
  if (!streams.ok()) return streams.status();
  parts->streams = *std::move(streams);
  parts->cache.OnChange([borrowed] { borrowed->StateChanged(); });
  std::optional<NodeIdentity> node = KeptNode(*parts->data_dir, settings.trust_domain, clock.Now());
  parts->MakeReports();
  const absl::Status serving = parts->Serve(settings, clock);
  if (!serving.ok()) return serving;
  parts->Restore();
  parts->Connect(std::move(node), clock, random);
  if (absl::Status metrics = parts->ServeMetrics(settings.admin_address, clock); !metrics.ok()) return metrics;
  return std::unique_ptr<Agent>(new Agent(std::move(parts)));
}

Agent::Agent(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Agent::~Agent() = default;

}  // namespace lanyard
