#include "identity/policy/address_block.h"

#include <arpa/inet.h>

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

std::vector<uint8_t> Bytes(const std::string &text) {
  const bool ipv4 = text.find(':') == std::string::npos;
  std::vector<uint8_t> bytes(ipv4 ? 4 : 16);
  EXPECT_EQ(inet_pton(ipv4 ? AF_INET : AF_INET6, text.c_str(), bytes.data()), 1);
  return bytes;
}

TEST(AddressBlock, ContainsExactlyItsBlock) {
  const AddressBlock ten = AddressBlock::Parse("10.0.0.0/8").value();
  EXPECT_TRUE(ten.Contains(Bytes("10.255.0.1")));
  EXPECT_FALSE(ten.Contains(Bytes("11.0.0.1")));
  const AddressBlock odd = AddressBlock::Parse("192.168.32.0/19").value();
  EXPECT_TRUE(odd.Contains(Bytes("192.168.63.255")));
  EXPECT_FALSE(odd.Contains(Bytes("192.168.64.0")));
  const AddressBlock six = AddressBlock::Parse("fd00:0:0:8::/61").value();
  EXPECT_TRUE(six.Contains(Bytes("fd00:0:0:f::1")));
  EXPECT_FALSE(six.Contains(Bytes("fd00:0:0:10::1")));
  EXPECT_FALSE(six.Contains(Bytes("10.0.0.1")));
}

TEST(AddressBlock, AnAddressAloneIsItself) {
  EXPECT_TRUE(AddressBlock::Parse("10.0.0.7").value().Contains(Bytes("10.0.0.7")));
  EXPECT_FALSE(AddressBlock::Parse("10.0.0.7").value().Contains(Bytes("10.0.0.6")));
  EXPECT_TRUE(AddressBlock::Parse("fd00::7").value().Contains(Bytes("fd00::7")));
  EXPECT_TRUE(AddressBlock::Parse("0.0.0.0/0").value().Contains(Bytes("1.2.3.4")));
  EXPECT_FALSE(AddressBlock::Parse("0.0.0.0/0").value().Contains(Bytes("::1")));
}

TEST(AddressBlock, ContainsNothingThatIsNoAddress) {
  EXPECT_FALSE(AddressBlock::Parse("0.0.0.0/0").value().Contains({}));
  EXPECT_FALSE(AddressBlock::Parse("::/0").value().Contains(Bytes("1.2.3.4")));
}

TEST(AddressBlock, PrintsWhatItParses) {
  EXPECT_EQ(AddressBlock::Parse("10.0.0.0/8").value().ToString(), "10.0.0.0/8");
  EXPECT_EQ(AddressBlock::Parse("fd00::1").value().ToString(), "fd00::1");
}

TEST(AddressBlock, RefusesHostBitsAndNonsense) {
  for (const char *text : {"", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "fd00::1/64",
                           "fd00::/129", "::ffff:10.0.0.0/104", "name/8", "10.0.0.0/08", "10.0.0/8", "/8"}) {
    EXPECT_FALSE(AddressBlock::Parse(text).ok()) << text;
  }
  EXPECT_FALSE(AddressBlock::Parse(absl::string_view("10.0.0.0\0x/8", 12)).ok());
}

}  // namespace
}  // namespace lanyard
