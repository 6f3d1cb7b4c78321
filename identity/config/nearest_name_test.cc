#include "identity/config/nearest_name.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

const std::vector<std::string> kKnown = {"name", "outbound", "inbound", "peers", "on_svid_expiry"};

TEST(NearestName, FindsSlipsOfTheFinger) {
  EXPECT_EQ(NearestName("nmae", kKnown), "name");
  EXPECT_EQ(NearestName("peer", kKnown), "peers");
  EXPECT_EQ(NearestName("outbond", kKnown), "outbound");
  EXPECT_EQ(NearestName("onSvidExpiry", kKnown), "on_svid_expiry");
  EXPECT_EQ(NearestName("in-bound", kKnown), "inbound");
}

TEST(NearestName, DoesNotGuessWildly) {
  EXPECT_EQ(NearestName("certificate", kKnown), "");
  EXPECT_EQ(NearestName("", kKnown), "");
  EXPECT_EQ(NearestName("a", {"b"}), "");
  EXPECT_EQ(NearestName("name", {}), "");
  EXPECT_EQ(NearestName(std::string(1 << 20, 'x'), kKnown), "");
}

TEST(NearestName, FirstOfEqualsWins) { EXPECT_EQ(NearestName("abcx", {"abca", "abcb"}), "abca"); }

}  // namespace
}  // namespace lanyard
