#include "proxy/config_reload.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "identity/base/atomic_file.h"

namespace lanyard {
namespace {

constexpr char kConfig[] = R"(
identity: {workload_api: "unix:///run/lanyard/agent.sock"}
listeners: [{name: in, inbound: {address: "127.0.0.1:8080", destination: "127.0.0.1:80", peers: ["spiffe://td/a"]}}]
)";

std::string Replaced(const std::string& from, const std::string& to) {
  std::string text = kConfig;
  return text.replace(text.find(from), from.size(), to);
}

class ConfigReloadTest : public testing::Test {
 protected:
  ConfigReloadTest()
      : path_(testing::TempDir() + "/config_reload_test.yaml"), reload_((Write(kConfig), MakeOptions())) {
    Settle();
  }

  void Write(const std::string& text) { ASSERT_TRUE(WriteFileAtomically(path_, text, 0600).ok()); }
  // A change is seen by one poll and believed by the next.
  void Settle() {
    for (int i = 0; i < 3; ++i) reload_.Poll();
  }
  std::string PeerOfNewestRules() const { return applied_.back().listener_policies[0].rules()[0].peers[0].ToString(); }

  const std::string path_;
  std::vector<MeshRules> applied_;
  ConfigReload reload_;

 private:
  ConfigReload::Options MakeOptions() {
    return {path_, kConfig, ParseProxySettings(kConfig, path_, {}).value(), {}, [this](const ProxySettings& settings) {
              applied_.push_back(settings.rules);
            }};
  }
};

TEST_F(ConfigReloadTest, AnUnchangedFileIsNotApplied) {
  EXPECT_TRUE(applied_.empty());
  Write(kConfig);
  Settle();
  EXPECT_TRUE(applied_.empty());
  EXPECT_EQ(reload_.refused(), 0u);
}

TEST_F(ConfigReloadTest, ChangedRulesAreAppliedOnce) {
  Write(Replaced("spiffe://td/a", "spiffe://td/b"));
  Settle();
  Settle();
  ASSERT_EQ(applied_.size(), 1u);
  EXPECT_EQ(PeerOfNewestRules(), "spiffe://td/b");
  EXPECT_EQ(reload_.applied(), 1u);
}

TEST_F(ConfigReloadTest, ABrokenFileKeepsTheOldAndARepairedOneIsApplied) {
  Write(Replaced("spiffe://td/a", "not an id"));
  Settle();
  EXPECT_TRUE(applied_.empty());
  EXPECT_EQ(reload_.refused(), 1u);
  EXPECT_NE(reload_.refusal().find("not an id"), std::string::npos) << reload_.refusal();
  Write(Replaced("spiffe://td/a", "spiffe://td/c"));
  Settle();
  EXPECT_EQ(reload_.refusal(), "");
  ASSERT_EQ(applied_.size(), 1u);
  EXPECT_EQ(PeerOfNewestRules(), "spiffe://td/c");
}

TEST_F(ConfigReloadTest, AMissingFileKeepsTheOld) {
  ASSERT_EQ(remove(path_.c_str()), 0);
  Settle();
  EXPECT_TRUE(applied_.empty());
  EXPECT_EQ(reload_.refused(), 1u);
}

TEST_F(ConfigReloadTest, AChangeThatNeedsARestartAppliesNothingOfTheFile) {
  std::string text = Replaced("spiffe://td/a", "spiffe://td/b");
  text.replace(text.find("127.0.0.1:8080"), 14, "127.0.0.1:8081");
  Write(text);
  Settle();
  EXPECT_TRUE(applied_.empty());
  EXPECT_EQ(reload_.refused(), 1u);
}

TEST_F(ConfigReloadTest, GoingBackToTheFirstRulesIsAChangeToo) {
  Write(Replaced("spiffe://td/a", "spiffe://td/b"));
  Settle();
  Write(kConfig);
  Settle();
  ASSERT_EQ(applied_.size(), 2u);
  EXPECT_EQ(PeerOfNewestRules(), "spiffe://td/a");
}

}  // namespace
}  // namespace lanyard
