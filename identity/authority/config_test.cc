#include "identity/authority/config.h"

#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "identity/authority/authority_testing.h"

namespace lanyard {
namespace {

absl::StatusOr<AuthoritySettings> LoadText(const std::string& text) {
  const std::string path = NewTestFolder() + "/authority.yaml";
  std::ofstream(path) << text;
  return LoadAuthoritySettings(path);
}

std::string MistakesOf(const std::string& text) {
  const auto settings = LoadText(text);
  EXPECT_TRUE(absl::IsInvalidArgument(settings.status())) << settings.status();
  return std::string(settings.status().message());
}

const char kLeast[] = "trust_domain: example.org\ndata_dir: /var/lib/lanyard\n";

TEST(ConfigTest, HasDefaultsForAllButTwo) {
  const auto settings = LoadText(kLeast);
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->sealing_key_file, "/var/lib/lanyard/sealing.key");
  EXPECT_EQ(settings->bundle_file, "");
  EXPECT_EQ(settings->agents_host, "[::]");
  EXPECT_EQ(settings->agents_port, 7443);
  EXPECT_EQ(settings->operators_socket, "/run/lanyard/authority.sock");
  EXPECT_EQ(settings->ca.intermediate, absl::Hours(24));
  EXPECT_EQ(settings->svids.x509_svid, absl::Hours(1));
  EXPECT_EQ(settings->svids.backdate, absl::Seconds(10));
}

TEST(ConfigTest, TakesEveryValue) {
  const auto settings =
      LoadText(std::string(kLeast) +
               "sealing_key_file: /etc/k\nbundle_file: /b.pem\n"
               "agents: {address: '127.0.0.1:0'}\noperators: {address: 'unix:///run/o.sock'}\n"
               "lifetimes: {root: 120s, intermediate: 40s, x509_svid: 20s, node_svid: 30s, backdate: 2s}\n"
               "log: {level: debug, format: json}\n");
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->sealing_key_file, "/etc/k");
  EXPECT_EQ(settings->bundle_file, "/b.pem");
  EXPECT_EQ(settings->agents_host, "127.0.0.1");
  EXPECT_EQ(settings->agents_port, 0);
  EXPECT_EQ(settings->operators_socket, "/run/o.sock");
  EXPECT_EQ(settings->ca.root, absl::Seconds(120));
  EXPECT_EQ(settings->ca.longest_svid, absl::Seconds(30));
  EXPECT_EQ(settings->ca.backdate, absl::Seconds(2));
  EXPECT_EQ(settings->log.level, LogLevel::kDebug);
}

TEST(ConfigTest, Ipv6AddressesKeepTheirBrackets) {
  EXPECT_EQ(LoadText(std::string(kLeast) + "agents: {address: '[::1]:7443'}")->agents_host, "[::1]");
  EXPECT_EQ(LoadText(std::string(kLeast) + "agents: {address: ':7443'}")->agents_host, "[::]");
}

TEST(ConfigTest, ReportsEveryMistakeAtOnceWithItsPath) {
  const std::string mistakes = MistakesOf(
      "trust_domain: Not A Domain\ndata_dri: /x\nagents: {address: nowhere}\noperators: {address: '127.0.0.1:80'}\n"
      "lifetimes: {root: 12s, intermediate: 10s, x509_svid: 9s, node_svid: 8s}\nlog: {level: loud}\n");
  for (const char* path : {"trust_domain:", "data_dri:", "data_dir:", "agents.address:", "operators.address:",
                           "lifetimes.intermediate:", "lifetimes.x509_svid:", "lifetimes.node_svid:", "log.level:"}) {
    EXPECT_NE(mistakes.find(path), std::string::npos) << path << " in " << mistakes;
  }
}

TEST(ConfigTest, LifetimesThatCannotRotateNameTheRemedy) {
  const std::string mistakes =
      MistakesOf(std::string(kLeast) + "lifetimes: {intermediate: 40s, x509_svid: 31s, node_svid: 30s}");
  EXPECT_NE(mistakes.find("lifetimes.x509_svid: 31s"), std::string::npos) << mistakes;
  EXPECT_NE(mistakes.find("at most 30s"), std::string::npos) << mistakes;
  EXPECT_EQ(mistakes.find("lifetimes.node_svid"), std::string::npos) << mistakes;
}

TEST(ConfigTest, OneLifetimeOutOfRangeHidesNoOther) {
  const std::string mistakes = MistakesOf(
      std::string(kLeast) + "lifetimes: {root: 1h, intermediate: 24h, x509_svid: 48h, node_svid: 1s}");
  for (const char* path : {"lifetimes.intermediate:", "lifetimes.x509_svid:", "lifetimes.node_svid: 1s is out of"}) {
    EXPECT_NE(mistakes.find(path), std::string::npos) << path << " in " << mistakes;
  }
}

TEST(ConfigTest, RefusesASocketPathTheKernelCannotHold) {
  EXPECT_NE(
      MistakesOf(std::string(kLeast) + "operators: {address: 'unix:///" + std::string(120, 's') + "'}").find("107"),
      std::string::npos);
}

}  // namespace
}  // namespace lanyard
