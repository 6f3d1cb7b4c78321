#include "identity/cli/capture_findings.h"

#include <cerrno>
#include <optional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/capture/script.h"

namespace lanyard {
namespace {

using ::testing::HasSubstr;
using Level = Finding::Level;

CaptureRules Rules(const std::vector<std::string>& words) { return RulesFromWords(words, {}).value(); }
const CaptureRules kUsual = Rules({"--proxy-uid 7"});
const CaptureRules kTproxy = Rules({"--proxy-uid 7", "--mode tproxy"});

TcpSocket Listening(const std::string& address, uint16_t port, uint32_t uid = 7) {
  TcpSocket socket;
  socket.local_address = address;
  socket.local_port = port;
  socket.listening = socket.owned = true;
  socket.uid = uid;
  return socket;
}

std::vector<Finding> JudgeFound(const absl::StatusOr<std::optional<CaptureInForce>>& found,
                                absl::Status tproxy = absl::OkStatus()) {
  return JudgeCaptureRules(found, absl::OkStatus(), tproxy);
}

void ExpectProblem(const Finding& finding, const std::string& detail, const std::string& remedy) {
  EXPECT_EQ(finding.level, Level::kProblem) << finding.detail;
  EXPECT_THAT(finding.detail, HasSubstr(detail));
  EXPECT_THAT(finding.remedy, HasSubstr(remedy));
}

TEST(CaptureFindingsTest, RulesThatAreAbsentOrOfAnotherVersion) {
  ExpectProblem(JudgeFound(std::optional<CaptureInForce>())[0], "bypass the proxy", "capture up");
  EXPECT_EQ(JudgeFound(std::optional<CaptureInForce>(), absl::InternalError("x")).back().level, Level::kNote);
  CaptureInForce older;
  ExpectProblem(JudgeFound(std::optional<CaptureInForce>(older))[0], "another version", "again");
  older.shape = kCaptureShape;
  EXPECT_EQ(JudgeFound(std::optional<CaptureInForce>(older))[0].level, Level::kGood);
  ExpectProblem(JudgeFound(absl::PermissionDeniedError("CAP_NET_ADMIN"))[0], "CAP_NET_ADMIN", "root");
  ExpectProblem(JudgeCaptureRules(std::optional<CaptureInForce>(), absl::InternalError("no nat"), {})[1], "no nat",
                "CONFIG_NF_TABLES");
}

TEST(CaptureFindingsTest, ServersWhoseCallersAreTakenUnaskedAreNamed) {
  const std::vector<TcpSocket> sockets = {Listening("0.0.0.0", 7443, 0), Listening("::", 22, 0), Listening("::", 22, 0),
                                          Listening("127.0.0.1", 631, 0), Listening("::1", 25, 0),
                                          Listening("::", 15006), Listening("127.0.0.1", 15000)};
  EXPECT_EQ(ServersBehind(kUsual, sockets), (std::vector<uint16_t>{22, 7443}));
  EXPECT_EQ(ServersBehind(Rules({"--proxy-uid 7", "--exclude-inbound-ports 20-25"}), sockets),
            (std::vector<uint16_t>{7443}));
  EXPECT_TRUE(ServersBehind(Rules({"--proxy-uid 7", "--include-inbound-ports 22"}), sockets).empty());
  TcpSocket connected = Listening("10.0.0.1", 80, 0);
  connected.listening = false;
  EXPECT_TRUE(ServersBehind(kUsual, {connected}).empty());
  EXPECT_THAT(WarningOfServers({22, 7443}), HasSubstr("--exclude-inbound-ports 22,7443"));
  EXPECT_EQ(WarningOfServers({}), "");
}

TEST(CaptureFindingsTest, RoutesThatAreMissingAreNamed) {
  PolicyRoutes routes = {true, true, true, false, true};
  ExpectProblem(JudgeCaptureRoutes(kTproxy, routes)[0], "the IPv6 rule", "capture up");
  routes.has_v6 = false;
  EXPECT_EQ(JudgeCaptureRoutes(kTproxy, routes)[0].level, Level::kGood);
  EXPECT_TRUE(JudgeCaptureRoutes(kUsual, PolicyRoutes()).empty());
}

TEST(CaptureFindingsTest, ATableThatComesFirstIsAProblemAndOthersAreNot) {
  ExpectProblem(JudgeOtherTables(kUsual, {{"ip nat", "output", -101}})[0], "table ip nat", "nft list table ip nat");
  EXPECT_EQ(JudgeOtherTables(kTproxy, {{"ip nat", "output", -100}})[0].level, Level::kNote);
  EXPECT_TRUE(JudgeOtherTables(kUsual, {}).empty());
}

TEST(CaptureFindingsTest, AProxyThatListensInBothFamiliesIsGood) {
  for (const Finding& finding : JudgeCaptureListeners(kUsual, {Listening("::", 15001), Listening("::", 15006)}, true)) {
    EXPECT_EQ(finding.level, Level::kGood) << finding.detail;
  }
}

TEST(CaptureFindingsTest, AProxyThatIsNotWhereItShouldBe) {
  const auto outbound = [](const TcpSocket& socket, bool has_v6 = true) {
    return JudgeCaptureListeners(kUsual, {socket}, has_v6)[0];
  };
  ExpectProblem(outbound(Listening("::", 15009)), "nothing listens at port 15001", "outbound_address");
  ExpectProblem(outbound(Listening("::", 15001, 8)), "refused as loops", "--proxy-uid 8");
  ExpectProblem(outbound(Listening("0.0.0.0", 15001)), "nothing takes IPv6", "\":15001\"");
  EXPECT_EQ(outbound(Listening("0.0.0.0", 15001), false).level, Level::kGood);
  EXPECT_EQ(outbound(Listening("127.0.0.1", 15001), false).level, Level::kGood);
  ExpectProblem(JudgeCaptureListeners(kUsual, {Listening("127.0.0.1", 15006)}, false)[1], "nothing takes IPv4",
                "inbound_address");
}

TEST(CaptureFindingsTest, WhoListensForOneFamilyDoesNotForTheOther) {
  const std::vector<TcpSocket> v4 = {Listening("0.0.0.0", 15001)}, both = {Listening("::", 15001)};
  EXPECT_TRUE(ProxyListens(kUsual, v4, false));
  EXPECT_FALSE(ProxyListens(kUsual, v4, true));
  EXPECT_TRUE(ProxyListens(kUsual, both, true));
  EXPECT_FALSE(ProxyListens(kUsual, {Listening("::", 15006)}, true));
  EXPECT_TRUE(ProxyListensInbound(kUsual, {Listening("::", 15006)}, true));
  EXPECT_FALSE(ProxyListensInbound(kUsual, {Listening("127.0.0.1", 15006)}, false)) << "callers do not arrive there";
}

ProbeResult Result(int error_number, bool arrived = false, bool accepted = false, std::optional<uid_t> owner = {}) {
  ProbeResult result;
  result.plan = {.destination = "2001:db8::9", .port = 9, .uid = 65534, .gid = 65534, .cgroup = ""};
  result.error_number = error_number;
  result.arrived = arrived;
  result.accepted = accepted;
  result.owner = owner;
  return result;
}

TEST(CaptureFindingsTest, WhatBecameOfAProbe) {
  const auto judge = [](const ProbeResult& result) { return JudgeProbe(kUsual, false, "IPv6", result); };
  EXPECT_EQ(judge(Result(0, true, true, 7)).level, Level::kGood);
  EXPECT_THAT(judge(Result(0, true, true, 7)).detail, HasSubstr("uid 65534 to [2001:db8::9]:9 came to the proxy"));
  ExpectProblem(judge(Result(0, true, true, 8)), "uid 8", "ss -tlnp");
  EXPECT_EQ(judge(Result(0, true, true)).level, Level::kGood);
  EXPECT_THAT(judge(Result(0, true, true)).detail, HasSubstr("closed by who took it"));
  ExpectProblem(judge(Result(0, true)), "does not take it", "hangs");
  ExpectProblem(judge(Result(0)), "was not captured", "counters");
  ExpectProblem(judge(Result(ECONNREFUSED)), "was refused", "start lanyard-proxy");
  ExpectProblem(JudgeProbe(kTproxy, true, "IPv6", Result(ECONNREFUSED)), "was refused", "capture.mode TPROXY");
  ExpectProblem(judge(Result(ETIMEDOUT)), "did not reach", "nft list ruleset");
  EXPECT_EQ(judge(Result(ENETUNREACH)).level, Level::kNote);
  EXPECT_EQ(judge(Result(EPERM)).level, Level::kNote);
  ExpectProblem(JudgeProbe(kUsual, true, "IPv6", Result(ECONNREFUSED)), "not captured: the proxy listens", "counters");
  EXPECT_EQ(JudgeProbe(kUsual, false, "IPv6", absl::NotFoundError("none")).level, Level::kNote);
}

TEST(CaptureFindingsTest, WhatBecameOfAProbeFromOutside) {
  const auto judge = [](const ProbeResult& result, const CaptureRules& rules = kUsual, bool proxy_listens = true) {
    return JudgeInboundProbe(rules, proxy_listens, "IPv6", result);
  };
  EXPECT_EQ(judge(Result(0, true, true, 7)).level, Level::kGood);
  EXPECT_THAT(judge(Result(0, true, true, 7)).detail, HasSubstr("from outside to [2001:db8::9]:9 came to the proxy"));
  EXPECT_EQ(judge(Result(0, true, true)).level, Level::kGood);
  ExpectProblem(judge(Result(0, true, true, 8)), "uid 8", "ss -tlnp");
  ExpectProblem(judge(Result(0, true)), "does not take it", "hangs");
  ExpectProblem(judge(Result(0)), "was not captured", "counters");
  ExpectProblem(judge(Result(ECONNREFUSED)), "was not captured", "counters");
  ExpectProblem(judge(Result(ECONNREFUSED), kUsual, false), "was refused", "start lanyard-proxy");
  ExpectProblem(judge(Result(ECONNREFUSED), kTproxy), "was refused", "capture.mode TPROXY");
  ExpectProblem(judge(Result(ECONNREFUSED), Rules({"--mode ebpf"})), "was not captured", "capture up");
  for (const int filtered : {ETIMEDOUT, EHOSTUNREACH}) {
    EXPECT_EQ(judge(Result(filtered)).level, Level::kNote);
    EXPECT_THAT(judge(Result(filtered)).remedy, HasSubstr("lanyard-probe"));
  }
  const Finding untried = JudgeInboundProbe(kUsual, true, "IPv6", absl::PermissionDeniedError("CAP_SYS_ADMIN"));
  EXPECT_EQ(untried.level, Level::kNote);
  EXPECT_THAT(untried.detail, HasSubstr("CAP_SYS_ADMIN"));
}

}  // namespace
}  // namespace lanyard
