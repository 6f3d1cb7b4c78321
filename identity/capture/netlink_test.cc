#include "identity/capture/netlink.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cstring>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

using Attributes = std::vector<std::pair<uint16_t, std::string>>;

Attributes AttributesOf(absl::string_view bytes) {
  Attributes found;
  ForEachAttribute(bytes, [&](uint16_t type, absl::string_view value) { found.emplace_back(type, value); });
  return found;
}

TEST(NetlinkTest, ARequestIsAlignedAndKnowsItsLength) {
  NetlinkRequest request(RTM_NEWRULE, NLM_F_ACK, absl::string_view("abcd"));
  request.U8(7, 42).U32(8, 1000);
  const std::string bytes = request.Bytes();
  EXPECT_EQ(ReadU32(bytes), bytes.size());
  EXPECT_EQ(bytes.size(), 16u + 4 + 8 + 8);
  EXPECT_THAT(AttributesOf(absl::string_view(bytes).substr(20)),
              ElementsAre(Pair(7, std::string(1, '\x2a')), Pair(8, std::string("\xe8\x03\0\0", 4))));
}

TEST(NetlinkTest, AttributesMayHoldOthers) {
  const std::string bytes = NetlinkAttribute(1, NetlinkAttribute(2, "abcde") + NetlinkAttribute(3, ""));
  const Attributes outer = AttributesOf(bytes);
  ASSERT_EQ(outer.size(), 1u);
  EXPECT_THAT(AttributesOf(outer[0].second), ElementsAre(Pair(2, "abcde"), Pair(3, "")));
}

TEST(NetlinkTest, MalformedAttributesEndTheWalk) {
  for (const std::string& bytes : {std::string(), std::string("\x04"), std::string("\x03\0\x01\0", 4),
                                   std::string("\xff\0\x01\0abcd", 8), std::string("\0\0\0\0", 4)}) {
    EXPECT_TRUE(AttributesOf(bytes).empty());
  }
  EXPECT_THAT(AttributesOf(std::string("\x05\0\x01\0a", 5)), ElementsAre(Pair(1, "a")));  // the last needs no padding
}

TEST(NetlinkTest, AShortNumberIsNought) {
  EXPECT_EQ(ReadU32("abc"), 0u);
  EXPECT_EQ(ReadU32(absl::string_view("\1\0\0\0", 4)), 1u);
}

// The kernel of this machine has rules, and anybody may read them.
TEST(NetlinkTest, TheKernelAnswers) {
  absl::StatusOr<Netlink> netlink = Netlink::Open();
  ASSERT_TRUE(netlink.ok()) << netlink.status();
  rtgenmsg all{};
  all.rtgen_family = AF_INET;
  int messages = 0;
  ASSERT_TRUE(netlink->Dump(NetlinkRequest(RTM_GETRULE, NLM_F_DUMP, all), [&](uint16_t type, absl::string_view) {
                         messages += type == RTM_NEWRULE;
                       }).ok());
  EXPECT_GE(messages, 1);
}

}  // namespace
}  // namespace lanyard
