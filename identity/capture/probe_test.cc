#include "identity/capture/probe.h"

#include "gtest/gtest.h"

namespace lanyard {
namespace {

absl::StatusOr<ProbePlan> Plan(const std::vector<std::string>& words, bool v6 = false) {
  return PlanProbe(RulesFromWords(words, {}).value(), v6, "/sys/fs/cgroup");
}

TEST(ProbePlanTest, NobodyCallsADocumentationAddress) {
  const ProbePlan plan = Plan({"--proxy-uid 1"}).value();
  EXPECT_EQ(plan.destination, "192.0.2.9");
  EXPECT_EQ(plan.port, 9);
  EXPECT_EQ(plan.uid, 65534u);
  EXPECT_EQ(plan.gid, 65534u);
  EXPECT_EQ(Plan({}, true)->destination, "2001:db8::9");
}

TEST(ProbePlanTest, ItIsSomebodyWhoIsCaptured) {
  const ProbePlan plan = Plan({"--proxy-uid 65534", "--exclude-uids 65533", "--exclude-gids 65534"}).value();
  EXPECT_EQ(plan.uid, 65532u);
  EXPECT_EQ(plan.gid, 65533u);
  EXPECT_EQ(Plan({"--include-uids 7"})->uid, 7u);
  EXPECT_EQ(Plan({"--include-gids 8"})->gid, 8u);
  EXPECT_EQ(Plan({"--cgroup a/b"})->cgroup, "/sys/fs/cgroup/a/b");
  EXPECT_EQ(Plan({"--cgroup a/b", "--include-uids 7"})->cgroup, "");
}

TEST(ProbePlanTest, ItGoesWhereItIsCaptured) {
  EXPECT_EQ(Plan({"--include-cidrs 10.1.0.0/16"})->destination, "10.1.0.0");
  EXPECT_FALSE(Plan({"--include-cidrs 10.1.0.0/16"}, true).ok());
  EXPECT_EQ(Plan({"--include-outbound-ports 80-90", "--exclude-outbound-ports 80"})->port, 81);
  EXPECT_EQ(Plan({"--exclude-outbound-ports 1-100"})->port, 101);
  EXPECT_FALSE(Plan({"--exclude-outbound-ports 1-65535"}).ok());
  EXPECT_FALSE(Plan({"--include-outbound-ports 80", "--exclude-outbound-ports 80"}).ok());
}

TEST(ProbePlanTest, OneFromOutsideCallsAPortThatIsCaptured) {
  const auto in = [](const std::vector<std::string>& words) {
    return PlanInboundProbe(RulesFromWords(words, {}).value(), "10.0.0.1");
  };
  EXPECT_EQ(in({})->destination, "10.0.0.1");
  EXPECT_EQ(in({})->port, 9);
  EXPECT_EQ(in({"--inbound-port 15016"})->proxy_port, 15016);
  EXPECT_EQ(in({"--include-inbound-ports 80-90", "--exclude-inbound-ports 80"})->port, 81);
  EXPECT_FALSE(in({"--exclude-inbound-ports 1-65535"}).ok());
  EXPECT_FALSE(in({"--cgroup a/b"}).ok()) << "only the servers of the cgroup are captured";
  EXPECT_TRUE(in({"--mode ebpf", "--cgroup a/b", "--include-inbound-ports 80"}).ok()) << "these ports, whosever";
}

TEST(OwnAddressTest, IsNeitherLoopbacksNorOfOneLinkOnly) {
  for (const bool v6 : {false, true}) {
    const std::string address = OwnAddress(v6);
    EXPECT_NE(address.substr(0, 4), "127.");
    EXPECT_NE(address, "::1");
    EXPECT_NE(address.substr(0, 4), "fe80");
  }
}

}  // namespace
}  // namespace lanyard
