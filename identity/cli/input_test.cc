#include "identity/cli/input.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <fstream>
#include <memory>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

constexpr size_t kLimit = 64 << 10;

class InputTest : public testing::Test {
 protected:
  InputTest() : standard_input_(tmpfile(), fclose) {}
  void SetUp() override {
    folder_ = std::string(getenv("TEST_TMPDIR")) + "/input.XXXXXX";
    ASSERT_NE(mkdtemp(folder_.data()), nullptr);
  }
  // What is typed, or comes by a pipe.
  void Give(const std::string& text) {
    ASSERT_EQ(fwrite(text.data(), 1, text.size(), standard_input_.get()), text.size());
    rewind(standard_input_.get());
  }
  absl::StatusOr<std::string> Read(const std::string& path) { return ReadInput(path, kLimit, standard_input_.get()); }

  std::string folder_;
  std::unique_ptr<FILE, int (*)(FILE*)> standard_input_;
};

TEST_F(InputTest, ADashIsStandardInput) {
  const std::string text(kLimit, 'x');
  Give(text);
  EXPECT_EQ(*Read("-"), text);
  EXPECT_EQ(InputName("-"), "standard input");
}

TEST_F(InputTest, AnyOtherNameIsAFile) {
  Give("not this");
  std::ofstream(folder_ + "/f") << "this";
  EXPECT_EQ(*Read(folder_ + "/f"), "this");
  EXPECT_EQ(InputName("./-"), "./-");
}

TEST_F(InputTest, APipeIsWaitedFor) {
  const std::string path = folder_ + "/fifo";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  std::thread writer([&path] { std::ofstream(path) << "late"; });
  EXPECT_EQ(*Read(path), "late");
  writer.join();
}

TEST_F(InputTest, WhatCannotBeReadIsNamed) {
  const auto message = [this](const std::string& path) { return std::string(Read(path).status().message()); };
  EXPECT_TRUE(absl::IsNotFound(Read(folder_ + "/none").status()));
  EXPECT_THAT(message(folder_ + "/none"), HasSubstr("cannot read " + folder_ + "/none"));
  EXPECT_THAT(message(folder_), HasSubstr("cannot read " + folder_));
  Give(std::string(kLimit + 1, 'x'));
  const absl::Status too_large = Read("-").status();
  EXPECT_TRUE(absl::IsResourceExhausted(too_large));
  EXPECT_THAT(std::string(too_large.message()), HasSubstr("standard input is larger than 65536 bytes"));
}

TEST_F(InputTest, StandardInputThatIsNotThereIsAnError) {
  std::ofstream(folder_ + "/f") << "";
  standard_input_.reset(fopen((folder_ + "/f").c_str(), "we"));  // nothing can be read from it
  EXPECT_THAT(std::string(Read("-").status().message()), HasSubstr("cannot read standard input"));
}

}  // namespace
}  // namespace lanyard
