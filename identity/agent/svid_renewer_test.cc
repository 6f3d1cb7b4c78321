#include "identity/agent/svid_renewer.h"

#include <gtest/gtest.h>

#include <optional>

#include "identity/agent/fake_authority.h"
#include "identity/base/random.h"

namespace lanyard {
namespace {

constexpr absl::Duration kLong = absl::Seconds(20);

WorkloadEntry Entry(int number) {
  const std::string name = std::to_string(number);
  return {.id = name, .spiffe_id = *SpiffeId::Parse("spiffe://example.org/" + name), .selectors = {"unix:uid:1"},
          .dns_names = {}, .hint = ""};
}

// Real time: the renewer is a thread that waits.
class SvidRenewerTest : public testing::Test {
 protected:
  SvidRenewerTest() {
    cache_.OnChange([this] {
      absl::MutexLock lock(&mutex_);
      Look();
    });
    SetClient(NewFakeAuthorityClient(authority_, *SpiffeId::Parse("spiffe://example.org/lanyard/agent/n")));
  }
  void SetClient(std::shared_ptr<AuthorityClient> client) {
    absl::MutexLock lock(&mutex_);
    client_ = std::move(client);
  }
  void Start() {
    renewer_ = std::make_unique<SvidRenewer>(
        cache_,
        SvidRenewer::Connection{[this] {
                                  absl::MutexLock lock(&mutex_);
                                  return client_;
                                },
                                [this](const std::shared_ptr<AuthorityClient>& client, const absl::Status&) {
                                  absl::MutexLock lock(&mutex_);
                                  broken_ = client;
                                }},
        [this](const KeptWorkloads& kept) {
          absl::MutexLock lock(&mutex_);
          if (disk_is_full_) {
            ++refused_;
            return absl::ResourceExhaustedError("disk full");
          }
          kept_ = kept;
          return absl::OkStatus();
        },
        SystemClock());
  }
  void Set(int entries) {
    std::vector<WorkloadEntry> list;
    for (int i = 0; i < entries; ++i) list.push_back(Entry(i));
    authority_.SetEntries(list);
    cache_.SetState({1, list, authority_.bundles()});
    if (renewer_ != nullptr) renewer_->Wake();
  }
  // With mutex_ held, at every change: of the first entry's SVIDs, those that another took the place of in time.
  void Look() {
    const auto view = cache_.view();
    if (view->items.empty() || !view->items[0].svid.has_value()) return;
    const X509Svid& svid = *view->items[0].svid;
    if (shown_.has_value() && shown_->leaf().serial() != svid.leaf().serial()) {
      EXPECT_NE(shown_->key().public_key_der(), svid.key().public_key_der());
      if (SystemClock().Now() < shown_->not_after()) ++replaced_in_time_;
    }
    shown_ = svid;
  }
  size_t Held() const {
    size_t held = 0;
    for (const auto& item : cache_.view()->items) held += item.svid.has_value();
    return held;
  }
  bool WaitUntil(const std::function<bool()>& condition) {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&condition), kLong);
  }

  FakeAuthority authority_{SystemClock()};
  SvidCache cache_{authority_.trust_domain(), SystemClock(), SystemRandom()};
  absl::Mutex mutex_;
  std::optional<X509Svid> shown_;
  int replaced_in_time_ = 0;
  std::shared_ptr<AuthorityClient> client_, broken_;
  KeptWorkloads kept_;
  bool disk_is_full_ = false;
  int refused_ = 0;
  std::unique_ptr<SvidRenewer> renewer_;
};

TEST_F(SvidRenewerTest, FetchesEverythingInBatchesAndKeepsIt) {
  Start();
  Set(250);
  ASSERT_TRUE(WaitUntil([this] { return Held() == 250; }));
  EXPECT_EQ(authority_.sign_calls(), 3);
  EXPECT_EQ(authority_.signed_svids(), 250);
  ASSERT_TRUE(WaitUntil([this] { return kept_.svids.size() == 250; }));
}

TEST_F(SvidRenewerTest, RenewsSvidsOfTwoSecondsInTimeEachWithANewKey) {
  authority_.SetLifetimes(absl::Seconds(2), absl::Hours(1));
  Start();
  Set(1);
  // Of as many as that takes: where the machine is busy for a second, one is late.
  EXPECT_TRUE(WaitUntil([this] { return replaced_in_time_ >= 2; }));
}

TEST_F(SvidRenewerTest, WaitsForAConnection) {
  const auto client = client_;
  SetClient(nullptr);
  Start();
  Set(1);
  EXPECT_EQ(authority_.sign_calls(), 0);
  SetClient(client);
  renewer_->Wake();
  EXPECT_TRUE(WaitUntil([this] { return Held() == 1; }));
}

TEST_F(SvidRenewerTest, OneRefusedEntryDoesNotHinderTheOthersAndIsTriedAgain) {
  authority_.RefuseEntry("1", absl::ResourceExhaustedError("not now"));
  Start();
  Set(3);
  ASSERT_TRUE(WaitUntil([this] { return Held() == 2; }));
  authority_.RefuseEntry("1", absl::OkStatus());
  EXPECT_TRUE(WaitUntil([this] { return Held() == 3; }));
}

TEST_F(SvidRenewerTest, SaysThatAConnectionIsBroken) {
  authority_.SetAway(true);
  Start();
  Set(1);
  EXPECT_TRUE(WaitUntil([this] { return broken_ != nullptr && broken_ == client_; }));
  authority_.SetAway(false);
  EXPECT_TRUE(WaitUntil([this] { return Held() == 1; }));
}

TEST_F(SvidRenewerTest, TriesToKeepUntilItCan) {
  {
    absl::MutexLock lock(&mutex_);
    disk_is_full_ = true;
  }
  Start();
  Set(1);
  ASSERT_TRUE(WaitUntil([this] { return Held() == 1 && refused_ >= 1; }));
  {
    absl::MutexLock lock(&mutex_);
    disk_is_full_ = false;
  }
  EXPECT_TRUE(WaitUntil([this] { return kept_.svids.size() == 1; })) << "with nothing else to do";
}

TEST_F(SvidRenewerTest, KeepsTheLastStateAtTheEnd) {
  Start();
  Set(1);
  ASSERT_TRUE(WaitUntil([this] { return Held() == 1; }));
  renewer_.reset();
  EXPECT_EQ(kept_.svids.size(), 1u);
  EXPECT_EQ(kept_.state.entries.size(), 1u);
}

}  // namespace
}  // namespace lanyard
