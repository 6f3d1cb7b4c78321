#include "identity/spiffe/svid_defect.h"

#include <set>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(SvidDefect, TravelsInAStatus) {
  const absl::Status status = SvidError(SvidDefect::kExpired, "it expired");
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(status.message(), "it expired");
  EXPECT_EQ(DefectOf(status), SvidDefect::kExpired);
}

TEST(SvidDefect, IsNoneForOtherStatuses) {
  EXPECT_EQ(DefectOf(absl::OkStatus()), SvidDefect::kNone);
  EXPECT_EQ(DefectOf(absl::InternalError("x")), SvidDefect::kNone);
}

TEST(SvidDefect, EachHasItsOwnName) {
  std::set<absl::string_view> names;
  for (int i = 0; i <= static_cast<int>(SvidDefect::kUntrusted); ++i) {
    const auto defect = static_cast<SvidDefect>(i);
    EXPECT_TRUE(names.insert(SvidDefectName(defect)).second) << i;
    EXPECT_EQ(DefectOf(SvidError(defect, "x")), defect);
  }
  EXPECT_EQ(names.count("ca_as_leaf"), 1u);
}

}  // namespace
}  // namespace lanyard
