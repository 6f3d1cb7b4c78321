#include "identity/spiffe/quoted.h"

#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(Quoted, EscapesWhatIsNotPrintable) {
  EXPECT_EQ(Quoted("plain"), "\"plain\"");
  EXPECT_EQ(Quoted(absl::string_view("a\0x\n\"\xff", 6)), R"("a\x00x\n\"\xff")");
}

TEST(Quoted, CutsWhatIsLong) {
  EXPECT_EQ(Quoted(std::string(128, 'x')), "\"" + std::string(128, 'x') + "\"");
  EXPECT_EQ(Quoted(std::string(10000, 'x')), "\"" + std::string(128, 'x') + "...\" (10000 bytes)");
}

}  // namespace
}  // namespace lanyard
