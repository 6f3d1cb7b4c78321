#include "proxy/connection/close_reason.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(CloseReason, EachHasItsOwnName) {
  std::set<std::string> names;
  for (size_t i = 0; i < kCloseReasonCount; ++i) {
    const std::string name(CloseReasonName(static_cast<CloseReason>(i)));
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_NE(name, "unknown");
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_"), std::string::npos) << name;
  }
}

TEST(CloseReason, EachDefectHasItsOwnReason) {
  std::set<CloseReason> reasons;
  for (int defect = static_cast<int>(SvidDefect::kMalformed); defect <= static_cast<int>(SvidDefect::kUntrusted);
       ++defect) {
    EXPECT_TRUE(reasons.insert(ReasonOf(static_cast<SvidDefect>(defect))).second) << defect;
  }
}

}  // namespace
}  // namespace lanyard
