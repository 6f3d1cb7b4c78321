#include "identity/base/line_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

// A pipe that is read when a test says so.
class LineWriterTest : public testing::Test {
 protected:
  LineWriterTest() {
    EXPECT_EQ(pipe2(ends_, O_CLOEXEC), 0);
    EXPECT_EQ(fcntl(ends_[0], F_SETFL, O_NONBLOCK), 0);
    writer_ = std::make_unique<LineWriter>(ends_[1]);
  }
  ~LineWriterTest() override {
    close(ends_[0]);
    close(ends_[1]);
  }
  // Until the pipe takes no more; how many lines it took.
  size_t Fill(const std::string& line) {
    size_t lines = 0;
    while (lines < 100'000 && writer_->Write(line)) ++lines;
    return lines;
  }
  std::string Drain() {
    std::string all;
    char block[4096];
    for (ssize_t size = 0; (size = read(ends_[0], block, sizeof(block))) > 0;) {
      all.append(block, static_cast<size_t>(size));
    }
    return all;
  }

  int ends_[2] = {-1, -1};
  std::unique_ptr<LineWriter> writer_;
};

TEST_F(LineWriterTest, WhereNobodyReadsLinesAreDroppedWholeAndNobodyWaitsForEach) {
  const std::string line(1000, 'x');
  const size_t taken = Fill(line);
  ASSERT_GT(taken, 0u);
  ASSERT_LT(taken, 100'000u);
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(writer_->Write(line));
  const std::vector<std::string> lines = absl::StrSplit(Drain(), '\n', absl::SkipEmpty());
  EXPECT_EQ(lines.size(), taken);
  for (const std::string& each : lines) ASSERT_EQ(each, line);
  EXPECT_TRUE(writer_->Write("after"));
  EXPECT_EQ(Drain(), "after\n");
}

TEST_F(LineWriterTest, ALineThatWasCutOffEndsBeforeTheNext) {
  Fill(std::string(9000, 'x'));  // three of a pipe's blocks each, of which it has a power of two
  Drain();
  EXPECT_TRUE(writer_->Write("after"));
  EXPECT_EQ(Drain(), "\nafter\n");
}

TEST_F(LineWriterTest, WhatTakesNothingIsTold) {
  EXPECT_FALSE(LineWriter(-1).Write("nowhere"));
  FILE* const full = fopen("/dev/full", "w");
  ASSERT_NE(full, nullptr);
  EXPECT_FALSE(LineWriter(fileno(full)).Write("no room"));
  fclose(full);
}

TEST_F(LineWriterTest, AFileTakesLinesOfAnyLength) {
  FILE* const file = tmpfile();
  ASSERT_NE(file, nullptr);
  LineWriter writer(fileno(file));
  const std::string line(300'000, 'y');
  EXPECT_TRUE(writer.Write(line));
  EXPECT_TRUE(writer.Write("next"));
  std::string all(line.size() + 6, '\0');
  EXPECT_EQ(pread(fileno(file), all.data(), all.size(), 0), static_cast<ssize_t>(all.size()));
  EXPECT_TRUE(absl::EndsWith(all, "y\nnext\n"));
  fclose(file);
}

}  // namespace
}  // namespace lanyard
