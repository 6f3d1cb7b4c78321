#include "identity/capture/filter.h"

#include "gtest/gtest.h"

namespace lanyard {
namespace {

constexpr char kMount[] = "/sys/fs/cgroup";

TEST(PortRangeTest, RefusesWhatIsNoPort) {
  for (const char* text : {"", "0", "65536", "http", "-1", "1-", "-", "90-80", "80;drop"}) {
    EXPECT_FALSE(PortRange::Parse(text).ok()) << text;
  }
  EXPECT_EQ(PortRange::Parse("80-80")->ToString(), "80");
  EXPECT_EQ(PortRange::Parse("1-65535")->ToString(), "1-65535");
}

TEST(PortRangeTest, ContainsBothEnds) {
  const PortRange range = PortRange::Parse("80-90").value();
  EXPECT_TRUE(range.Contains(80) && range.Contains(90));
  EXPECT_FALSE(range.Contains(79) || range.Contains(91));
}

TEST(CidrTest, RefusesWhatIsNoNetwork) {
  for (const char* text :
       {"", "10.0.0.0/33", "fd00::/129", "10.0.0", "example.org/8", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8 }", "/8"}) {
    EXPECT_FALSE(Cidr::Parse(text).ok()) << text;
  }
  EXPECT_EQ(Cidr::Parse("fd00::1")->ToString(), "fd00::1/128");
  EXPECT_EQ(Cidr::Parse("fd00::/8")->address(), "fd00::");
  EXPECT_TRUE(Cidr::Parse("::/0")->is_v6());
}

TEST(CgroupTest, IsThePathBelowTheRootHoweverItIsSpelled) {
  for (const char* text : {"system.slice/shop.service", "/system.slice/shop.service", "/system.slice//shop.service/",
                           "/sys/fs/cgroup/system.slice/shop.service"}) {
    const absl::StatusOr<Cgroup> cgroup = Cgroup::Parse(text, kMount);
    ASSERT_TRUE(cgroup.ok()) << text;
    EXPECT_EQ(cgroup->ToString(), "system.slice/shop.service");
    EXPECT_EQ(cgroup->level(), 2);
  }
  EXPECT_EQ(Cgroup::Parse("sys/fs/cgroup", kMount)->ToString(), "sys/fs/cgroup");
  EXPECT_EQ(Cgroup::Parse("/sys/fs/cgroups", kMount)->level(), 3);
}

TEST(CgroupTest, TheRootIsNone) {
  for (const char* text : {"", "/", "//", "/sys/fs/cgroup", "/sys/fs/cgroup/"}) {
    EXPECT_FALSE(Cgroup::Parse(text, kMount).ok()) << text;
  }
}

TEST(CgroupTest, RefusesWhatCouldEscapeOrBreakARule) {
  for (const std::string& text : {std::string("../etc"), std::string("a/./b"), std::string("a\" accept"),
                                  std::string("a b"), std::string("a\nb"), std::string("a,b"), std::string(121, 'a')}) {
    EXPECT_FALSE(Cgroup::Parse(text, kMount).ok()) << text;
  }
}

}  // namespace
}  // namespace lanyard
