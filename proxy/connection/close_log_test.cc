#include "proxy/connection/close_log.h"

#include <memory>

#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"
#include "identity/base/fake_random.h"
#include "proxy/io/fake_poller.h"

namespace lanyard {
namespace {

class CloseLogTest : public testing::Test {
 protected:
  using Party = CloseLog::Party;
  uint32_t Admitted(CloseReason reason, uint32_t closes, Party party = Party::kLetIn) {
    uint32_t admitted = 0;
    for (uint32_t i = 0; i < closes; ++i) admitted += log_.Admit(reason, party) ? 1 : 0;
    return admitted;
  }
  FakeClock clock_{absl::UnixEpoch()};
  std::unique_ptr<EventLoop> loop_ = EventLoop::Create(std::make_unique<FakePoller>(&clock_), &clock_).value();
  CloseLog log_{loop_.get()};
};

TEST_F(CloseLogTest, ClosesOfThoseWhoWereLetInAlwaysHaveTheirLine) {
  EXPECT_EQ(Admitted(CloseReason::kNormal, 5000), 5000u);
  EXPECT_EQ(Admitted(CloseReason::kPeerReset, 5000), 5000u);
}

TEST_F(CloseLogTest, RefusalsOfStrangersAreAStorm) {
  constexpr uint32_t kLines = CloseLog::kStormLinesPerSecond;
  EXPECT_EQ(Admitted(CloseReason::kHandshakeFailed, 9000, Party::kStranger), kLines);
  EXPECT_EQ(Admitted(CloseReason::kPlaintextRefused, 10, Party::kStranger), 0u);
  EXPECT_EQ(Admitted(CloseReason::kDeniedByPolicy, 10, Party::kPeer), 10u) << "which does not hide a peer's";
  EXPECT_EQ(Admitted(CloseReason::kDeniedByPolicy, 9000, Party::kPeer), kLines - 10);
  EXPECT_EQ(Admitted(CloseReason::kConnectRefused, 9000, Party::kApplication), kLines);
  EXPECT_EQ(Admitted(CloseReason::kPeerReset, 5000), 5000u);
  EXPECT_EQ(Admitted(CloseReason::kNormal, 10, Party::kStranger), 10u);
  testing::internal::CaptureStderr();
  loop_->RunOnce(absl::InfiniteDuration());
  const std::string summary = testing::internal::GetCapturedStderr();
  for (const char* part : {"connections=26720", "handshake_failed=8900", "plaintext_refused=10",
                           "denied_by_policy=8910", "connect_refused=8900"}) {
    EXPECT_NE(summary.find(part), std::string::npos) << part << " in " << summary;
  }
  EXPECT_EQ(Admitted(CloseReason::kHandshakeFailed, 9000, Party::kStranger), kLines);
}

TEST_F(CloseLogTest, AStormHasSoManyLinesASecond) {
  EXPECT_EQ(Admitted(CloseReason::kBanned, 9000), CloseLog::kStormLinesPerSecond);
  EXPECT_EQ(Admitted(CloseReason::kPolicyChanged, 10), 0u) << "one storm, whatever the reasons";
  EXPECT_EQ(Admitted(CloseReason::kNormal, 10), 10u);
  loop_->RunOnce(absl::InfiniteDuration());  // the line that says how many
  EXPECT_EQ(Admitted(CloseReason::kBanned, 9000), CloseLog::kStormLinesPerSecond);
}

TEST_F(CloseLogTest, OfOrdinaryClosesThereIsASampleAndOfOthersEveryOne) {
  FakeRandom random;
  log_.Sample(0.25, 1'000'000, &random);
  const uint32_t admitted = Admitted(CloseReason::kNormal, 4000) + Admitted(CloseReason::kIdle, 4000);
  EXPECT_GT(admitted, 1500u);
  EXPECT_LT(admitted, 2500u);
  EXPECT_EQ(log_.sampled_out().value(), 8000u - admitted);
  for (const CloseReason reason : {CloseReason::kDeniedByPolicy, CloseReason::kPeerReset, CloseReason::kUntrusted}) {
    EXPECT_EQ(Admitted(reason, 500), 500u) << CloseReasonName(reason);
  }
  log_.Sample(0, 1'000'000, &random);
  EXPECT_EQ(Admitted(CloseReason::kNormal, 100), 0u);
}

TEST_F(CloseLogTest, OrdinaryClosesHaveSoManyLinesASecond) {
  FakeRandom random;
  log_.Sample(1, 10, &random);
  EXPECT_EQ(Admitted(CloseReason::kNormal, 500), 10u);
  EXPECT_EQ(Admitted(CloseReason::kDeniedByPolicy, 500), 500u);
  EXPECT_EQ(log_.left_out().value(), 490u);
  loop_->RunOnce(absl::InfiniteDuration());  // the line that says how many
  EXPECT_EQ(Admitted(CloseReason::kNormal, 500), 10u);
}

TEST_F(CloseLogTest, ALoopIsWarnedOfOnceInAWhileWithItsRemedy) {
  const auto warned = [&] {
    testing::internal::CaptureStderr();
    log_.WarnOfLoop("capture-outbound", "10.0.0.2:80", "exempt the user");
    return testing::internal::GetCapturedStderr();
  };
  const std::string line = warned();
  for (const char* part : {"capture-outbound", "10.0.0.2:80", "exempt the user"}) {
    EXPECT_NE(line.find(part), std::string::npos) << line;
  }
  EXPECT_EQ(warned(), "");
  clock_.Advance(CloseLog::kWarningInterval);
  loop_->RunOnce(absl::ZeroDuration());
  EXPECT_NE(warned(), "");
}

TEST_F(CloseLogTest, ABrokenLinkIsWarnedOfOnceInAWhileWithItsPeer) {
  const auto warned = [&] {
    testing::internal::CaptureStderr();
    log_.WarnOfBrokenLink("spiffe://example.org/web", "too many frames like PING");
    return testing::internal::GetCapturedStderr();
  };
  const std::string line = warned();
  for (const char* part : {"spiffe://example.org/web", "too many frames like PING"}) {
    EXPECT_NE(line.find(part), std::string::npos) << line;
  }
  EXPECT_EQ(warned(), "");
  clock_.Advance(CloseLog::kWarningInterval);
  loop_->RunOnce(absl::ZeroDuration());
  EXPECT_NE(warned(), "");
}

}  // namespace
}  // namespace lanyard
