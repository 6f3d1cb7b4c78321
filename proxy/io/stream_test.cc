#include "proxy/io/stream.h"

#include <set>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(StreamErrorName, EachHasItsOwn) {
  std::set<absl::string_view> names;
  for (int i = 0; i <= static_cast<int>(StreamError::kOther); ++i) {
    const absl::string_view name = StreamErrorName(static_cast<StreamError>(i));
    EXPECT_NE(name, "unknown");
    EXPECT_TRUE(names.insert(name).second) << name;
  }
}

}  // namespace
}  // namespace lanyard
