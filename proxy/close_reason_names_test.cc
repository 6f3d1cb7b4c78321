#include "proxy/close_reason_names.h"

#include <set>

#include "gtest/gtest.h"
#include "proxy/connection/close_reason.h"

namespace lanyard {
namespace {

TEST(CloseReasonNames, AreAllThereAndDiffer) {
  const std::vector<std::string> names = CloseReasonNames();
  EXPECT_EQ(names.size(), kCloseReasonCount);
  EXPECT_EQ(names.front(), "normal");
  EXPECT_EQ(names.back(), "tls_error");
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), names.size());
}

}  // namespace
}  // namespace lanyard
