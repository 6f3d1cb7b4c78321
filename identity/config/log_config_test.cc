#include "identity/config/log_config.h"

#include "api/lanyard/config/log.pb.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(LogFromConfig, NothingWrittenIsTheDefault) {
  ConfigProblems problems;
  const LogSettings settings = LogFromConfig(config::Log(), "log", problems);
  EXPECT_EQ(settings.level, LogLevel::kInfo);
  EXPECT_EQ(settings.format, LogFormat::kAuto);
  EXPECT_TRUE(problems.empty());
}

TEST(LogFromConfig, ReadsNames) {
  config::Log log;
  log.set_level("error");
  log.set_format("json");
  ConfigProblems problems;
  const LogSettings settings = LogFromConfig(log, "log", problems);
  EXPECT_EQ(settings.level, LogLevel::kError);
  EXPECT_EQ(settings.format, LogFormat::kJson);
  EXPECT_TRUE(problems.empty());
}

TEST(LogFromConfig, ReportsBothMistakes) {
  config::Log log;
  log.set_level("verbose");
  log.set_format("xml");
  ConfigProblems problems;
  LogFromConfig(log, "log", problems);
  EXPECT_EQ(problems.ToStatus("a.yaml").message(),
            "a.yaml: 2 mistakes:\n"
            "  log.level: \"verbose\" must be one of debug, info, warning, error\n"
            "  log.format: \"xml\" must be one of auto, text, json");
}

}  // namespace
}  // namespace lanyard
