#include "proxy/control/hand_over.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/control/take_over.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

// The next process is a shell script: what it does not say is the point. Those that talk are in take_over_test.cc and,
// as real proxies, in tests/integration.
class HandOverTest : public testing::Test {
 protected:
  HandOver Plan(const std::string& script) {
    const std::string path = testing::TempDir() + "/next.sh";
    std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
    EXPECT_EQ(chmod(path.c_str(), 0700), 0);
    return {.binary = path,
            .config = "/etc/proxy.yaml",
            .timeout = absl::Seconds(60),
            .sockets = {},
            .on_ready = [this] { ++ready_; },
            .on_failed = [this] { ++failed_; },
            .cancelled = [this] { return cancelled_; }};
  }
  int ready_ = 0, failed_ = 0;
  bool cancelled_ = false;
};

TEST_F(HandOverTest, ABinaryThatIsNotThereIsNamed) {
  HandOver plan = Plan("");
  plan.binary = "/nonexistent/lanyard-proxy";
  const auto done = HandOverTo(plan);
  EXPECT_THAT(std::string(done.status().message()), HasSubstr("/nonexistent/lanyard-proxy could not be started"));
}

TEST_F(HandOverTest, OneThatEndsByItselfHasFailed) {
  const auto done = HandOverTo(Plan("exit 1"));
  EXPECT_THAT(std::string(done.status().message()), HasSubstr("ended before it served"));
  EXPECT_EQ(ready_ + failed_, 0);
}

TEST_F(HandOverTest, OneThatSaysNothingIsEndedAtTheTimeout) {
  HandOver plan = Plan("exec tail -f /dev/null");
  plan.timeout = absl::Milliseconds(300);
  EXPECT_TRUE(absl::IsDeadlineExceeded(HandOverTo(plan).status()));
  EXPECT_EQ(ready_ + failed_, 0);
}

TEST_F(HandOverTest, IsGivenUpWhenThisProcessIsToStop) {
  cancelled_ = true;
  EXPECT_TRUE(absl::IsCancelled(HandOverTo(Plan("exec tail -f /dev/null")).status()));
}

TEST_F(HandOverTest, ItsArgumentsSayWhereThePassageIsAndNothingElseIsOpen) {
  const std::string seen = testing::TempDir() + "/seen";
  constexpr int kLeaked = 200;  // as some library opens them: it would stay open across exec
  ASSERT_EQ(dup2(STDOUT_FILENO, kLeaked), kLeaked);
  const auto done = HandOverTo(Plan("echo \"$@\" > " + seen + "; ls /proc/$$/fd | tr '\\n' ' ' >> " + seen));
  close(kLeaked);
  EXPECT_FALSE(done.ok());
  std::string arguments, descriptors;
  std::ifstream file(seen);
  std::getline(file, arguments);
  std::getline(file, descriptors);
  EXPECT_EQ(arguments, "run --config /etc/proxy.yaml --take-over 3");
  EXPECT_THAT(descriptors, HasSubstr("3"));
  EXPECT_THAT(descriptors, testing::Not(HasSubstr("200")));
}

}  // namespace
}  // namespace lanyard
