#include "identity/base/secret.h"

#include <sys/mman.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

// The lines of /proc/self/smaps about the mapping that holds `address`.
std::string MappingOf(const void* address) {
  std::ifstream smaps("/proc/self/smaps");
  std::string line, mapping;
  bool inside = false;
  while (std::getline(smaps, line)) {
    unsigned long begin = 0, end = 0;
    if (sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
      const auto at = reinterpret_cast<unsigned long>(address);
      inside = begin <= at && at < end;
    }
    if (inside) mapping += line + "\n";
  }
  return mapping;
}

TEST(Secret, KeepsACopy) {
  std::string source = "key material";
  const Secret secret = Secret::CopyOf(absl::string_view(source));
  source.assign(source.size(), 'x');
  EXPECT_EQ(secret.text(), "key material");
  EXPECT_EQ(secret.bytes().size(), 12u);
}

TEST(Secret, StartsZeroed) {
  const Secret secret(10000);
  for (uint8_t byte : secret.bytes()) ASSERT_EQ(byte, 0);
}

TEST(Secret, MovesWithoutCopying) {
  Secret first = Secret::CopyOf(absl::string_view("abc"));
  const uint8_t* bytes = first.bytes().data();
  Secret second = std::move(first);
  EXPECT_EQ(second.bytes().data(), bytes);
  Secret third;
  EXPECT_TRUE(third.empty());
  third = std::move(second);
  EXPECT_EQ(third.text(), "abc");
  EXPECT_TRUE(Secret::CopyOf(absl::string_view("")).empty());
}

TEST(Secret, IsLeftOutOfCoreDumpsAndLocked) {
  const Secret secret = Secret::CopyOf(absl::string_view("abc"));
  const std::string mapping = MappingOf(secret.bytes().data());
  EXPECT_NE(mapping.find(" dd"), std::string::npos) << mapping;  // do not dump
  EXPECT_NE(mapping.find(" lo"), std::string::npos) << mapping;  // locked
}

TEST(Secret, LockingOneSurvivesFreeingAnother) {
  const Secret kept = Secret::CopyOf(absl::string_view("kept"));
  { const Secret freed = Secret::CopyOf(absl::string_view("freed")); }
  EXPECT_NE(MappingOf(kept.bytes().data()).find(" lo"), std::string::npos);
  EXPECT_EQ(kept.text(), "kept");
}

TEST(Cleanse, Zeroes) {
  std::string text = "secret";
  Cleanse(absl::MakeSpan(reinterpret_cast<uint8_t*>(text.data()), text.size()));
  EXPECT_EQ(text, std::string(6, '\0'));
}

}  // namespace
}  // namespace lanyard
