#include "identity/spiffe/x509_time.h"

#include <openssl/asn1.h>

#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

absl::StatusOr<absl::Time> Parse(int type, const std::string& text) {
  bssl::UniquePtr<ASN1_STRING> time(ASN1_STRING_type_new(type));
  EXPECT_TRUE(ASN1_STRING_set(time.get(), text.data(), static_cast<int>(text.size())));
  return ParseX509Time(time.get());
}

std::string Text(const absl::StatusOr<absl::Time>& time) {
  return time.ok() ? absl::FormatTime("%Y-%m-%d %H:%M:%S", *time, absl::UTCTimeZone()) : "refused";
}

TEST(ParseX509Time, ReadsBothForms) {
  EXPECT_EQ(Text(Parse(V_ASN1_UTCTIME, "261121174317Z")), "2026-11-21 17:43:17");
  EXPECT_EQ(Text(Parse(V_ASN1_UTCTIME, "491231235959Z")), "2049-12-31 23:59:59");
  EXPECT_EQ(Text(Parse(V_ASN1_UTCTIME, "500101000000Z")), "1950-01-01 00:00:00");
  EXPECT_EQ(Text(Parse(V_ASN1_GENERALIZEDTIME, "20500101000000Z")), "2050-01-01 00:00:00");
  EXPECT_EQ(Text(Parse(V_ASN1_GENERALIZEDTIME, "99991231235959Z")), "9999-12-31 23:59:59");
  EXPECT_EQ(Text(Parse(V_ASN1_GENERALIZEDTIME, "20240229000000Z")), "2024-02-29 00:00:00");
}

TEST(ParseX509Time, RefusesWhatIsNoTime) {
  for (const char* text : {"", "Z", "2611211743Z", "261121174317", "261121174317+0000", "261121174317z",
                           "26112117431aZ", "-61121174317Z", "261321174317Z", "260021174317Z", "260230000000Z",
                           "261100174317Z", "261121240000Z", "261121176000Z", "261121174360Z", "20261121174317Z",
                           "261121174317.5Z", " 61121174317Z"}) {
    EXPECT_EQ(Text(Parse(V_ASN1_UTCTIME, text)), "refused") << text;
  }
  for (const char* text : {"261121174317Z", "20261121174317.5Z", "20261121174317", "20230229000000Z"}) {
    EXPECT_EQ(Text(Parse(V_ASN1_GENERALIZEDTIME, text)), "refused") << text;
  }
}

TEST(ParseX509Time, RefusesANulInside) {
  EXPECT_EQ(Text(Parse(V_ASN1_UTCTIME, std::string("2611211743\0" "7Z", 13))), "refused");
}

}  // namespace
}  // namespace lanyard
