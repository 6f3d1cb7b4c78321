#include "identity/agent/binary_hash.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace lanyard {
namespace {

// SHA-256 of "abc" (FIPS 180-4, appendix example).
constexpr char kAbc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

class BinaryHashTest : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& content) {
    const std::string path = testing::TempDir() + "/" + name;
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    EXPECT_EQ(write(fd, content.data(), content.size()), static_cast<ssize_t>(content.size()));
    close(fd);
    return path;
  }
  absl::StatusOr<std::string> Hash(BinaryHash& hashes, const std::string& path) {
    const int fd = open(path.c_str(), O_RDONLY);
    auto hash = hashes.Sha256Of(fd);
    close(fd);
    return hash;
  }
};

TEST_F(BinaryHashTest, HashesTheWholeFileAndRemembers) {
  BinaryHash hashes;
  const std::string path = Write("abc", "abc");
  EXPECT_EQ(*Hash(hashes, path), kAbc);
  EXPECT_EQ(*Hash(hashes, path), kAbc);
  EXPECT_EQ(hashes.files_read(), 1u);
}

TEST_F(BinaryHashTest, AFileOfSeveralReadsIsHashedWhole) {
  BinaryHash hashes;
  const std::string a = *Hash(hashes, Write("large_a", std::string(1 << 20, 'x')));
  const std::string b = *Hash(hashes, Write("large_b", std::string((1 << 20) - 1, 'x') + "y"));
  EXPECT_NE(a, b);
}

TEST_F(BinaryHashTest, AChangedFileIsReadAgain) {
  BinaryHash hashes;
  const std::string path = Write("changing", "abc");
  EXPECT_EQ(*Hash(hashes, path), kAbc);
  Write("changing", "abd and more");
  EXPECT_NE(*Hash(hashes, path), kAbc);
  EXPECT_EQ(hashes.files_read(), 2u);
}

TEST_F(BinaryHashTest, AFileBeyondTheLimitIsRefused) {
  BinaryHash hashes(2);
  EXPECT_TRUE(absl::IsOutOfRange(Hash(hashes, Write("three", "abc")).status()));
  EXPECT_EQ(hashes.files_read(), 0u);
}

TEST_F(BinaryHashTest, WhatIsNoFileIsRefused) {
  BinaryHash hashes;
  EXPECT_TRUE(absl::IsInvalidArgument(Hash(hashes, testing::TempDir()).status()));
}

TEST_F(BinaryHashTest, ForgetsWhatWasUsedLongestAgo) {
  BinaryHash hashes(BinaryHash::kSizeLimitBytes, 2);
  const std::string a = Write("a", "a"), b = Write("b", "b"), c = Write("c", "c");
  for (const std::string& path : {a, b, a, c, a}) ASSERT_TRUE(Hash(hashes, path).ok());
  EXPECT_EQ(hashes.entries(), 2u);
  EXPECT_EQ(hashes.files_read(), 3u);
  ASSERT_TRUE(Hash(hashes, b).ok());
  EXPECT_EQ(hashes.files_read(), 4u);
}

}  // namespace
}  // namespace lanyard
