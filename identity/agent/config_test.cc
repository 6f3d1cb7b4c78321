#include "identity/agent/config.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "absl/strings/match.h"
#include "identity/base/atomic_file.h"

namespace lanyard {
namespace {

class AgentConfigTest : public testing::Test {
 protected:
  AgentConfigTest() {
    EXPECT_NE(mkdtemp(dir_.data()), nullptr);
    EXPECT_TRUE(WriteFileAtomically(dir_ + "/bundle.pem", "", 0600).ok());
  }
  absl::StatusOr<AgentSettings> Load(const std::string& yaml) {
    EXPECT_TRUE(WriteFileAtomically(dir_ + "/agent.yaml", yaml, 0600).ok());
    return LoadAgentConfig(dir_ + "/agent.yaml");
  }
  // The message of a configuration that must be refused.
  std::string Mistakes(const std::string& yaml) {
    const auto loaded = Load(yaml);
    EXPECT_TRUE(absl::IsInvalidArgument(loaded.status())) << loaded.status();
    return std::string(loaded.status().message());
  }
  std::string dir_ = testing::TempDir() + "/configXXXXXX";
};

TEST_F(AgentConfigTest, TheLeastThereCanBe) {
  const auto settings = Load("trust_domain: example.org\ndata_dir: /var/lib/lanyard/agent\nauthority:\n"
                             "  address: authority.example.org:7443\n  bundle_file: " + dir_ + "/bundle.pem\n");
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->trust_domain.name(), "example.org");
  EXPECT_EQ(settings->socket_path, "/run/lanyard/agent.sock");
  EXPECT_EQ(settings->connect_timeout, absl::Seconds(5));
  EXPECT_FALSE(settings->insecure_trust_on_first_use);
}

TEST_F(AgentConfigTest, Everything) {
  const auto settings = Load(
      "trust_domain: example.org\ndata_dir: d\nauthority: {address: '[::1]:7443', insecure_trust_on_first_use: true,"
      " connect_timeout: 500ms}\nattestation: {join_token_file: /t}\nworkload_api: {socket: /s}\n"
      "log: {level: debug, format: json}\n");
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->connect_timeout, absl::Milliseconds(500));
  EXPECT_TRUE(settings->insecure_trust_on_first_use);
  EXPECT_EQ(settings->join_token_file, "/t");
  EXPECT_EQ(settings->socket_path, "/s");
  EXPECT_EQ(settings->log.level, LogLevel::kDebug);
}

TEST_F(AgentConfigTest, EveryMistakeIsReportedAtOnce) {
  const std::string mistakes = Mistakes(
      "trust_domain: Example.org\nauthority: {address: nowhere, connect_timeout: 5h}\nnonsense: 1\n"
      "attestation: {join_token: a, join_token_file: b}\nworkload_api: {socket: relative.sock}\nlog: {level: loud}\n");
  for (const char* path : {"trust_domain", "data_dir", "authority.address", "authority.bundle_file",
                           "authority.connect_timeout", "nonsense", "attestation.join_token_file",
                           "workload_api.socket", "log.level"}) {
    EXPECT_TRUE(absl::StrContains(mistakes, path)) << path << " is missing in: " << mistakes;
  }
}

TEST_F(AgentConfigTest, TrustOnFirstUseAndABundleContradictEachOther) {
  EXPECT_TRUE(absl::StrContains(
      Mistakes("trust_domain: a\ndata_dir: d\nauthority: {address: 'a:1', insecure_trust_on_first_use: true, "
               "bundle_file: " + dir_ + "/bundle.pem}\n"),
      "insecure_trust_on_first_use"));
}

TEST_F(AgentConfigTest, ABundleFileThatIsNotThereIsAMistake) {
  EXPECT_TRUE(absl::StrContains(
      Mistakes("trust_domain: a\ndata_dir: d\nauthority: {address: 'a:1', bundle_file: /no/such/file}\n"),
      "authority.bundle_file"));
}

TEST_F(AgentConfigTest, ASocketPathLongerThanTheKernelsLimitIsAMistake) {
  EXPECT_TRUE(absl::StrContains(
      Mistakes("trust_domain: a\ndata_dir: d\nauthority: {address: 'a:1', insecure_trust_on_first_use: true}\n"
               "workload_api: {socket: /" + std::string(107, 'x') + "}\n"),
      "workload_api.socket"));
}

}  // namespace
}  // namespace lanyard
