#include "identity/cli/output.h"

#include <stdlib.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// A stream whose text can be read back.
class Text {
 public:
  Text() : file_(open_memstream(&data_, &size_)) {}
  ~Text() {
    fclose(file_);
    free(data_);
  }
  FILE* file() { return file_; }
  std::string Read() {
    fflush(file_);
    return std::string(data_, size_);
  }

 private:
  char* data_ = nullptr;
  size_t size_ = 0;
  FILE* file_;
};

TEST(OutputTest, ColumnsAreAsWideAsTheirLongestCell) {
  Text out, err;
  Output(Output::Format::kText, out.file(), err.file()).Table({"ID", "NAME"}, {{"1", "a"}, {"1000", "b"}});
  EXPECT_EQ(out.Read(), "ID    NAME\n1     a\n1000  b\n");
}

TEST(OutputTest, NoColourWhereThereIsNoTerminal) {
  FILE* file = tmpfile();
  EXPECT_EQ(Output(Output::Format::kText, file, file).Coloured(Colour::kRed, "bad"), "bad");
  fclose(file);
}

TEST(OutputTest, BytesThatAreNotTextDoNotBreakJson) {
  Text out, err;
  Output(Output::Format::kJson, out.file(), err.file()).JsonLine({{"name", "\xff"}});
  EXPECT_EQ(out.Read(), "{\"name\":\"\xEF\xBF\xBD\"}\n");
}

TEST(OutputTest, AFullDiskIsAFailure) {
  Text err;
  FILE* full = fopen("/dev/full", "w");
  ASSERT_NE(full, nullptr);
  Output output(Output::Format::kText, full, err.file());
  output.Text("lost");
  EXPECT_FALSE(output.Flush());
  EXPECT_THAT(err.Read(), StartsWith("lanyard: standard output could not be written: "));
  fclose(full);
}

TEST(ProgressTest, SaysNothingWhenItEndsInTime) {
  Text err;
  { const Progress progress("waiting", absl::Hours(1), absl::Hours(1), err.file()); }
  EXPECT_EQ(err.Read(), "");
}

TEST(ProgressTest, SaysWhatItWaitsForAndHowLong) {
  // A pipe, because reading from it waits exactly until there is a line.
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  FILE* write_end = fdopen(ends[1], "w");
  FILE* read_end = fdopen(ends[0], "r");
  char line[128] = "";
  {
    const Progress progress("waiting for X", absl::Milliseconds(1), absl::Hours(1), write_end);
    ASSERT_NE(fgets(line, sizeof line, read_end), nullptr);
  }
  EXPECT_THAT(line, HasSubstr("lanyard: still waiting for X (1ms)"));
  fclose(write_end);
  fclose(read_end);
}

TEST(RelativeTimeTest, UsesTheLargestUnitThatSaysIt) {
  const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  EXPECT_EQ(RelativeTime(now, now), "now");
  EXPECT_EQ(RelativeTime(now + absl::Seconds(90), now), "in 90s");
  EXPECT_EQ(RelativeTime(now - absl::Minutes(59), now), "59m ago");
  EXPECT_EQ(RelativeTime(now + absl::Hours(24), now), "in 24h");
  EXPECT_EQ(RelativeTime(now + absl::Hours(24 * 3650), now), "in 3650d");
  EXPECT_EQ(TimeText(now), "2023-11-14T22:13:20Z");
}

}  // namespace
}  // namespace lanyard
