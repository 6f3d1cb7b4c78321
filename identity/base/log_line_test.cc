#include "identity/base/log_line.h"

#include <cmath>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

LogHead Head(absl::string_view message) {
  return {absl::FromUnixMicros(1767225600123456), LogLevel::kInfo, "proxy", message};
}

TEST(JsonLogLine, HoldsHeadThenFieldsInOrder) {
  const std::vector<LogField> fields = {{"port", 443}, {"ok", true}, {"peer", "spiffe://td/a"}, {"ratio", -0.5}};
  EXPECT_EQ(JsonLogLine(Head("connection closed"), fields),
            R"({"time":"2026-01-01T00:00:00.123456Z","level":"info","component":"proxy",)"
            R"("message":"connection closed","port":443,"ok":true,"peer":"spiffe://td/a","ratio":-0.500000})");
}

TEST(JsonLogLine, IsValidJsonForEveryByte) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string text = std::string("a") + static_cast<char>(byte) + "b";
    const std::vector<LogField> fields = {{"key", text}};
    const std::string line = JsonLogLine(Head(text), fields);
    const auto parsed = nlohmann::json::parse(line, nullptr, false);
    ASSERT_FALSE(parsed.is_discarded()) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_EQ(parsed["key"], byte < 0x80 ? text : "a\xef\xbf\xbd" "b");
  }
}

TEST(JsonLogLine, KeepsWellFormedUtf8AndReplacesTheRest) {
  const auto message = [](absl::string_view text) {
    return nlohmann::json::parse(JsonLogLine(Head(text), {}))["message"].get<std::string>();
  };
  EXPECT_EQ(message("\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x91"), "\xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x91");
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(message("\xc0\x80"), bad + bad);               // overlong NUL
  EXPECT_EQ(message("\xed\xa0\x80"), bad + bad + bad);     // surrogate
  EXPECT_EQ(message("\xf4\x90\x80\x80"), bad + bad + bad + bad);  // above U+10FFFF
  EXPECT_EQ(message("\xe2\x82"), bad + bad);               // cut short
}

TEST(JsonLogLine, QuotesNumbersThatJsonLacks) {
  const std::vector<LogField> fields = {{"a", std::nan("")}, {"b", HUGE_VAL}};
  const auto parsed = nlohmann::json::parse(JsonLogLine(Head("x"), fields));
  EXPECT_EQ(parsed["a"], "nan");
  EXPECT_EQ(parsed["b"], "inf");
}

TEST(TextLogLine, QuotesOnlyWhatNeedsIt) {
  const std::vector<LogField> fields = {{"id", "spiffe://td/a"}, {"why", "two words"}, {"none", ""}, {"nl", "a\nb"}};
  EXPECT_EQ(TextLogLine(Head("closed"), fields),
            "2026-01-01T00:00:00.123456Z info proxy: closed id=spiffe://td/a why=\"two words\" none=\"\" nl=\"a\\nb\"");
}

TEST(TextLogLine, MessageCannotStartANewLine) {
  EXPECT_EQ(TextLogLine(Head("a\nb"), {}).find('\n'), std::string::npos);
}

}  // namespace
}  // namespace lanyard
