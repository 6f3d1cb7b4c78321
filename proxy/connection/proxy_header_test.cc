#include "proxy/connection/proxy_header.h"

#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

absl::Span<const uint8_t> Bytes(absl::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
SocketAddress Address(const std::string& text) { return SocketAddress::Parse(text).value(); }

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
const std::string kIpv4Ends = absl::HexStringToBytes("c0000201c63364021f900050");  // 192.0.2.1:8080 198.51.100.2:80

std::string Sized(const std::string& rest) {
  return {static_cast<char>(rest.size() >> 8), static_cast<char>(rest.size())};
}
std::string Binary(uint8_t command, uint8_t family, const std::string& rest) {
  return absl::StrCat(kSignature, std::string(1, static_cast<char>(command)), std::string(1, static_cast<char>(family)),
                      Sized(rest), rest);
}
std::string Tlv(uint8_t type, const std::string& value) {
  return absl::StrCat(std::string(1, static_cast<char>(type)), Sized(value), value);
}

std::string Read(const std::string& header) {
  const absl::StatusOr<ProxyHeader> parsed = ParseProxyHeader(Bytes(header));
  if (!parsed.ok()) return absl::StrCat("refused: ", parsed.status().message());
  if (!parsed->ends.has_value()) return "nothing";
  return absl::StrCat(parsed->ends->source.ToString(), " to ", parsed->ends->destination.ToString());
}

TEST(ProxyHeader, Version1GivesBothEnds) {
  EXPECT_EQ(Read("PROXY TCP4 192.0.2.1 198.51.100.2 8080 80\r\n"), "192.0.2.1:8080 to 198.51.100.2:80");
  EXPECT_EQ(Read("PROXY TCP6 2001:db8::1 ::1 65535 0\r\n"), "[2001:db8::1]:65535 to [::1]:0");
  EXPECT_EQ(Read("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"), "192.0.2.1:1 to [::1]:2");
}

TEST(ProxyHeader, Version1UnknownSaysNothing) {
  EXPECT_EQ(Read("PROXY UNKNOWN\r\n"), "nothing");
  EXPECT_EQ(Read("PROXY UNKNOWN ffff::1 whatever 1 2\r\n"), "nothing");
}

TEST(ProxyHeader, EachDefectOfVersion1IsRefused) {
  for (const char* line : {
           "PROXY TCP4 192.0.2.1 198.51.100.2 8080\r\n",          // a port is missing
           "PROXY TCP4 192.0.2.1 198.51.100.2 8080 80 1\r\n",     // a word too many
           "PROXY TCP4 192.0.2.1  198.51.100.2 8080 80\r\n",      // two spaces
           "PROXY TCP4 192.0.2.1 198.51.100.2 8080 65536\r\n",    // no port
           "PROXY TCP4 192.0.2.1 198.51.100.2 08080 80\r\n",      // a zero in front
           "PROXY TCP4 192.0.2.1 198.51.100.2 -1 80\r\n",
           "PROXY TCP4 192.0.2.256 198.51.100.2 8080 80\r\n",     // no address
           "PROXY TCP4 web.example 198.51.100.2 8080 80\r\n",
           "PROXY TCP4 2001:db8::1 2001:db8::2 8080 80\r\n",      // of the other family
           "PROXY TCP4 [::ffff:1.2.3.4] [::ffff:1.2.3.4] 8080 80\r\n",
           "PROXY TCP6 192.0.2.1 198.51.100.2 8080 80\r\n",
           "PROXY TCP6 [2001:db8::1] ::1 8080 80\r\n",
           "PROXY TCP6 fe80::1%eth0 ::1 8080 80\r\n",
           "PROXY UDP4 192.0.2.1 198.51.100.2 8080 80\r\n",       // no such protocol
           "PROXY UNKNOWNS 192.0.2.1 198.51.100.2 80\r\n",
           "PROXY tcp4 192.0.2.1 198.51.100.2 8080 80\r\n",
           "PROXY \r\nTCP4 192.0.2.1 198.51.100.2 80 80\r\n",     // its end in the middle
           "PROXY TCP4 192.0.2.1 198.51.100.2 8080 80\n",         // without its end
       }) {
    EXPECT_THAT(Read(line), HasSubstr("refused: the PROXY protocol header is malformed")) << line;
  }
}

TEST(ProxyHeader, Version1MayBeOf107BytesAndNoMore) {
  const std::string most = absl::StrCat("PROXY UNKNOWN ", std::string(107 - 16, 'x'), "\r\n");
  ASSERT_EQ(most.size(), 107u);
  EXPECT_EQ(Read(most), "nothing");
  const std::string longer = absl::StrCat("PROXY UNKNOWN ", std::string(107 - 15, 'x'), "\r\n");
  EXPECT_THAT(std::string(MissingOfProxyHeader(Bytes(longer).first(106)).status().message()),
              HasSubstr("longer than 107 bytes"));
}

TEST(ProxyHeader, Version2GivesBothEnds) {
  EXPECT_EQ(Read(Binary(0x21, 0x11, kIpv4Ends)), "192.0.2.1:8080 to 198.51.100.2:80");
  const std::string ipv6 = absl::HexStringToBytes(
      "20010db8000000000000000000000001"
      "00000000000000000000000000000001"
      "1f900050");
  EXPECT_EQ(Read(Binary(0x21, 0x21, ipv6)), "[2001:db8::1]:8080 to [::1]:80");
}

TEST(ProxyHeader, LocalAndWhatIsNotIpSayNothing) {
  EXPECT_EQ(Read(Binary(0x20, 0x00, "")), "nothing");
  EXPECT_EQ(Read(Binary(0x20, 0x11, kIpv4Ends)), "nothing") << "LOCAL: the rest is to be discarded";
  EXPECT_EQ(Read(Binary(0x20, 0xFF, "what is no TLV")), "nothing");
  EXPECT_EQ(Read(Binary(0x21, 0x00, "")), "nothing");
  EXPECT_EQ(Read(Binary(0x21, 0x31, std::string(216, 'u'))), "nothing");
}

TEST(ProxyHeader, EachDefectOfVersion2IsRefused) {
  EXPECT_THAT(Read(Binary(0x22, 0x11, kIpv4Ends)), HasSubstr("neither LOCAL nor PROXY"));
  EXPECT_THAT(Read(Binary(0x31, 0x11, kIpv4Ends)), HasSubstr("no PROXY protocol header"));
  EXPECT_THAT(Read(Binary(0x11, 0x11, kIpv4Ends)), HasSubstr("no PROXY protocol header"));
  EXPECT_THAT(Read(Binary(0x21, 0x12, kIpv4Ends)), HasSubstr("something else than a stream"));
  EXPECT_THAT(Read(Binary(0x21, 0x41, kIpv4Ends)), HasSubstr("something else than a stream"));
  EXPECT_THAT(Read(Binary(0x21, 0x11, kIpv4Ends.substr(0, 11))), HasSubstr("addresses are cut off"));
  EXPECT_THAT(Read(Binary(0x21, 0x21, kIpv4Ends)), HasSubstr("addresses are cut off"));
  EXPECT_THAT(Read(Binary(0x21, 0x11, kIpv4Ends + "\x04")), HasSubstr("TLV is cut off"));
  EXPECT_THAT(Read(Binary(0x21, 0x11, kIpv4Ends + std::string("\x04\0\2x", 4))), HasSubstr("TLV is cut off"));
  EXPECT_THAT(Read(Binary(0x21, 0x11, kIpv4Ends) + "x"), HasSubstr("bytes follow it"));
  EXPECT_THAT(Read(Binary(0x21, 0x11, kIpv4Ends).substr(0, 27)), HasSubstr("it is cut off"));
}

TEST(ProxyHeader, TlvsOfAnyTypeArePassedOver) {
  EXPECT_EQ(Read(Binary(0x21, 0x11, kIpv4Ends + Tlv(0x04, "") + Tlv(0xEA, "aws") + Tlv(0x20, "garbage"))),
            "192.0.2.1:8080 to 198.51.100.2:80");
}

TEST(ProxyHeader, TheChecksumIsTheStandardsAndHolds) {
  // CRC32C as RFC 4960 has it, of this header with zeros in place of the checksum, computed apart from this code.
  const std::string header = Binary(0x21, 0x11, kIpv4Ends + Tlv(0x03, absl::HexStringToBytes("92e6db8f")));
  const std::string written =
      WriteProxyHeader(ProxyProtocol::kV2, Address("192.0.2.1:8080"), Address("198.51.100.2:80"), "");
  EXPECT_EQ(absl::BytesToHexString(written), absl::BytesToHexString(header));
  EXPECT_EQ(Read(header), "192.0.2.1:8080 to 198.51.100.2:80");
  constexpr size_t kChecksumType = 16 + 12;  // of another type there is none
  for (size_t at = 12; at < header.size(); ++at) {
    if (at == kChecksumType) continue;
    std::string changed = header;
    changed[at] ^= 1;
    EXPECT_THAT(Read(changed), testing::AnyOf(HasSubstr("refused"), "nothing")) << at;
  }
}

TEST(ProxyHeader, AChecksumThatIsTwiceThereOrOfAnotherSizeIsRefused) {
  const std::string header =
      WriteProxyHeader(ProxyProtocol::kV2, Address("192.0.2.1:8080"), Address("198.51.100.2:80"), "");
  EXPECT_THAT(Read(Binary(0x21, 0x11, header.substr(16) + Tlv(0x03, "1234"))), HasSubstr("CRC32C"));
  EXPECT_THAT(Read(Binary(0x21, 0x11, kIpv4Ends + Tlv(0x03, "12345"))), HasSubstr("not one of 4 bytes"));
}

TEST(ProxyHeader, TheLargestIsTakenAndALargerOneRefusedByItsHead) {
  const std::string filled = kIpv4Ends + Tlv(0x04, std::string(kMostProxyHeaderBytes - 16 - 12 - 3, 'x'));
  const std::string most = Binary(0x21, 0x11, filled);
  ASSERT_EQ(most.size(), kMostProxyHeaderBytes);
  EXPECT_EQ(Read(most), "192.0.2.1:8080 to 198.51.100.2:80");
  EXPECT_THAT(std::string(MissingOfProxyHeader(Bytes(Binary(0x21, 0x11, filled + "x")).first(16)).status().message()),
              HasSubstr("more than 4096 are refused"));
}

TEST(ProxyHeader, WhatIsNoneIsRefusedAtItsFirstWrongByte) {
  for (const char* start : {"G", "PROXY\t", "PROXI", "\x16\x03\x01", "\r\n\r\n\r"}) {
    EXPECT_THAT(std::string(MissingOfProxyHeader(Bytes(start)).status().message()),
                HasSubstr("no PROXY protocol header"))
        << start;
  }
}

TEST(ProxyHeader, WhoReadsNoMoreThanIsMissingStopsAtItsEnd) {
  const std::string id = "spiffe://example.org/web";
  for (const std::string& header :
       {std::string("PROXY UNKNOWN\r\n"), std::string("PROXY UNKNOWN and more\r\n"),
        std::string("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), std::string("PROXY TCP6 :: :: 0 0\r\n"),
        std::string("PROXY TCP6 2001:db8::1 2001:db8::22 65535 65535\r\n"), Binary(0x20, 0, ""),
        WriteProxyHeader(ProxyProtocol::kV2, Address("192.0.2.1:1"), Address("[::1]:2"), id)}) {
    const std::string stream = header + "what follows";
    size_t taken = 0, reads = 0;
    for (;; ++reads) {
      const absl::StatusOr<size_t> missing = MissingOfProxyHeader(Bytes(stream).first(taken));
      ASSERT_TRUE(missing.ok()) << missing.status();
      if (*missing == 0) break;
      taken += *missing;
      ASSERT_LE(taken, header.size()) << header;
    }
    EXPECT_EQ(taken, header.size()) << header;
    EXPECT_LE(reads, 20u) << header;
  }
}

TEST(WriteProxyHeader, Version1IsALine) {
  EXPECT_EQ(WriteProxyHeader(ProxyProtocol::kV1, Address("192.0.2.1:8080"), Address("198.51.100.2:80"), "spiffe://a/b"),
            "PROXY TCP4 192.0.2.1 198.51.100.2 8080 80\r\n");
  EXPECT_EQ(WriteProxyHeader(ProxyProtocol::kV1, Address("[2001:db8::1]:1"), Address("[::1]:2"), ""),
            "PROXY TCP6 2001:db8::1 ::1 1 2\r\n");
}

TEST(WriteProxyHeader, TwoFamiliesBecomeIpv6) {
  EXPECT_EQ(WriteProxyHeader(ProxyProtocol::kV1, Address("192.0.2.1:1"), Address("[::1]:2"), ""),
            "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n");
  EXPECT_EQ(Read(WriteProxyHeader(ProxyProtocol::kV2, Address("192.0.2.1:1"), Address("[::1]:2"), "")),
            "192.0.2.1:1 to [::1]:2");
}

TEST(WriteProxyHeader, Version2SaysByTlvsWhoTheCallerProvedToBe) {
  const std::string header = WriteProxyHeader(ProxyProtocol::kV2, Address("192.0.2.1:8080"),
                                              Address("198.51.100.2:80"), "spiffe://example.org/web");
  const std::string ssl = Tlv(0x20, std::string("\x05\0\0\0\0", 5) + Tlv(0x21, "TLSv1.3"));
  EXPECT_EQ(header.substr(28, header.size() - 28 - 7), ssl + Tlv(0xE5, "spiffe://example.org/web"));
  EXPECT_EQ(Read(header), "192.0.2.1:8080 to 198.51.100.2:80");
}

}  // namespace
}  // namespace lanyard
