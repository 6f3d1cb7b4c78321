#include "identity/capture/ebpf/tables.h"

#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using ::testing::HasSubstr;

template <typename Item>
std::vector<Item> Parse(std::initializer_list<const char*> texts) {
  std::vector<Item> items;
  for (const char* text : texts) items.push_back(Item::Parse(text).value());
  return items;
}

Cgroup CgroupOf(const std::string& path) { return Cgroup::Parse(path, "/sys/fs/cgroup").value(); }

EbpfSurroundings Surroundings() {
  return {.netns_cookie = 77, .own_addresses = Parse<Cidr>({"10.0.0.5"}), .cgroup_id = [](const Cgroup& cgroup) {
            return cgroup.ToString() == "gone" ? absl::StatusOr<uint64_t>(absl::NotFoundError("no such cgroup"))
                                               : absl::StatusOr<uint64_t>(1000 + cgroup.ToString().size());
          }};
}

EbpfTables Made(const CaptureRules& rules) { return MakeEbpfTables(rules, Surroundings()).value(); }

bool Has(const BpfPorts& ports, uint32_t port) { return ports.bits[port / 64] >> (port % 64) & 1; }

bool Has(const std::vector<BpfNetwork>& networks, const char* text) {
  const BpfNetwork wanted = NetworkOf(Cidr::Parse(text).value());
  for (const BpfNetwork& network : networks) {
    if (memcmp(&network, &wanted, sizeof(wanted)) == 0) return true;
  }
  return false;
}

uint8_t SidesOf(const EbpfTables& tables, uint32_t kind, uint64_t id) {
  for (const EbpfTables::Party& party : tables.parties) {
    if (party.who.kind == kind && party.who.id == id) return party.sides;
  }
  return 0;
}

std::string Refusal(const CaptureRules& rules) {
  return std::string(MakeEbpfTables(rules, Surroundings()).status().message());
}

TEST(EbpfTablesTest, WithoutFiltersEverythingButThisMachineIsCaptured) {
  CaptureRules rules;
  rules.proxy_uid = 1337;
  const EbpfTables tables = Made(rules);
  EXPECT_EQ(tables.rules.netns_cookie, 77u);
  EXPECT_EQ(tables.rules.proxy_uid, 1337u);
  EXPECT_EQ(tables.rules.outbound_port, 15001);
  EXPECT_EQ(tables.rules.inbound_port, 15006);
  EXPECT_EQ(tables.rules.all_networks, 1);
  EXPECT_EQ(tables.rules.all_parties, 1);
  EXPECT_EQ(tables.rules.any_cgroups, 0);
  for (const uint32_t port : {1u, 63u, 64u, 80u, 65535u}) {
    EXPECT_TRUE(Has(tables.rules.outbound, port)) << port;
    EXPECT_TRUE(Has(tables.rules.inbound, port)) << port;
  }
  EXPECT_FALSE(Has(tables.rules.outbound, 0));
  EXPECT_TRUE(tables.included.empty());
  EXPECT_TRUE(tables.excluded.empty());
  for (const char* local : {"127.0.0.0/8", "::1", "0.0.0.0", "::", "10.0.0.5"}) {
    EXPECT_TRUE(Has(tables.own, local)) << local;
  }
  EXPECT_TRUE(tables.parties.empty());
}

TEST(EbpfTablesTest, ExclusionOfPortsWinsAndTheDirectionsAreKeptApart) {
  CaptureRules rules;
  rules.include_outbound_ports = Parse<PortRange>({"80", "8000-8010"});
  rules.exclude_outbound_ports = Parse<PortRange>({"8005"});
  rules.exclude_inbound_ports = Parse<PortRange>({"22"});
  const EbpfTables tables = Made(rules);
  EXPECT_TRUE(Has(tables.rules.outbound, 80));
  EXPECT_TRUE(Has(tables.rules.outbound, 8010));
  EXPECT_FALSE(Has(tables.rules.outbound, 8005));
  EXPECT_FALSE(Has(tables.rules.outbound, 81));
  EXPECT_FALSE(Has(tables.rules.inbound, 22));
  EXPECT_TRUE(Has(tables.rules.inbound, 8005));
}

TEST(EbpfTablesTest, DnsIsCapturedOnlyWhenAsked) {
  CaptureRules rules;
  EXPECT_FALSE(Has(Made(rules).rules.outbound, 53));
  EXPECT_TRUE(Has(Made(rules).rules.inbound, 53));
  rules.dns = DnsPolicy::kCapture;
  EXPECT_TRUE(Has(Made(rules).rules.outbound, 53));
}

TEST(EbpfTablesTest, ANetworkOfOneFamilyIsNoneOfTheOther) {
  const BpfNetwork v4 = NetworkOf(Cidr::Parse("10.0.0.0/8").value());
  EXPECT_EQ(v4.family, 4u);
  EXPECT_EQ(v4.prefix_bits, 32u + 8u);
  EXPECT_EQ(v4.address[0], 10);
  EXPECT_EQ(v4.address[4], 0);
  const BpfNetwork v6 = NetworkOf(Cidr::Parse("::/0").value());
  EXPECT_EQ(v6.family, 6u);
  EXPECT_EQ(v6.prefix_bits, 32u);  // the family still has to match
  CaptureRules rules;
  rules.include_cidrs = Parse<Cidr>({"10.0.0.0/8"});
  rules.exclude_cidrs = Parse<Cidr>({"10.1.0.0/16", "fd00::/8"});
  const EbpfTables tables = Made(rules);
  EXPECT_EQ(tables.rules.all_networks, 0);
  EXPECT_TRUE(Has(tables.included, "10.0.0.0/8"));
  EXPECT_TRUE(Has(tables.excluded, "fd00::/8"));
}

TEST(EbpfTablesTest, APartyOnBothSidesIsOneEntry) {
  CaptureRules rules;
  rules.include_uids = {7, 8};
  rules.exclude_uids = {7};
  rules.exclude_gids = {7};
  rules.exclude_cgroups = {CgroupOf("a/b")};
  const EbpfTables tables = Made(rules);
  EXPECT_EQ(tables.parties.size(), 4u);
  EXPECT_EQ(SidesOf(tables, BPF_PARTY_UID, 7), BPF_PARTY_INCLUDED | BPF_PARTY_EXCLUDED);
  EXPECT_EQ(SidesOf(tables, BPF_PARTY_UID, 8), BPF_PARTY_INCLUDED);
  EXPECT_EQ(SidesOf(tables, BPF_PARTY_GID, 7), BPF_PARTY_EXCLUDED);
  EXPECT_EQ(SidesOf(tables, BPF_PARTY_CGROUP, 1003), BPF_PARTY_EXCLUDED);
  EXPECT_EQ(tables.rules.all_parties, 0);
  EXPECT_EQ(tables.rules.any_cgroups, 1);
}

TEST(EbpfTablesTest, ACgroupThatIsNotThereIsRefused) {
  CaptureRules rules;
  rules.include_cgroups = {CgroupOf("gone")};
  EXPECT_THAT(Refusal(rules), HasSubstr("no such cgroup"));
  std::string deep = "a";
  for (int level = 1; level < BPF_CGROUP_DEPTH; ++level) deep += "/a";
  rules.include_cgroups = {CgroupOf(deep)};
  EXPECT_EQ(Refusal(rules), "");
  rules.include_cgroups = {CgroupOf(deep + "/a")};
  EXPECT_THAT(Refusal(rules), HasSubstr("deeper"));
}

TEST(EbpfTablesTest, LimitsAreNamed) {
  CaptureRules rules;
  const std::vector<Cidr> one = Parse<Cidr>({"10.0.0.0/8"});
  rules.include_cidrs.assign(BPF_NETWORKS, one[0]);
  EXPECT_EQ(Refusal(rules), "");
  rules.include_cidrs.push_back(one[0]);
  EXPECT_THAT(Refusal(rules), HasSubstr(absl::StrCat(BPF_NETWORKS)));
  rules = {};
  rules.exclude_cidrs.assign(BPF_NETWORKS + 1, one[0]);
  EXPECT_THAT(Refusal(rules), HasSubstr(absl::StrCat(BPF_NETWORKS)));
  rules = {};
  for (uid_t uid = 0; uid < BPF_PARTIES; ++uid) rules.exclude_uids.push_back(uid);
  EXPECT_EQ(Refusal(rules), "");
  rules.exclude_uids.push_back(BPF_PARTIES);
  EXPECT_THAT(Refusal(rules), HasSubstr(absl::StrCat(BPF_PARTIES)));
}

}  // namespace
}  // namespace lanyard
