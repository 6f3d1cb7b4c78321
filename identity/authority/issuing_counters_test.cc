#include "identity/authority/issuing_counters.h"

#include <set>
#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(IssuingCounters, EachOutcomeIsCountedOnce) {
  IssuingCounters counters;
  counters.Count(SvidKind::kWorkload, absl::OkStatus());
  counters.Count(SvidKind::kWorkload, absl::OkStatus());
  counters.Count(SvidKind::kNode, absl::OkStatus());
  counters.Count(SvidKind::kNode, absl::PermissionDeniedError("banned"));
  EXPECT_EQ(counters.signed_svids(SvidKind::kWorkload), 2u);
  EXPECT_EQ(counters.signed_svids(SvidKind::kNode), 1u);
  EXPECT_EQ(counters.refused(RefusalReason::kNotAllowed), 1u);
  EXPECT_EQ(counters.refused(RefusalReason::kNoEntry), 0u);
  counters.CountLimited();
  EXPECT_EQ(counters.refused(RefusalReason::kLimit), 1u);
}

TEST(IssuingCounters, EveryReasonHasItsName) {
  std::set<std::string> names;
  for (size_t i = 0; i < kRefusalReasonCount; ++i) {
    names.insert(std::string(RefusalReasonName(static_cast<RefusalReason>(i))));
  }
  EXPECT_EQ(names.size(), kRefusalReasonCount);
  EXPECT_EQ(ReasonOfRefusal(absl::NotFoundError("")), RefusalReason::kNoEntry);
  EXPECT_EQ(ReasonOfRefusal(absl::InvalidArgumentError("")), RefusalReason::kBadRequest);
  EXPECT_EQ(ReasonOfRefusal(absl::UnavailableError("")), RefusalReason::kNoSigner);
  EXPECT_EQ(ReasonOfRefusal(absl::InternalError("")), RefusalReason::kOther);
}

}  // namespace
}  // namespace lanyard
