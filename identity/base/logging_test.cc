#include "identity/base/logging.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
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

// The last test: it stays so.
TEST(LogNeverWaits, WhereNobodyReadsStandardErrorLinesAreDroppedAndCounted) {
  InitLogging("proxy", LogFormat::kText, LogLevel::kInfo);
  LogNeverWaits();
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  ASSERT_EQ(fcntl(ends[1], F_SETFL, 0), 0);  // to write there may wait
  const int before = dup(STDERR_FILENO);
  ASSERT_EQ(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
  for (int i = 0; i < 1000; ++i) Log(LogLevel::kInfo, std::string(500, 'x'));
  const uint64_t dropped = LogLinesDropped();
  const auto drained = [&] {
    std::string all;
    char block[4096];
    for (ssize_t size = 0; (size = read(ends[0], block, sizeof(block))) > 0;) {
      all.append(block, static_cast<size_t>(size));
    }
    return all;
  };
  const std::string first = drained();
  Log(LogLevel::kInfo, "once more");
  const std::string then = drained();
  dup2(before, STDERR_FILENO);
  for (const int fd : {before, ends[0], ends[1]}) close(fd);
  EXPECT_GT(dropped, 0u);
  EXPECT_EQ(static_cast<uint64_t>(std::count(first.begin(), first.end(), '\n')) + dropped, 1000u);
  EXPECT_NE(then.find("once more"), std::string::npos) << then;
  EXPECT_NE(then.find("lines=" + std::to_string(dropped)), std::string::npos) << then;
  EXPECT_EQ(LogLinesDropped(), dropped);
}

}  // namespace
}  // namespace lanyard
