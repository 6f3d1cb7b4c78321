#include "proxy/config.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr char kMinimal[] = R"(
identity: {workload_api: "unix:///run/lanyard/agent.sock"}
listeners:
  - {name: out, outbound: {address: "127.0.0.1:8080", destination: "10.0.0.2:15008", peers: ["spiffe://td/web"]}}
)";

absl::StatusOr<ProxySettings> Parse(const std::string& text, ProxyEnvironment environment = {"", 3}) {
  return ParseProxySettings(text, "proxy.yaml", environment);
}

std::string Mistakes(const std::string& text, ProxyEnvironment environment = {"", 3}) {
  const absl::StatusOr<ProxySettings> settings = Parse(text, environment);
  EXPECT_FALSE(settings.ok()) << text;
  EXPECT_EQ(settings.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(settings.status().message());
}

TEST(ProxySettings, DefaultsAreFilledIn) {
  const ProxySettings settings = Parse(kMinimal).value();
  EXPECT_EQ(settings.workload_api, "unix:/run/lanyard/agent.sock");
  EXPECT_FALSE(settings.identity_files.has_value());
  EXPECT_FALSE(settings.spiffe_id.has_value());
  EXPECT_EQ(settings.workers, 3);
  EXPECT_EQ(settings.admin->ToString(), "127.0.0.1:15000");
  EXPECT_EQ(settings.drain_deadline, absl::Seconds(30));
  EXPECT_EQ(settings.limits.max_connections, 8192u);
  EXPECT_EQ(settings.limits.idle_timeout, absl::ZeroDuration());
  EXPECT_EQ(settings.limits.max_idle_links, 1024u);
  EXPECT_EQ(settings.limits.link_ping_after, absl::Seconds(5));
  EXPECT_EQ(settings.rules.on_svid_expiry, OnSvidExpiry::kReauthenticate);
  EXPECT_TRUE(settings.session_resumption);
  EXPECT_TRUE(settings.mesh_protocol);
  EXPECT_EQ(settings.log.level, LogLevel::kInfo);
}

TEST(ProxySettings, EverythingThatIsWrittenIsRead) {
  const ProxySettings settings = Parse(R"(
identity:
  files:
    certificate: /etc/svid.pem
    key: /etc/key.pem
    bundle: /etc/bundle.pem
    federated_bundles: {other.org: /etc/other.pem}
  spiffe_id: spiffe://td/web
workers: 2
admin: {address: "127.0.0.1:9901"}
capture: {outbound_address: ":15001", inbound_address: ":15006"}
routes:
  - {name: mesh, destinations: [10.0.0.0/8, "fd00::/64"], ports: [80, 443], action: mutual_tls,
     peers: ["spiffe://td/*"]}
  - {name: metadata, destinations: [169.254.169.254], action: refuse}
default_route: pass_through
inbound:
  rules:
    - {name: web, ports: [8080], peers: ["spiffe://td/frontend"]}
    - {name: probe, ports: [9], allow_plaintext: true}
listeners:
  - {name: out, outbound: {address: "127.0.0.1:8080", destination: "web.internal:15008", peers: ["spiffe://td/web"]}}
  - name: in
    inbound: {address: "[::1]:15008", destination: "127.0.0.1:80", peers: ["spiffe://td/*"], allow_plaintext: true}
on_svid_expiry: close
limits: {max_connections: 100, max_handshakes: 10, buffer_bytes: 16384, connect_timeout: 1s, handshake_timeout: 2s,
         sniff_timeout: 50ms, idle_timeout: 1h}
mesh_links: {max_idle: 30, max_idle_per_destination: 20, max_handshakes: 4, idle_timeout: 10s, ping_after: 0s,
             ping_timeout: 250ms}
drain_deadline: 5s
tls: {full_handshakes: true, plain: true}
log: {level: debug, format: json}
)")
                                     .value();
  EXPECT_EQ(settings.workload_api, "");
  EXPECT_THAT(settings.identity_files->Paths(),
              ElementsAre("/etc/svid.pem", "/etc/key.pem", "/etc/bundle.pem", "/etc/other.pem"));
  EXPECT_EQ(settings.spiffe_id->ToString(), "spiffe://td/web");
  EXPECT_EQ(settings.workers, 2);
  EXPECT_EQ(settings.admin->port(), 9901);
  ASSERT_EQ(settings.listeners.size(), 4u);
  EXPECT_EQ(settings.listeners[0].name, "capture-outbound");
  EXPECT_EQ(settings.listeners[1].kind, ListenerKind::kInboundCapture);
  EXPECT_EQ(settings.listeners[2].destination, "web.internal:15008");
  EXPECT_EQ(settings.listeners[3].kind, ListenerKind::kInboundStatic);
  EXPECT_EQ(settings.rules.routes.Find(SocketAddress::Parse("10.1.1.1:443").value()).name, "mesh");
  EXPECT_EQ(settings.rules.routes.Find(SocketAddress::Parse("169.254.169.254:80").value()).name, "metadata");
  EXPECT_EQ(settings.rules.routes.Find(SocketAddress::Parse("8.8.8.8:53").value()).action, RouteAction::kPassThrough);
  EXPECT_EQ(settings.rules.inbound.rules().size(), 2u);
  EXPECT_EQ(settings.rules.listener_routes[2].peers.front().ToString(), "spiffe://td/web");
  EXPECT_TRUE(settings.rules.listener_policies[3].AllowsPlaintext(15008));
  EXPECT_EQ(settings.rules.on_svid_expiry, OnSvidExpiry::kClose);
  EXPECT_EQ(settings.limits.sniff_timeout, absl::Milliseconds(50));
  EXPECT_EQ(settings.limits.buffer_bytes, 16384u);
  EXPECT_EQ(settings.limits.max_idle_links, 30u);
  EXPECT_EQ(settings.limits.max_idle_links_per_destination, 20u);
  EXPECT_EQ(settings.limits.max_link_handshakes, 4u);
  EXPECT_EQ(settings.limits.idle_link_timeout, absl::Seconds(10));
  EXPECT_EQ(settings.limits.link_ping_after, absl::ZeroDuration());
  EXPECT_EQ(settings.limits.link_ping_timeout, absl::Milliseconds(250));
  EXPECT_EQ(settings.drain_deadline, absl::Seconds(5));
  EXPECT_FALSE(settings.session_resumption);
  EXPECT_FALSE(settings.mesh_protocol);
  EXPECT_EQ(settings.log.format, LogFormat::kJson);
}

TEST(ProxySettings, TheEnvironmentGivesTheWorkloadApi) {
  const std::string text = "capture: {inbound_address: ':15006'}";
  EXPECT_EQ(Parse(text, {"unix:///run/spire/agent.sock", 1}).value().workload_api, "unix:/run/spire/agent.sock");
  EXPECT_THAT(Mistakes(text), HasSubstr("identity: nothing says where the identity comes from"));
}

TEST(ProxySettings, EveryMistakeIsReportedAtOnce) {
  const std::string mistakes = Mistakes(R"(
identity: {workload_api: "unix:///a.sock", files: {certificate: a, key: b, bundle: c}, spiffe_id: "spiffe://td"}
worker: 3
admin: {address: ":15000"}
capture: {outbound_address: ":15001", inbound_address: "127.0.0.1:15001"}
routes:
  - {destinations: [10.0.0.1/8], ports: [0, 70000], action: mutual_tls}
  - {name: b, action: pass_through, peers: ["spiffe://td/*"]}
  - {name: b, peers: ["http://x"]}
default_route: mutual_tls
inbound: {rules: [{name: "two words", peers: []}]}
listeners:
  - {name: nowhere}
  - {name: out, outbound: {address: "nohost", destination: "10.0.0.2"}}
  - {name: in, inbound: {address: "127.0.0.1:99999", destination: "127.0.0.1:80"}}
on_svid_expiry: sometimes
limits: {buffer_bytes: 10, connect_timeout: 0s}
mesh_links: {max_idle: 3, max_idle_per_destination: 4, max_handshakes: 2000000, idle_timeout: 1ms, ping_timeout: 0s}
drain_deadline: 100h
log: {level: loud}
)");
  for (const char* path : {"identity:",
                           "identity.spiffe_id:",
                           "worker:",
                           "admin.address:",
                           "capture.inbound_address:",
                           "routes[0].name:",
                           "routes[0].destinations[0]:",
                           "routes[0].ports[0]:",
                           "routes[0].ports[1]:",
                           "routes[0].peers:",
                           "routes[1].peers:",
                           "routes[2].name:",
                           "routes[2].action:",
                           "routes[2].peers[0]:",
                           "default_route:",
                           "inbound.rules[0].name:",
                           "inbound.rules[0].peers:",
                           "listeners[0]:",
                           "listeners[1].outbound.address:",
                           "listeners[1].outbound.destination:",
                           "listeners[1].outbound.peers:",
                           "listeners[2].inbound.address:",
                           "listeners[2].inbound.peers:",
                           "on_svid_expiry:",
                           "limits.buffer_bytes:",
                           "limits.connect_timeout:",
                           "mesh_links.max_idle_per_destination: 4 is more than the 3 of mesh_links.max_idle: lower it",
                           "mesh_links.max_handshakes:",
                           "mesh_links.idle_timeout:",
                           "mesh_links.ping_timeout:",
                           "drain_deadline:",
                           "log.level:"}) {
    EXPECT_THAT(mistakes, HasSubstr(std::string("  ") + path)) << mistakes;
  }
  EXPECT_THAT(mistakes, HasSubstr("proxy.yaml: 32 mistakes")) << mistakes;
}

TEST(ProxySettings, TheAdminAddressIsLoopbackUnlessSpelledOut) {
  const std::string rest = std::string(kMinimal);
  EXPECT_THAT(Mistakes(rest + "admin: {address: ':15000'}"), HasSubstr("write 127.0.0.1:15000, or 0.0.0.0:15000"));
  EXPECT_EQ(Parse(rest + "admin: {address: '0.0.0.0:15000'}").value().admin->ToString(), "0.0.0.0:15000");
  EXPECT_FALSE(Parse(rest + "admin: {disabled: true}").value().admin.has_value());
  EXPECT_THAT(Mistakes(rest + "admin: {disabled: true, address: '127.0.0.1:1'}"), HasSubstr("exclude each other"));
  EXPECT_THAT(Mistakes(rest + "admin: {address: '127.0.0.1:8080'}"), HasSubstr("clashes with listener out"));
}

TEST(ProxySettings, AnImpossibleWorkloadApiIsAMistakeOfItsOwnPath) {
  const std::string rest = "\ncapture: {inbound_address: ':15006'}";
  EXPECT_THAT(Mistakes("identity: {workload_api: 'run/agent.sock'}" + rest), HasSubstr("  identity.workload_api: "));
}

TEST(ProxySettings, FilesNeedAllThree) {
  const std::string mistakes = Mistakes("identity: {files: {key: k.pem}}\ncapture: {inbound_address: ':15006'}");
  EXPECT_THAT(mistakes, HasSubstr("identity.files.certificate:"));
  EXPECT_THAT(mistakes, HasSubstr("identity.files.bundle:"));
  EXPECT_THAT(mistakes, Not(HasSubstr("identity.files.key:")));
}

TEST(ProxySettings, NothingToListenOnIsAMistake) {
  EXPECT_THAT(Mistakes("identity: {workload_api: 'unix:///a.sock'}"), HasSubstr("listeners: there is nothing"));
}

TEST(ProxySettings, FewerConnectionsThanWorkersIsAMistake) {
  EXPECT_THAT(Mistakes(std::string(kMinimal) + "workers: 4\nlimits: {max_connections: 3}"),
              HasSubstr("3 is fewer than the 4 workers"));
}

TEST(ProxySettings, TheMeshIsThatOfTheWorkloadApisAgentUnlessNamed) {
  EXPECT_EQ(Parse(kMinimal)->mesh_address, "unix:/run/lanyard/agent.sock");
  EXPECT_EQ(Parse(kMinimal)->mesh_state_file, "/var/lib/lanyard/proxy/proxy.yaml.view");
  EXPECT_EQ(Parse(kMinimal, {"", 3, "/run/state"})->mesh_state_file, "/run/state/mesh.view");
  EXPECT_EQ(ParseProxySettings(kMinimal, "/etc/lanyard/web.yaml", {"", 3})->mesh_state_file,
            "/var/lib/lanyard/proxy/etc-lanyard-web.yaml.view");
  const auto named = Parse(std::string(kMinimal) + "mesh: {address: 'unix:///m.sock', state_file: /v.view}");
  EXPECT_EQ(named->mesh_address, "unix:/m.sock");
  EXPECT_EQ(named->mesh_state_file, "/v.view");
  const auto disabled = Parse(std::string(kMinimal) + "mesh: {disabled: true}");
  EXPECT_EQ(disabled->mesh_address, "");
  EXPECT_EQ(disabled->mesh_state_file, "");
}

TEST(ProxySettings, RulesOfTheFileHoldWhereThereAreAny) {
  const std::string capture =
      std::string(kMinimal) + "capture: {outbound_address: ':15001', inbound_address: ':15006'}\n";
  EXPECT_FALSE(Parse(capture)->capture_rules);
  EXPECT_TRUE(Parse(capture + "mesh: {disabled: true}")->capture_rules);
  EXPECT_TRUE(Parse(capture + "default_route: refuse")->capture_rules);
  EXPECT_TRUE(Parse(capture + "routes: [{name: a, action: refuse}]")->capture_rules);
  EXPECT_TRUE(Parse(capture + "inbound: {rules: []}")->capture_rules);
}

TEST(ProxySettings, BansAreReadWithTheirEnd) {
  const auto settings = Parse(std::string(kMinimal) + R"(
bans:
  - {spiffe_id: "spiffe://td/mallory", reason: stolen, expires_at: "2026-01-31T12:00:00Z"}
  - {serial: "0A0B"}
)");
  ASSERT_TRUE(settings.ok()) << settings.status();
  ASSERT_EQ(settings->rules.bans.all().size(), 2u);
  const Ban* const mallory =
      settings->rules.bans.FindSubject(*BanSubject::Parse("spiffe://td/mallory"), absl::InfinitePast());
  ASSERT_NE(mallory, nullptr);
  EXPECT_EQ(absl::FormatTime(mallory->expires_at, absl::UTCTimeZone()), "2026-01-31T12:00:00+00:00");
  EXPECT_EQ(mallory->reason, "stolen");
}

TEST(ProxySettings, MistakesOfMeshAndBansAreNamed) {
  const std::string text = kMinimal;
  EXPECT_THAT(Mistakes(text + "mesh: {disabled: true, address: 'unix:///a'}"), HasSubstr("mesh: disabled excludes"));
  EXPECT_THAT(Mistakes(text + "mesh: {address: 'somewhere'}"), HasSubstr("mesh.address:"));
  EXPECT_THAT(Mistakes(text + "bans: [{agent: 'spiffe://td/lanyard/agent/a'}]"), HasSubstr("bans[0].agent: an agent"));
  EXPECT_THAT(Mistakes(text + "bans: [{serial: 0a, expires_at: tomorrow}]"), HasSubstr("bans[0].expires_at:"));
  EXPECT_THAT(Mistakes(text + "bans: [{reason: none}]"), HasSubstr("bans[0]"));
}

TEST(ProxySettings, SharesOfPeersSourcesAndSlowReceivers) {
  const std::string text = kMinimal;
  const ConnectionLimits defaults = Parse(text)->limits;
  EXPECT_EQ(defaults.max_connections_per_peer, 0u);
  EXPECT_EQ(defaults.max_connections_per_source, 3072u);
  EXPECT_EQ(defaults.max_buffered_bytes, 256u << 20);
  EXPECT_EQ(defaults.first_byte_timeout, absl::ZeroDuration());
  EXPECT_EQ(Parse(text + "limits: {max_handshakes: 1}")->limits.max_connections_per_source, 1u);
  EXPECT_EQ(Parse(text + "limits: {max_connections: 1048576}")->limits.max_buffered_bytes, uint64_t{8} << 30);
  const ConnectionLimits set = Parse(text + R"(
limits: {max_connections: 64, max_connections_per_peer: 8, max_connections_per_source: 4, first_byte_timeout: 3s,
         half_closed_timeout: 60s, max_buffered_bytes: 1048576}
)")->limits;
  EXPECT_EQ(set.max_connections_per_peer, 8u);
  EXPECT_EQ(set.max_connections_per_source, 4u);
  EXPECT_EQ(set.first_byte_timeout, absl::Seconds(3));
  EXPECT_EQ(set.half_closed_timeout, absl::Seconds(60));
  EXPECT_EQ(set.max_buffered_bytes, 1u << 20);
}

TEST(ProxySettings, MistakesOfSharesAreNamedTogether) {
  const std::string mistakes = Mistakes(std::string(kMinimal) + R"(
limits: {max_connections: 1024, max_connections_per_peer: 4000000000, max_connections_per_source: 4000000000,
         first_byte_timeout: -1s, half_closed_timeout: 99999999999s, max_buffered_bytes: 1000}
)");
  EXPECT_THAT(mistakes, HasSubstr("limits.max_connections_per_peer: 4000000000 is out of range"));
  EXPECT_THAT(mistakes, HasSubstr("limits.max_connections_per_source: 4000000000 is out of range"));
  EXPECT_THAT(mistakes, HasSubstr("limits.first_byte_timeout:"));
  EXPECT_THAT(mistakes, HasSubstr("limits.half_closed_timeout:"));
  EXPECT_THAT(mistakes, HasSubstr("limits.max_buffered_bytes: 1000 is out of range: write 8388608 (8192 for each"));
}

TEST(WorkerLimits, AreSharesOfTheProcess) {
  ConnectionLimits process;
  process.max_connections = 10;
  process.max_handshakes = 2;
  process.max_buffered_bytes = 101;
  process.max_connections_per_peer = 9;
  const ConnectionLimits share = WorkerLimits(process, 4);
  EXPECT_EQ(share.max_connections, 3u);
  EXPECT_EQ(share.max_handshakes, 1u);
  EXPECT_EQ(share.max_buffered_bytes, 26u);
  EXPECT_EQ(share.max_connections_per_peer, 9u) << "counted by all workers together";
  EXPECT_EQ(share.buffer_bytes, process.buffer_bytes);
  EXPECT_EQ(share.max_idle_links, 256u);
  EXPECT_EQ(share.max_idle_links_per_destination, 64u);
  EXPECT_EQ(share.max_link_handshakes, 8u);
  EXPECT_EQ(share.link_ping_after, process.link_ping_after);
}

TEST(FixedDifferences, RulesMayChangeAndAddressesMayNot) {
  const ProxySettings running = Parse(kMinimal).value();
  std::string text = kMinimal;
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    changed.replace(changed.find(from), from.size(), to);
    return Parse(changed).value();
  };
  EXPECT_THAT(FixedDifferences(running, replaced("spiffe://td/web", "spiffe://td/*")), IsEmpty());
  EXPECT_THAT(FixedDifferences(running, Parse(text + "on_svid_expiry: close").value()), IsEmpty());
  EXPECT_THAT(FixedDifferences(running, replaced("127.0.0.1:8080", "127.0.0.1:8081")),
              ElementsAre(HasSubstr("listeners")));
  EXPECT_THAT(FixedDifferences(running, Parse(text + "workers: 9\nadmin: {disabled: true}").value()),
              ElementsAre("workers", "admin"));
  EXPECT_THAT(FixedDifferences(running, Parse(text + "limits: {buffer_bytes: 8192}\ndrain_deadline: 1s").value()),
              ElementsAre("limits or mesh_links", "drain_deadline"));
  EXPECT_THAT(FixedDifferences(running, Parse(text + "mesh_links: {ping_after: 1s}").value()),
              ElementsAre("limits or mesh_links"));
  EXPECT_THAT(FixedDifferences(running, Parse(text + "tls: {full_handshakes: true}").value()), ElementsAre("tls"));
  EXPECT_THAT(FixedDifferences(running, replaced("agent.sock", "other.sock")), ElementsAre("identity", "mesh"));
  EXPECT_THAT(FixedDifferences(running, Parse(text + "mesh: {disabled: true}").value()), ElementsAre("mesh"));
  EXPECT_THAT(FixedDifferences(running, Parse(text + "bans: [{serial: 0a}]").value()), IsEmpty());
}

TEST(ProxySettings, TheAccessLogStandsInTheProcesssLogUnlessItIsWritten) {
  EXPECT_FALSE(Parse(kMinimal)->access_log.apart);
  EXPECT_EQ(Parse(kMinimal)->access_log.sample_ok, 1);
  const ProxySettings settings =
      Parse(absl::StrCat(kMinimal, "access_log: {path: /var/log/lanyard/access.log, format: text, sample: {ok: 0.01}, "
                                   "max_ordinary_per_second: 50}\n"))
          .value();
  EXPECT_TRUE(settings.access_log.apart);
  EXPECT_EQ(settings.access_log.path, "/var/log/lanyard/access.log");
  EXPECT_FALSE(settings.access_log.json);
  EXPECT_EQ(settings.access_log.sample_ok, 0.01);
  EXPECT_EQ(settings.access_log.max_ordinary_per_second, 50u);
  EXPECT_EQ(Parse(absl::StrCat(kMinimal, "access_log: {sample: {ok: 0}}\n"))->access_log.sample_ok, 0);
  EXPECT_TRUE(Parse(absl::StrCat(kMinimal, "access_log: {}\n"))->access_log.json);
  EXPECT_THAT(FixedDifferences(*Parse(kMinimal), settings), ElementsAre("access_log"));
}

TEST(ProxySettings, MistakesOfTheAccessLogAreNamedTogether) {
  const std::string mistakes =
      Mistakes(absl::StrCat(kMinimal, "access_log: {path: access.log, format: xml, sample: {ok: 1.5}}\n"));
  for (const char* path : {"access_log.path", "access_log.format", "access_log.sample.ok"}) {
    EXPECT_THAT(mistakes, HasSubstr(path));
  }
}

TEST(ProxySettings, TheUpgradeSocketIsWrittenOrStandsInTheRuntimeDirectory) {
  EXPECT_EQ(Parse(kMinimal)->upgrade_socket, "");
  EXPECT_EQ(Parse(kMinimal, {"", 3, "", "/run/proxy"})->upgrade_socket, "/run/proxy/upgrade.sock");
  const auto written = Parse(std::string(kMinimal) + "upgrade: {socket: /u.sock}", {"", 3, "", "/run/proxy"});
  EXPECT_EQ(written->upgrade_socket, "/u.sock");
  EXPECT_EQ(FixedDifferences(*Parse(kMinimal), *written), std::vector<std::string>{"upgrade"});
  EXPECT_EQ(Parse(std::string(kMinimal) + "upgrade: {disabled: true}", {"", 3, "", "/run/proxy"})->upgrade_socket, "");
  for (const std::string wrong : {"{socket: u.sock}", "{disabled: true, socket: /u.sock}"}) {
    EXPECT_FALSE(Parse(std::string(kMinimal) + "upgrade: " + wrong).ok()) << wrong;
  }
  EXPECT_FALSE(Parse(std::string(kMinimal) + "upgrade: {socket: /" + std::string(120, 'u') + "}").ok());
}

}  // namespace
}  // namespace lanyard
