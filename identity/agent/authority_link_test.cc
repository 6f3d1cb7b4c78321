#include "identity/agent/authority_link.h"

#include <gtest/gtest.h>

#include <atomic>

#include "identity/agent/fake_authority.h"
#include "identity/spiffe/verify.h"

namespace lanyard {
namespace {

constexpr absl::Duration kLong = absl::Seconds(30);

// The machine's, whose wall clock is set wrong and right again.
class ShiftedClock : public Clock {
 public:
  absl::Time Now() const override { return SystemClock().Now() + absl::Seconds(shift_s_.load()); }
  absl::Duration Monotonic() const override { return SystemClock().Monotonic(); }
  void ShiftBy(absl::Duration shift) { shift_s_ = absl::ToInt64Seconds(shift); }

 private:
  std::atomic<int64_t> shift_s_ = 0;
};

// Real time: the link is threads that wait.
class AuthorityLinkTest : public testing::Test {
 protected:
  ~AuthorityLinkTest() override { link_.reset(); }

  void Start(std::optional<NodeIdentity> node = std::nullopt) {
    AuthorityLink::Options options = {
        .trust_domain = authority_.trust_domain(),
        .dial = [this](const NodeIdentity& as) { return Dial(as); },
        .attest =
            [this](const std::string& csr_der, const BundleSet* known) {
              if (known != nullptr) ++attested_with_known_;
              return NewFakeAuthorityClient(authority_, std::nullopt)->Attest(token_, csr_der, kLong);
            },
        .keep =
            [this](const NodeIdentity& identity) {
              absl::MutexLock lock(&mutex_);
              kept_.push_back(identity);
              return absl::OkStatus();
            },
        .on_state =
            [this](NodeState state) {
              absl::MutexLock lock(&mutex_);
              states_.push_back(std::move(state));
            },
        .on_connected =
            [this] {
              absl::MutexLock lock(&mutex_);
              ++connected_;
            },
        .longest_wait = [] { return absl::Milliseconds(200); },
        .backoff = {.initial = absl::Milliseconds(10), .max = absl::Milliseconds(100), .factor = 2.0}};
    link_ = std::make_unique<AuthorityLink>(std::move(options), std::move(node), clock_, SystemRandom());
  }
  absl::StatusOr<std::shared_ptr<AuthorityClient>> Dial(const NodeIdentity& as) {
    absl::MutexLock lock(&mutex_);
    dialled_.push_back(as.svid.leaf().serial());
    if (unreachable_) return absl::UnavailableError("no route");
    // As the real authority does on a connection.
    const auto verified = VerifySvid(as.svid.chain(), authority_.bundles(), clock_.Now());
    if (!verified.ok()) return verified.status();
    return std::shared_ptr<AuthorityClient>(NewFakeAuthorityClient(authority_, as.svid.id()));
  }
  NodeIdentity Node(absl::Duration lifetime) {
    return {authority_.Mint("spiffe://example.org/lanyard/agent/n1", lifetime), authority_.bundles(),
            SystemClock().Now()};
  }
  void ShiftBothClocks(absl::Duration by) {
    authoritys_clock_.ShiftBy(by);
    clock_.ShiftBy(by);
  }
  void RenewWhileTheClocksAreAhead() {
    authority_.SetLifetimes(absl::Hours(1), absl::Hours(1));
    Start(Node(absl::Hours(1)));
    ASSERT_TRUE(WaitUntil([this] { return connected_ == 1; }));
    ShiftBothClocks(absl::Minutes(40));
    ASSERT_TRUE(WaitUntil([this] { return connected_ == 2; }));
  }
  bool WaitUntil(const std::function<bool()>& condition) {
    absl::MutexLock lock(&mutex_);
    const absl::Time deadline = SystemClock().Now() + kLong;
    // Some conditions change where this mutex is not released: look again.
    while (!mutex_.AwaitWithTimeout(absl::Condition(&condition), absl::Milliseconds(20))) {
      if (SystemClock().Now() > deadline) return false;
    }
    return true;
  }

  ShiftedClock clock_;           // this node's
  ShiftedClock authoritys_clock_;
  FakeAuthority authority_{authoritys_clock_};
  const std::string token_ = "n1";
  absl::Mutex mutex_;
  bool unreachable_ = false;
  std::vector<NodeIdentity> kept_;
  std::vector<NodeState> states_;
  std::vector<std::string> dialled_;
  int connected_ = 0;
  std::atomic<int> attested_with_known_ = 0;
  std::unique_ptr<AuthorityLink> link_;
};

TEST_F(AuthorityLinkTest, AttestsOnceAndThenLivesOnItsSvid) {
  authority_.AddToken("n1");
  Start();
  ASSERT_TRUE(WaitUntil([this] { return connected_ == 1; }));
  EXPECT_EQ(authority_.attested(), 1);
  ASSERT_EQ(kept_.size(), 1u);
  EXPECT_EQ(kept_[0].svid.id().path(), "/lanyard/agent/n1");
  EXPECT_EQ(kept_[0].bundles, authority_.bundles());
  EXPECT_NE(link_->client(), nullptr);
  // The next process needs no token.
  const NodeIdentity kept = kept_[0];
  link_.reset();
  Start(kept);
  ASSERT_TRUE(WaitUntil([this] { return connected_ == 2; }));
  EXPECT_EQ(authority_.attested(), 1);
}

TEST_F(AuthorityLinkTest, AnExpiredNodeSvidFallsBackToTheToken) {
  authority_.AddToken("n1");
  NodeIdentity expired = Node(-absl::Seconds(1));
  Start(expired);
  ASSERT_TRUE(WaitUntil([this] { return connected_ == 1; }));
  EXPECT_EQ(authority_.attested(), 1);
  // Whom it trusted before is not forgotten with the SVID.
  EXPECT_EQ(attested_with_known_, 1);
}

TEST_F(AuthorityLinkTest, ARefusedTokenIsTriedAgain) {
  Start();
  EXPECT_FALSE(authority_.attested());
  EXPECT_EQ(link_->client(), nullptr);
  ASSERT_TRUE(WaitUntil([this] { return !link_->status().last_error.empty(); }));
  EXPECT_FALSE(link_->status().connected);
  EXPECT_EQ(link_->status().agent, std::nullopt);
  authority_.AddToken("n1");
  ASSERT_TRUE(WaitUntil([this] { return connected_ == 1; }));
  const NodeStatus status = link_->status();
  EXPECT_TRUE(status.connected);
  EXPECT_EQ(status.last_error, "");
  EXPECT_EQ(status.agent->path(), "/lanyard/agent/n1");
  EXPECT_GT(status.not_after, SystemClock().Now());
}

TEST_F(AuthorityLinkTest, PassesStatesOnAsTheyChange) {
  Start(Node(absl::Hours(1)));
  ASSERT_TRUE(WaitUntil([this] { return states_.size() == 1; }));
  authority_.SetEntries({});
  ASSERT_TRUE(WaitUntil([this] { return states_.size() == 2; }));
  EXPECT_GT(states_[1].revision, states_[0].revision);
}

TEST_F(AuthorityLinkTest, RenewsAtHalfTimeOverANewConnectionMadeBeforeTheOldIsDropped) {
  authority_.SetLifetimes(absl::Hours(1), absl::Hours(1));
  Start(Node(absl::Hours(1)));
  ASSERT_TRUE(WaitUntil([this] { return connected_ == 1; }));
  const auto first = link_->client();
  EXPECT_EQ(authority_.renewed(), 0);
  ShiftBothClocks(absl::Minutes(40));
  ASSERT_TRUE(WaitUntil([this] { return connected_ == 2; }));
  EXPECT_EQ(authority_.renewed(), 1);
  EXPECT_NE(link_->client(), first);
  EXPECT_NE(link_->client(), nullptr);
  absl::MutexLock lock(&mutex_);
  ASSERT_EQ(dialled_.size(), 2u);
  EXPECT_NE(dialled_[0], dialled_[1]);
  EXPECT_EQ(dialled_[1], kept_.back().svid.leaf().serial());
  EXPECT_NE(kept_.back().svid.key().public_key_der(), "");
}

TEST_F(AuthorityLinkTest, AFailureWhileTheClockWasAheadDoesNotPutOffTheNextTry) {
  authority_.SetLifetimes(absl::Hours(1), absl::Hours(1));
  Start(Node(absl::Hours(1)));
  ASSERT_TRUE(WaitUntil([this] { return connected_ == 1; }));
  // What the authority signs by the right time has expired here.
  clock_.ShiftBy(absl::Hours(24));
  ASSERT_TRUE(WaitUntil([this] { return authority_.renewed() >= 2; }));
  {
    absl::MutexLock lock(&mutex_);
    ASSERT_TRUE(kept_.empty());
  }
  ShiftBothClocks(absl::Minutes(40));  // more than half of its time
  EXPECT_TRUE(WaitUntil([this] { return connected_ == 2; })) << "the node SVID expires";
  EXPECT_EQ(authority_.attested(), 0);
}

TEST_F(AuthorityLinkTest, ANodeSvidObtainedWhileTheClocksWereAheadIsReplaced) {
  ASSERT_NO_FATAL_FAILURE(RenewWhileTheClocksAreAhead());
  ShiftBothClocks(absl::ZeroDuration());
  ASSERT_TRUE(WaitUntil([this] { return connected_ == 3; })) << "that one is not valid for 40 minutes";
  EXPECT_TRUE(WaitUntil([this] { return kept_.back().svid.not_before() <= SystemClock().Now(); }));
  EXPECT_EQ(authority_.attested(), 0);
}

TEST_F(AuthorityLinkTest, ANodeSvidObtainedWhileTheClocksWereAheadGivesWayToTheOneBefore) {
  ASSERT_NO_FATAL_FAILURE(RenewWhileTheClocksAreAhead());
  authority_.SetAway(true);  // so that it cannot be renewed over the connection that is there
  ASSERT_TRUE(WaitUntil([this] { return link_->client() == nullptr; }));
  ShiftBothClocks(absl::ZeroDuration());
  authority_.SetAway(false);
  ASSERT_TRUE(WaitUntil([this] { return connected_ == 3; })) << "there is no token for another attestation";
  EXPECT_EQ(authority_.attested(), 0);
  EXPECT_TRUE(WaitUntil([this] { return kept_.back().svid.not_before() <= SystemClock().Now(); }));
}

TEST_F(AuthorityLinkTest, SurvivesTheAuthorityGoingAwayAndComingBack) {
  Start(Node(absl::Hours(1)));
  ASSERT_TRUE(WaitUntil([this] { return connected_ == 1; }));
  authority_.SetAway(true);
  ASSERT_TRUE(WaitUntil([this] { return link_->client() == nullptr && dialled_.size() >= 3; }));
  authority_.SetAway(false);
  EXPECT_TRUE(WaitUntil([this] { return connected_ == 2; }));
}

TEST_F(AuthorityLinkTest, AnUnreachableAuthorityIsDialledWithBackoff) {
  unreachable_ = true;
  Start(Node(absl::Hours(1)));
  ASSERT_TRUE(WaitUntil([this] { return dialled_.size() >= 3; }));
  {
    absl::MutexLock lock(&mutex_);
    unreachable_ = false;
  }
  EXPECT_TRUE(WaitUntil([this] { return connected_ == 1; }));
}

TEST_F(AuthorityLinkTest, ABrokenClientIsReplaced) {
  Start(Node(absl::Hours(1)));
  ASSERT_TRUE(WaitUntil([this] { return connected_ == 1; }));
  const auto client = link_->client();
  link_->Broken(client, absl::DeadlineExceededError("no answer"));
  ASSERT_TRUE(WaitUntil([this] { return connected_ == 2; }));
  EXPECT_NE(link_->client(), client);
  // Said of a client that is not used any more: nothing happens.
  link_->Broken(client, absl::DeadlineExceededError("no answer"));
  EXPECT_NE(link_->client(), nullptr);
}

TEST_F(AuthorityLinkTest, ANodeTheAuthorityForgotAttestsAnewWithATokenThatIsThere) {
  Start(Node(absl::Hours(1)));
  ASSERT_TRUE(WaitUntil([this] { return connected_ == 1; }));
  authority_.AddToken("n1");
  authority_.SetBanned(true);
  ASSERT_TRUE(WaitUntil([this] { return authority_.attested() == 1; }));
  authority_.SetBanned(false);
  EXPECT_TRUE(WaitUntil([this] { return connected_ == 2; }));
}

TEST_F(AuthorityLinkTest, ANodeKnownAgainNeedsNoToken) {
  Start(Node(absl::Hours(1)));
  ASSERT_TRUE(WaitUntil([this] { return connected_ == 1; }));
  authority_.SetBanned(true);
  ASSERT_TRUE(WaitUntil([this] { return dialled_.size() >= 2; }));
  authority_.SetBanned(false);
  EXPECT_TRUE(WaitUntil([this] { return connected_ == 2; }));
  EXPECT_EQ(authority_.attested(), 0);
}

TEST_F(AuthorityLinkTest, ChangedBundlesAreKept) {
  Start(Node(absl::Hours(1)));
  ASSERT_TRUE(WaitUntil([this] { return connected_ == 1; }));
  authority_.ReplaceRoot(true);
  ASSERT_TRUE(WaitUntil([this] { return !kept_.empty(); }));
  EXPECT_EQ(kept_.back().bundles, authority_.bundles());
  EXPECT_EQ(authority_.renewed(), 0);
}

TEST_F(AuthorityLinkTest, ARootThatIsGoneRenewsTheNodeAtOnce) {
  Start(Node(absl::Hours(1)));
  ASSERT_TRUE(WaitUntil([this] { return connected_ == 1; }));
  authority_.ReplaceRoot(false);
  EXPECT_TRUE(WaitUntil([this] { return connected_ == 2; }));
  EXPECT_EQ(authority_.renewed(), 1);
}

TEST_F(AuthorityLinkTest, AGrantForAnotherTrustDomainOrRoleIsRefused) {
  AuthorityLink::Options options = {
      .trust_domain = authority_.trust_domain(),
      .dial = [this](const NodeIdentity& as) { return Dial(as); },
      .attest = [this](const std::string& csr_der, const BundleSet*) -> absl::StatusOr<AuthorityClient::NodeGrant> {
        authority_.SetEntries({{.id = "e", .spiffe_id = *SpiffeId::Parse("spiffe://example.org/admin"),
                                .selectors = {}, .dns_names = {}, .hint = ""}});
        absl::MutexLock lock(&mutex_);
        ++connected_;  // counts attempts here
        return AuthorityClient::NodeGrant{*authority_.Sign("e", csr_der), authority_.bundles()};
      },
      .keep =
          [this](const NodeIdentity& identity) {
            absl::MutexLock lock(&mutex_);
            kept_.push_back(identity);
            return absl::OkStatus();
          },
      .on_state = [](NodeState) {},
      .on_connected = [] {},
      .longest_wait = [] { return absl::Milliseconds(20); },
      .backoff = {}};
  link_ = std::make_unique<AuthorityLink>(std::move(options), std::nullopt, SystemClock(), SystemRandom());
  ASSERT_TRUE(WaitUntil([this] { return connected_ >= 2; }));
  absl::MutexLock lock(&mutex_);
  EXPECT_TRUE(kept_.empty());
  EXPECT_TRUE(dialled_.empty());
}

}  // namespace
}  // namespace lanyard
