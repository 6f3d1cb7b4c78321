#include "identity/cli/command_line.h"

#include <stdlib.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A command tree that remembers what reached it.
class CommandLineTest : public ::testing::Test {
 protected:
  int Run(std::vector<const char*> words) {
    words.insert(words.begin(), "tool");
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int code = RunCommandLine(Root(), static_cast<int>(words.size()), words.data());
    out_ = ::testing::internal::GetCapturedStdout();
    err_ = ::testing::internal::GetCapturedStderr();
    return code;
  }

  Command Root() {
    Command make = {.name = "make",
                    .summary = "Make a thing",
                    .examples = "  tool thing make --name x\n",
                    .flags = {{.name = "--name", .help = "Its name", .required = true},
                              {.name = "--tag", .help = "Tags", .kind = Flag::Kind::kList},
                              {.name = "--wait", .help = "How long", .fallback = "10s", .environment = "TOOL_WAIT"},
                              {.name = "--dry", .help = "Only say", .kind = Flag::Kind::kSwitch}},
                    .run = [this](const Arguments& arguments, Output& output) {
                      name_ = arguments.Value("--name");
                      tags_ = arguments.List("--tag");
                      dry_ = arguments.Has("--dry");
                      json_ = output.json();
                      wait_ = arguments.Duration("--wait");
                      return wait_.ok() ? result_ : wait_.status();
                    }};
    Command drop = {.name = "drop",
                    .summary = "Drop a thing",
                    .examples = "",
                    .flags = {{.name = "id", .help = "Which", .required = true}},
                    .run = [this](const Arguments& arguments, Output&) {
                      name_ = arguments.Value("id");
                      return absl::OkStatus();
                    }};
    Command thing = {.name = "thing", .summary = "Things", .examples = "  tool thing make\n", .children = {make, drop}};
    return {.name = "tool",
            .summary = "A tool",
            .examples = "  tool thing\n",
            .children = {thing},
            .version = "tool 7"};
  }

  absl::Status result_;
  std::string name_, out_, err_;
  std::vector<std::string> tags_;
  bool dry_ = false, json_ = false;
  absl::StatusOr<absl::Duration> wait_ = absl::ZeroDuration();
};

TEST_F(CommandLineTest, OptionsReachTheCommand) {
  EXPECT_EQ(Run({"thing", "make", "--name", "x", "--tag", "a", "--tag=b", "--dry", "-o", "json"}), kExitOk);
  EXPECT_EQ(name_, "x");
  EXPECT_THAT(tags_, ElementsAre("a", "b"));
  EXPECT_TRUE(dry_);
  EXPECT_TRUE(json_);
  EXPECT_EQ(*wait_, absl::Seconds(10));
}

TEST_F(CommandLineTest, AnOptionMayStandBeforeAnArgument) {
  EXPECT_EQ(Run({"thing", "drop", "-o", "text", "seven"}), kExitOk);
  EXPECT_EQ(name_, "seven");
}

TEST_F(CommandLineTest, TheEnvironmentStandsInForAnOptionAndYieldsToIt) {
  setenv("TOOL_WAIT", "3s", 1);
  EXPECT_EQ(Run({"thing", "make", "--name", "x"}), kExitOk);
  EXPECT_EQ(*wait_, absl::Seconds(3));
  EXPECT_EQ(Run({"thing", "make", "--name", "x", "--wait", "1s"}), kExitOk);
  EXPECT_EQ(*wait_, absl::Seconds(1));
  unsetenv("TOOL_WAIT");
}

TEST_F(CommandLineTest, AnUnknownOptionIsAUsageErrorWithTheNearestName) {
  EXPECT_EQ(Run({"thing", "make", "--nmae", "x"}), kExitUsage);
  EXPECT_EQ(err_, "tool thing make: there is no option --nmae; did you mean --name? (see 'tool thing make --help')\n");
}

TEST_F(CommandLineTest, AnUnknownOptionWithAValueIsNamedWithoutIt) {
  EXPECT_EQ(Run({"thing", "make", "--name=x", "--tga=1"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("no option --tga; did you mean --tag?"));
}

TEST_F(CommandLineTest, AnUnknownCommandIsAUsageErrorWithTheNearestName) {
  EXPECT_EQ(Run({"thing", "mkae"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("there is no command 'mkae'; did you mean make?"));
  EXPECT_EQ(Run({"zzzzzzzz"}), kExitUsage);
  EXPECT_EQ(err_, "tool: there is no command 'zzzzzzzz' (see 'tool --help')\n");
}

TEST_F(CommandLineTest, ARequiredOptionThatIsMissingIsNamed) {
  EXPECT_EQ(Run({"thing", "make"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("--name is required"));
}

TEST_F(CommandLineTest, AnArgumentTooManyIsAUsageError) {
  EXPECT_EQ(Run({"thing", "drop", "one", "two"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("the argument 'two' is one too many"));
}

TEST_F(CommandLineTest, AnOptionGivenTwiceIsAUsageErrorUnlessItIsAList) {
  EXPECT_EQ(Run({"thing", "make", "--name", "x", "--name", "y"}), kExitUsage);
}

TEST_F(CommandLineTest, AWrongFormatOrDurationIsAUsageError) {
  EXPECT_EQ(Run({"thing", "make", "--name", "x", "-o", "yaml"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("--output is 'yaml'; it must be text or json"));
  for (const char* wait : {"soon", "0s", "-1s", "inf"}) {
    EXPECT_EQ(Run({"thing", "make", "--name", "x", "--wait", wait}), kExitUsage) << wait;
    EXPECT_THAT(err_, HasSubstr("it must be a duration above zero"));
  }
}

TEST_F(CommandLineTest, TheFormatMayStandBeforeTheCommandAndTheInnermostCounts) {
  EXPECT_EQ(Run({"-o", "json", "thing", "make", "--name", "x"}), kExitOk);
  EXPECT_TRUE(json_);
  EXPECT_EQ(Run({"thing", "--output=json", "make", "--name", "x"}), kExitOk);
  EXPECT_TRUE(json_);
  EXPECT_EQ(Run({"-o", "json", "thing", "make", "--name", "x", "-o", "text"}), kExitOk);
  EXPECT_FALSE(json_);
  EXPECT_EQ(Run({"-o", "yaml", "thing", "make", "--name", "x"}), kExitUsage);
}

TEST_F(CommandLineTest, AUsageErrorIsInTheFormatThatWasAskedFor) {
  EXPECT_EQ(Run({"thing", "make", "-o", "json", "--nmae", "x"}), kExitUsage);
  EXPECT_EQ(err_,
            "{\"error\":\"tool thing make: there is no option --nmae; did you mean --name? (see 'tool thing make "
            "--help')\",\"code\":\"INVALID_ARGUMENT\"}\n");
  EXPECT_EQ(Run({"-o", "json", "thing", "make"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("{\"error\":\"tool thing make: --name is required"));
  EXPECT_EQ(Run({"-o", "json", "thing", "make", "--name", "x", "--wait", "soon"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("\"code\":\"INVALID_ARGUMENT\""));
}

TEST_F(CommandLineTest, TheVersionIsPrintedToStandardOutput) {
  EXPECT_EQ(Run({"--version"}), kExitOk);
  EXPECT_EQ(out_, "tool 7\n");
}

TEST_F(CommandLineTest, HelpHasExamplesAtEachLevelAndSucceeds) {
  EXPECT_EQ(Run({"--help"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("Examples:\n  tool thing\n"));
  EXPECT_EQ(Run({"thing", "-h"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("Examples:\n  tool thing make\n"));
  EXPECT_EQ(Run({"thing", "make", "--help"}), kExitOk);
  EXPECT_THAT(out_, HasSubstr("Examples:\n  tool thing make --name x\n"));
  EXPECT_THAT(out_, HasSubstr("TOOL_WAIT"));
  EXPECT_EQ(err_, "");
}

TEST_F(CommandLineTest, ACommandWithoutItsChildExplainsItselfOnStandardError) {
  EXPECT_EQ(Run({"thing"}), kExitUsage);
  EXPECT_THAT(err_, HasSubstr("Make a thing"));
  EXPECT_EQ(out_, "");
}

TEST_F(CommandLineTest, AFailureIsExitCodeOneAndOneLine) {
  result_ = absl::UnavailableError("nobody is there");
  EXPECT_EQ(Run({"thing", "make", "--name", "x"}), kExitFailure);
  EXPECT_EQ(err_, "lanyard: nobody is there\n");
  EXPECT_EQ(Run({"thing", "make", "--name", "x", "-o", "json"}), kExitFailure);
  EXPECT_EQ(err_, "{\"error\":\"nobody is there\",\"code\":\"UNAVAILABLE\"}\n");
}

TEST_F(CommandLineTest, ADenialHasItsOwnExitCodeAndMayHaveBeenSaidAlready) {
  result_ = DeniedError("two calls would be denied");
  EXPECT_EQ(Run({"thing", "make", "--name", "x"}), kExitDenied);
  EXPECT_EQ(err_, "lanyard: two calls would be denied\n");
  EXPECT_EQ(Run({"thing", "make", "--name", "x", "-o", "json"}), kExitDenied);
  EXPECT_EQ(err_, "{\"error\":\"two calls would be denied\",\"code\":\"FAILED_PRECONDITION\"}\n");
  result_ = DeniedError("");
  EXPECT_EQ(Run({"thing", "make", "--name", "x"}), kExitDenied);
  EXPECT_EQ(err_, "");
  // What a server says is no answer to the question.
  for (const absl::Status& refused : {absl::PermissionDeniedError("not yours"), absl::FailedPreconditionError("no")}) {
    result_ = refused;
    EXPECT_EQ(Run({"thing", "make", "--name", "x"}), kExitFailure);
  }
}

TEST_F(CommandLineTest, AServersInvalidArgumentIsNoUsageError) {
  result_ = absl::InvalidArgumentError("the server says no");
  EXPECT_EQ(Run({"thing", "make", "--name", "x"}), kExitFailure);
}

}  // namespace
}  // namespace lanyard
