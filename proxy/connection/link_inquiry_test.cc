#include "proxy/connection/link_inquiry.h"

#include <optional>
#include <utility>

#include "gtest/gtest.h"
#include "proxy/link/link_testing.h"

namespace lanyard {
namespace {

class LinkInquiryTest : public testing::Test {
 protected:
  LinkInquiryTest() {
    pair_ = harness_.Links();
    harness_.far.Keep(std::move(pair_.acceptor));
  }
  LinkInquiry::Done Tell() {
    return [this](LinkInquiry::Answer answer) {
      answer_ = std::move(answer);
      inquiry_.reset();  // from within
    };
  }
  bool Answered() {
    return harness_.TurnUntil([&] { return answer_.has_value(); });
  }

  LinkHarness harness_;
  LinkPair pair_;
  std::unique_ptr<LinkInquiry> inquiry_;
  std::optional<LinkInquiry::Answer> answer_;
};

TEST_F(LinkInquiryTest, APeerThatLivesAnswersAndTheLinkIsIdle) {
  inquiry_ = LinkInquiry::Ping(harness_.loop(), std::move(pair_.opener), absl::Seconds(1), Tell());
  ASSERT_TRUE(Answered());
  EXPECT_TRUE(answer_->status.ok());
  EXPECT_TRUE(answer_->link->idle());
}

TEST_F(LinkInquiryTest, APeerThatIsFrozenIsGivenUpInTime) {
  harness_.far.links.front()->Observe(nullptr);  // it reads nothing
  const absl::Duration start = harness_.loop()->now();
  inquiry_ = LinkInquiry::Ping(harness_.loop(), std::move(pair_.opener), absl::Seconds(1), Tell());
  ASSERT_TRUE(Answered());
  EXPECT_EQ(answer_->status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(answer_->link, nullptr);
  EXPECT_LT(harness_.loop()->now() - start, absl::Seconds(2));
}

TEST_F(LinkInquiryTest, ALinkThatFailsOrIsToBeLeftIsNotToBeUsed) {
  inquiry_ = LinkInquiry::Ping(harness_.loop(), std::move(pair_.opener), absl::Seconds(1), Tell());
  harness_.far.links.clear();
  ASSERT_TRUE(Answered());
  EXPECT_EQ(answer_->status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(answer_->link, nullptr);
  answer_.reset();
  pair_ = harness_.Links();
  pair_.acceptor->GoAway(GoAwayReason::kDraining);
  inquiry_ = LinkInquiry::Ping(harness_.loop(), std::move(pair_.opener), absl::Seconds(1), Tell());
  ASSERT_TRUE(Answered());
  EXPECT_EQ(answer_->status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(answer_->link->going_away()) << "to be closed in good order";
}

TEST_F(LinkInquiryTest, AVouchIsBelievedOrRefusedAndTheLinkIsIdle) {
  for (const bool believed : {true, false}) {
    LinkPair pair = harness_.Links();
    harness_.far.links.clear();
    harness_.far.Keep(std::move(pair.acceptor));
    inquiry_ = LinkInquiry::Vouch(harness_.loop(), std::move(pair.opener), {TestToken(1), 2}, Tell());
    ASSERT_TRUE(harness_.TurnUntil([&] { return harness_.far.asked != nullptr; }));
    harness_.far.asked->AnswerVouch(2, believed ? absl::OkStatus() : absl::PermissionDeniedError("another's"));
    harness_.far.Keep(std::move(harness_.far.asked));
    ASSERT_TRUE(Answered());
    EXPECT_EQ(answer_->status.ok(), believed);
    EXPECT_TRUE(answer_->link->idle());
    answer_.reset();
  }
}

TEST_F(LinkInquiryTest, OneThatIsDestroyedTellsNobody) {
  inquiry_ = LinkInquiry::Ping(harness_.loop(), std::move(pair_.opener), absl::Seconds(1), Tell());
  inquiry_.reset();
  ASSERT_TRUE(harness_.TurnUntil([&] { return harness_.far.closed == 1; }));
  EXPECT_FALSE(answer_.has_value());
}

}  // namespace
}  // namespace lanyard
