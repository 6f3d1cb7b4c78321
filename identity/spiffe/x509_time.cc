#include "identity/spiffe/x509_time.h"

#include <openssl/asn1.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/civil_time.h"
#include "identity/spiffe/quoted.h"

namespace lanyard {
namespace {

// `text` holds digits only.
int TakeNumber(absl::string_view& text, size_t digits) {
  int number = 0;
  for (char digit : text.substr(0, digits)) number = number * 10 + (digit - '0');
  text.remove_prefix(digits);
  return number;
}

absl::Status Unreadable(absl::string_view text) {
  return absl::InvalidArgumentError(absl::StrCat("the time ", Quoted(text), " is not one RFC 5280 allows"));
}

}  // namespace

absl::StatusOr<absl::Time> ParseX509Time(const ASN1_TIME* time) {
  const absl::string_view text(reinterpret_cast<const char*>(ASN1_STRING_get0_data(time)),
                               static_cast<size_t>(ASN1_STRING_length(time)));
  const bool two_digit_year = ASN1_STRING_type(time) == V_ASN1_UTCTIME;
  absl::string_view digits = text.substr(0, text.empty() ? 0 : text.size() - 1);
  if (digits.size() != (two_digit_year ? 12u : 14u) || text.back() != 'Z' ||
      !std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return absl::ascii_isdigit(c); })) {
    return Unreadable(text);
  }
  int year = TakeNumber(digits, two_digit_year ? 2 : 4);
  if (two_digit_year) year += year < 50 ? 2000 : 1900;
  const int month = TakeNumber(digits, 2), day = TakeNumber(digits, 2);
  const int hour = TakeNumber(digits, 2), minute = TakeNumber(digits, 2), second = TakeNumber(digits, 2);
  const absl::CivilSecond civil(year, month, day, hour, minute, second);
  // CivilSecond carries what overflows into the next field; a time that changed was not one.
  if (civil.month() != month || civil.day() != day || civil.hour() != hour || civil.minute() != minute ||
      civil.second() != second) {
    return Unreadable(text);
  }
  return absl::FromCivil(civil, absl::UTCTimeZone());
}

}  // namespace lanyard
