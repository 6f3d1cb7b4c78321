#include "identity/base/logging.h"

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

TEST(Log, WritesOneJsonLineAnEvent) {
  InitLogging("agent", LogFormat::kJson, LogLevel::kInfo);
  testing::internal::CaptureStderr();
  Log(LogLevel::kWarning, "a {brace} and %s", {{"count", 3}, {"why", absl::NotFoundError("gone")}});
  const std::string written = testing::internal::GetCapturedStderr();
  ASSERT_EQ(written.back(), '\n');
  const auto line = nlohmann::json::parse(written);
  EXPECT_EQ(line["level"], "warning");
  EXPECT_EQ(line["component"], "agent");
  EXPECT_EQ(line["message"], "a {brace} and %s");
  EXPECT_EQ(line["count"], 3);
  EXPECT_EQ(line["why"], "gone");
}

TEST(Log, LeavesOutWhatIsBelowTheMinimum) {
  InitLogging("agent", LogFormat::kText, LogLevel::kWarning);
  EXPECT_FALSE(LogEnabled(LogLevel::kInfo));
  EXPECT_TRUE(LogEnabled(LogLevel::kWarning));
  testing::internal::CaptureStderr();
  Log(LogLevel::kInfo, "quiet");
  Log(LogLevel::kError, "loud");
  const std::string written = testing::internal::GetCapturedStderr();
  EXPECT_EQ(written.find("quiet"), std::string::npos);
  EXPECT_NE(written.find(" error agent: loud\n"), std::string::npos) << written;
}

TEST(Log, AutomaticFormatIsJsonWhenNotOnATerminal) {
  testing::internal::CaptureStderr();  // a file
  InitLogging("proxy", LogFormat::kAuto, LogLevel::kInfo);
  Log(LogLevel::kInfo, "hello");
  EXPECT_EQ(testing::internal::GetCapturedStderr().front(), '{');
}

TEST(Log, LinesOfSeveralThreadsStayWhole) {
  InitLogging("proxy", LogFormat::kJson, LogLevel::kInfo);
  constexpr int kThreads = 4, kLines = 200;
  testing::internal::CaptureStderr();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < kLines; ++i) Log(LogLevel::kInfo, std::string(300, 'x'), {{"i", i}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string written = testing::internal::GetCapturedStderr();
  int lines = 0;
  for (absl::string_view line : absl::StrSplit(written, '\n', absl::SkipEmpty())) {
    ASSERT_FALSE(nlohmann::json::parse(line, nullptr, false).is_discarded()) << line;
    ++lines;
  }
  EXPECT_EQ(lines, kThreads * kLines);
}

}  // namespace
}  // namespace lanyard
