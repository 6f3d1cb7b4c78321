// Whole proxies: two real processes with an echo server behind them.
#include "proxy/proxy.h"

#include <signal.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/base/atomic_file.h"
#include "identity/spiffe/fake_ca.h"
#include "proxy/control/fake_mesh_service.h"
#include "proxy/echo_testing.h"
#include "proxy/process_testing.h"

namespace lanyard {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class ProxyTest : public testing::Test {
 protected:
  ProxyTest() : folder_(testing::TempDir() + "/proxy_test_XXXXXX") {
    EXPECT_NE(mkdtemp(folder_.data()), nullptr);
    Write("bundle.pem", ca_.Bundle().ToPem());
  }

  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(folder_ + "/" + name, text, 0600).ok());
  }
  // Returns the serial.
  std::string Issue(const std::string& name) {
    const FakeLeaf leaf = ca_.Leaf("spiffe://td/" + name);
    Write(name + ".pem", leaf.ChainPem());
    Write(name + ".key", leaf.KeyPem());
    return leaf.Svid().leaf().serial();
  }
  std::string Config(const std::string& name, const std::string& listener, const std::string& rest = "") {
    return absl::StrCat("identity: {files: {certificate: ", folder_, "/", name, ".pem, key: ", folder_, "/", name,
                        ".key, bundle: ", folder_, "/bundle.pem}}\nadmin: {address: \"127.0.0.1:0\"}\nworkers: 2\n",
                        "log: {format: json, level: debug}\nlisteners: [", listener, "]\n", rest);
  }
  std::unique_ptr<ProxyProcess> Run(const std::string& name, const std::string& config) {
    Write(name + ".yaml", config);
    return std::make_unique<ProxyProcess>(std::vector<std::string>{"run", "--config", folder_ + "/" + name + ".yaml"});
  }
  std::string InboundListener(const std::string& peer) const {
    return absl::StrCat("{name: in, inbound: {address: \"127.0.0.1:0\", destination: \"", echo_.address().ToString(),
                        "\", peers: [\"", peer, "\"]}}");
  }
  std::unique_ptr<ProxyProcess> RunServer(const std::string& rest = "") {
    Issue("server");
    return Run("server", Config("server", InboundListener("spiffe://td/client"), rest));
  }
  std::unique_ptr<ProxyProcess> RunClient(ProxyProcess& server, const std::string& rest = "") {
    Issue("client");
    const std::string in = server.AwaitAddress("in").value().ToString();
    return Run("client", Config("client",
                                absl::StrCat("{name: out, outbound: {address: \"127.0.0.1:0\", destination: \"", in,
                                             "\", peers: [\"spiffe://td/server\"]}}"),
                                rest));
  }
  static std::string Page(ProxyProcess& proxy, const std::string& path) {
    return HttpGet(proxy.AwaitAddress("admin").value(), path);
  }

  const FakeCa ca_ = FakeCa::Root("td");
  std::string folder_;
  EchoServer echo_;
};

TEST_F(ProxyTest, CarriesBytesBetweenTwoIdentitiesAndSaysSo) {
  const auto server = RunServer();
  const auto client = RunClient(*server);
  EchoClient connection(client->AwaitAddress("out").value());
  EXPECT_TRUE(connection.Echoes("hello"));
  EXPECT_THAT(Page(*client, "/ready"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Page(*client, "/identity"), HasSubstr("spiffe://td/client"));
  EXPECT_THAT(Page(*server, "/connections"), HasSubstr("\"peer_id\": \"spiffe://td/client\""));
  connection.Close();
  EXPECT_NE(server->AwaitLine({"\"connection closed\"", "spiffe://td/client", "spiffe://td/server", "\"normal\""}), "");
  EXPECT_NE(client->AwaitLine({"\"connection closed\"", "spiffe://td/client", "spiffe://td/server", "\"normal\""}), "");
  EXPECT_THAT(Page(*server, "/metrics"), HasSubstr("connections_accepted_total{direction=\"inbound\"} 1\n"));
}

TEST_F(ProxyTest, WaitsForItsFirstIdentityAndThenServesWhoWasWaiting) {
  const auto server = Run("server", Config("server", InboundListener("spiffe://td/client")));
  EXPECT_NE(server->AwaitLine({"\"waiting for an identity\"", "server.pem"}), "");
  Issue("server");
  EXPECT_NE(server->AwaitLine({"\"identity\"", "spiffe://td/server"}), "");
  const auto client = RunClient(*server);
  EXPECT_TRUE(EchoClient(client->AwaitAddress("out").value()).Echoes("hello"));
}

// A socket's path has a hundred bytes: no room for the folder of a test.
class ProxyWithMeshTest : public ProxyTest {
 protected:
  ProxyWithMeshTest() { EXPECT_NE(mkdtemp(sockets_.data()), nullptr); }
  ~ProxyWithMeshTest() override { std::filesystem::remove_all(sockets_); }
  std::string Path() const { return sockets_ + "/agent.sock"; }
  std::string Mesh() const {
    return absl::StrCat("mesh: {address: \"unix://", Path(), "\", state_file: \"", folder_, "/mesh.view\"}\n");
  }
  std::string sockets_ = "/tmp/lanyard.XXXXXX";
};

TEST_F(ProxyWithMeshTest, CallersWaitForWordOfWhoIsBanned) {
  FakeMeshService agent(Path());
  const auto server = RunServer(Mesh());
  ASSERT_TRUE(agent.WaitForStatus([](const auto& status) { return status.spiffe_id() == "spiffe://td/server"; }));
  EXPECT_THAT(server->Output(), Not(HasSubstr("\"serving\"")));
  mesh::v1::View view;
  view.add_bans()->set_spiffe_id("spiffe://td/client");
  agent.Send(view);
  const auto client = RunClient(*server);
  EXPECT_FALSE(EchoClient(client->AwaitAddress("out").value()).Echoes("hello"));
  EXPECT_NE(server->AwaitLine({"\"banned\"", "spiffe://td/client"}), "");
  EXPECT_THAT(Page(*server, "/metrics"), HasSubstr("lanyard_proxy_mesh_bans_known 1\n"));
}

TEST_F(ProxyWithMeshTest, WithoutWordOfWhoIsBannedItServesAfterAWhileAndSaysSo) {
  const auto server = RunServer(Mesh());
  EXPECT_NE(server->AwaitLine({"serving without the mesh's bans"}), "");
  const auto client = RunClient(*server);
  EXPECT_TRUE(EchoClient(client->AwaitAddress("out").value()).Echoes("hello"));
  EXPECT_THAT(Page(*server, "/ready"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(Page(*server, "/metrics"), HasSubstr("lanyard_proxy_mesh_bans_known 0\n"));
}

TEST_F(ProxyWithMeshTest, AnAgentThatKnowsNoMeshIsNotWaitedFor) {
  FakeMeshService agent(Path());
  agent.Fail(grpc::StatusCode::UNIMPLEMENTED, "unknown service");
  const auto server = RunServer(Mesh());
  EXPECT_TRUE(server->AwaitAddress("in").has_value());
  EXPECT_THAT(server->Output(), Not(HasSubstr("serving without the mesh's bans")));
}

TEST_F(ProxyTest, KeysRotateUnderTrafficAndNothingIsLost) {
  const auto server = RunServer();
  const auto client = RunClient(*server);
  const SocketAddress out = client->AwaitAddress("out").value();
  EchoClient lasting(out);
  ASSERT_TRUE(lasting.Echoes("before"));
  std::atomic<bool> stop = false;
  std::atomic<int> requests = 0, failures = 0;
  std::thread load([&] {
    while (!stop) {
      if (!EchoClient(out).Echoes("request")) ++failures;
      ++requests;
    }
  });
  for (int rotation = 0; rotation < 4; ++rotation) {
    const std::string server_serial = Issue("server"), client_serial = Issue("client");
    EXPECT_NE(server->AwaitLine({"\"identity\"", server_serial}), "");
    EXPECT_NE(client->AwaitLine({"\"identity\"", client_serial}), "");
    EXPECT_NE(server->AwaitLine({"\"view acknowledged\""}), "");
    EXPECT_TRUE(lasting.Echoes(absl::StrCat("after rotation ", rotation)));
  }
  stop = true;
  load.join();
  EXPECT_EQ(failures, 0) << "of " << requests;
  EXPECT_GT(requests, 4);
  EXPECT_THAT(Page(*server, "/metrics"), HasSubstr("lanyard_proxy_identity_rotations_total 5\n"));
}

TEST_F(ProxyTest, AHalfWrittenIdentityKeepsTheOld) {
  const auto server = RunServer();
  const auto client = RunClient(*server);
  const SocketAddress out = client->AwaitAddress("out").value();
  Write("server.key", ca_.Leaf("spiffe://td/server").KeyPem());
  EXPECT_NE(server->AwaitLine({"\"identity kept\"", "server.key"}), "");
  EXPECT_TRUE(EchoClient(out).Echoes("still"));
  EXPECT_THAT(Page(*server, "/ready"), StartsWith("HTTP/1.1 200"));
}

TEST_F(ProxyTest, AChangedPolicyClosesWhatItNoLongerAllowsAndABrokenOneDoesNot) {
  const auto server = RunServer();
  const auto client = RunClient(*server);
  const SocketAddress out = client->AwaitAddress("out").value();
  EchoClient connection(out);
  ASSERT_TRUE(connection.Echoes("allowed"));
  Write("server.yaml", Config("server", InboundListener("not an id")));
  EXPECT_NE(server->AwaitLine({"\"configuration kept\"", "listeners[0].inbound.peers[0]"}), "");
  EXPECT_TRUE(connection.Echoes("still allowed"));
  Write("server.yaml", Config("server", InboundListener("spiffe://td/*")));
  EXPECT_NE(server->AwaitLine({"\"configuration applied\""}), "");
  EXPECT_NE(server->AwaitLine({"\"view acknowledged\""}), "");
  EXPECT_TRUE(connection.Echoes("allowed by another rule"));
  Write("server.yaml", Config("server", InboundListener("spiffe://td/somebody-else")));
  EXPECT_NE(server->AwaitLine({"\"connection closed\"", "\"policy_changed\""}), "");
  EXPECT_FALSE(connection.Echoes("no more"));
  EXPECT_FALSE(EchoClient(out).Echoes("nor a new one"));
}

TEST_F(ProxyTest, SigtermLetsConnectionsFinishAndTakesNoNewOnes) {
  const auto server = RunServer();
  const auto client = RunClient(*server);
  const SocketAddress out = client->AwaitAddress("out").value();
  EchoClient connection(out);
  ASSERT_TRUE(connection.Echoes("before"));
  client->Signal(SIGTERM);
  EXPECT_NE(client->AwaitLine({"\"draining\""}), "");
  EXPECT_TRUE(AwaitRefused(out));
  EXPECT_TRUE(connection.Echoes("while draining"));
  EXPECT_THAT(Page(*client, "/ready"), StartsWith("HTTP/1.1 503"));
  EXPECT_THAT(Page(*client, "/ready"), HasSubstr("draining"));
  EXPECT_THAT(Page(*client, "/live"), StartsWith("HTTP/1.1 200"));
  connection.Close();
  EXPECT_EQ(client->AwaitExit(), 0);
  EXPECT_THAT(client->Output(), HasSubstr("\"all_connections_finished\":true"));
}

TEST_F(ProxyTest, WhatHasNotFinishedAtTheDrainDeadlineIsClosed) {
  const auto server = RunServer();
  const auto client = RunClient(*server, "drain_deadline: 100ms\n");
  EchoClient connection(client->AwaitAddress("out").value());
  ASSERT_TRUE(connection.Echoes("before"));
  client->Signal(SIGTERM);
  EXPECT_EQ(client->AwaitExit(), 0);
  EXPECT_THAT(client->Output(), HasSubstr("\"drain_deadline\""));
  EXPECT_THAT(client->Output(), HasSubstr("\"all_connections_finished\":false"));
}

TEST_F(ProxyTest, ASecondSignalEndsAtOnce) {
  const auto server = RunServer();
  const auto client = RunClient(*server, "drain_deadline: 1h\n");
  EchoClient connection(client->AwaitAddress("out").value());
  ASSERT_TRUE(connection.Echoes("before"));
  client->Signal(SIGTERM);
  EXPECT_NE(client->AwaitLine({"\"draining\""}), "");
  client->Signal(SIGINT);
  EXPECT_EQ(client->AwaitExit(), 128 + SIGINT);
}

TEST_F(ProxyTest, AnOutboundListenerThatOthersReachIsWarnedOf) {
  Issue("client");
  const auto listener = [](const std::string& name, const std::string& address) {
    return absl::StrCat("{name: ", name, ", outbound: {address: \"", address,
                        "\", destination: \"127.0.0.1:1\", peers: [\"spiffe://td/server\"]}}");
  };
  const auto proxy = Run("client", Config("client", absl::StrCat(listener("near", "127.0.0.1:0"), ", ",
                                                                 listener("far", "0.0.0.0:0"))));
  EXPECT_TRUE(proxy->AwaitAddress("far").has_value());
  const std::string output = proxy->Output();
  EXPECT_THAT(output, HasSubstr("whoever reaches it calls as this workload"));
  EXPECT_THAT(output, HasSubstr("\"listener\":\"far\""));
  EXPECT_THAT(output, Not(HasSubstr("\"listener\":\"near\"")));
}

TEST_F(ProxyTest, ABusyPortIsAnErrorBeforeAnythingStarts) {
  Issue("server");
  const std::string listener = absl::StrCat("{name: in, inbound: {address: \"", echo_.address().ToString(),
                                            "\", destination: \"127.0.0.1:1\", peers: [\"spiffe://td/*\"]}}");
  const auto proxy = Run("server", Config("server", listener));
  EXPECT_EQ(proxy->AwaitExit(), 1);
  EXPECT_THAT(proxy->Output(), HasSubstr(echo_.address().ToString()));
}

TEST_F(ProxyTest, ASecondProxyDoesNotShareTheFirstOnesPort) {
  const auto first = RunServer();
  const std::string address = first->AwaitAddress("in").value().ToString();
  const std::string listener = absl::StrCat("{name: in, inbound: {address: \"", address,
                                            "\", destination: \"127.0.0.1:1\", peers: [\"spiffe://td/*\"]}}");
  const auto second = Run("second", Config("server", listener));
  EXPECT_EQ(second->AwaitExit(), 1);
  EXPECT_THAT(second->Output(), HasSubstr(address + " is in use by another process"));
}

}  // namespace
}  // namespace lanyard
