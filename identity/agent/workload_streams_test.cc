#include "identity/agent/workload_streams.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "identity/agent/fake_authority.h"
#include "identity/agent/fake_process_info.h"
#include "identity/agent/process_testing.h"

namespace lanyard {
namespace {

constexpr absl::Duration kLong = absl::Seconds(20);
using Kind = WorkloadStreams::Kind;

class FakeCall : public WorkloadCall {
 public:
  void Send(std::shared_ptr<const StreamAnswer> answer) override {
    absl::MutexLock lock(&mutex_);
    EXPECT_FALSE(ended_.has_value());
    answers_.push_back(std::move(answer));
  }
  void End(const absl::Status& status) override {
    absl::MutexLock lock(&mutex_);
    EXPECT_FALSE(ended_.has_value());
    ended_ = status;
  }
  bool WaitForAnswers(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&] { return answers_.size() >= count || ended_.has_value(); };
    mutex_.AwaitWithTimeout(absl::Condition(&there), kLong);
    return answers_.size() == count;
  }
  absl::StatusCode WaitForEnd() {
    absl::MutexLock lock(&mutex_);
    const auto ended = [&] { return ended_.has_value(); };
    return mutex_.AwaitWithTimeout(absl::Condition(&ended), kLong) ? ended_->code() : absl::StatusCode::kOk;
  }
  std::optional<WorkloadAnswer> last() {
    absl::MutexLock lock(&mutex_);
    return answers_.back()->workload;
  }
  std::optional<MeshAnswer> last_mesh() {
    absl::MutexLock lock(&mutex_);
    return answers_.back()->mesh;
  }

 private:
  absl::Mutex mutex_;
  std::vector<std::shared_ptr<const StreamAnswer>> answers_;
  std::optional<absl::Status> ended_;
};

class WorkloadStreamsTest : public testing::Test {
 protected:
  void Start(WorkloadStreams::Options options = {}) {
    streams_ = *WorkloadStreams::Start(
        options,
        [this] {
          absl::MutexLock lock(&mutex_);
          return view_;
        },
        processes_, SystemClock());
  }
  // The view to be: `lifetime` zero for an SVID that is still being fetched.
  void Put(const std::string& id, std::vector<std::string> selectors, absl::Duration lifetime = absl::Hours(1)) {
    auto entry = std::make_shared<const WorkloadEntry>(
        WorkloadEntry{.id = id, .spiffe_id = *SpiffeId::Parse("spiffe://example.org/" + id),
                      .selectors = std::move(selectors), .dns_names = {}, .hint = ""});
    std::optional<X509Svid> svid;
    if (lifetime > absl::ZeroDuration()) svid = authority_.Mint(entry->spiffe_id.ToString(), lifetime);
    items_[id] = {std::move(entry), std::move(svid)};
  }
  void Publish() {
    auto view = std::make_shared<WorkloadView>(WorkloadView{.version = ++version_,
                                                            .trust_domain = authority_.trust_domain(), .items = {},
                                                            .bundles = authority_.bundles(), .mesh = mesh_});
    for (const auto& [id, item] : items_) view->items.push_back(item);
    {
      absl::MutexLock lock(&mutex_);
      view_ = std::move(view);
    }
    streams_->Changed();
  }
  std::shared_ptr<FakeCall> Call(Kind kind = Kind::kSvids, std::shared_ptr<const LocalPeer> peer = SelfPeer()) {
    auto call = std::make_shared<FakeCall>();
    const auto id = streams_->Add(kind, std::move(peer), call);
    if (id.ok()) {
      last_id_ = *id;
    } else {
      call->End(id.status());
    }
    return call;
  }

  void PutMesh(uint64_t version, const std::string& workload, const std::string& rules) {
    mesh_ = std::make_shared<const NodeMesh>(NodeMesh{
        .version = version, .rules = {{"p", {*PeerPattern::Parse("spiffe://example.org/" + workload)}, rules}},
        .bans = "[bans]"});
  }

  const std::string me_ = absl::StrCat("unix:uid:", getuid());
  FakeAuthority authority_{SystemClock()};
  FakeProcessInfo processes_;
  std::map<std::string, WorkloadView::Item> items_;
  std::shared_ptr<const NodeMesh> mesh_;
  uint64_t version_ = 0, last_id_ = 0;
  absl::Mutex mutex_;
  std::shared_ptr<const WorkloadView> view_;
  std::unique_ptr<WorkloadStreams> streams_;
};

TEST_F(WorkloadStreamsTest, WithoutAStateCallsAreUnavailable) {
  Start();
  EXPECT_EQ(Call()->WaitForEnd(), absl::StatusCode::kUnavailable);
}

TEST_F(WorkloadStreamsTest, AnswersAtOnceAndAtEveryChange) {
  Start();
  Put("web", {me_});
  Publish();
  const auto call = Call();
  ASSERT_TRUE(call->WaitForAnswers(1));
  EXPECT_EQ(call->last()->identities.at(0).svid.id().path(), "/web");
  Put("web", {me_});
  Publish();
  ASSERT_TRUE(call->WaitForAnswers(2));
  authority_.ReplaceRoot(true);
  Publish();
  ASSERT_TRUE(call->WaitForAnswers(3));
  EXPECT_EQ(call->last()->bundles, authority_.bundles());
}

TEST_F(WorkloadStreamsTest, WhatDoesNotConcernACallerIsNotSentAgain) {
  Start();
  Put("web", {me_});
  Publish();
  const auto call = Call();
  ASSERT_TRUE(call->WaitForAnswers(1));
  Put("foreign", {"unix:uid:424242"});
  Publish();
  Put("web", {me_});
  Publish();
  ASSERT_TRUE(call->WaitForAnswers(2));
  EXPECT_EQ(streams_->stats().answers_sent, 2u);
}

TEST_F(WorkloadStreamsTest, ACallerWithoutAnEntryIsDenied) {
  Start();
  Put("foreign", {"unix:uid:424242"});
  Publish();
  const auto peer = SelfPeer();
  EXPECT_EQ(Call(Kind::kSvids, peer)->WaitForEnd(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Call(Kind::kBundles, peer)->WaitForEnd(), absl::StatusCode::kPermissionDenied);
  EXPECT_FALSE(peer->entitled());
}

TEST_F(WorkloadStreamsTest, WhoHasGotSomethingIsKnownToBeEntitled) {
  Start();
  Put("web", {me_});
  Publish();
  const auto peer = SelfPeer();
  ASSERT_TRUE(Call(Kind::kSvids, peer)->WaitForAnswers(1));
  EXPECT_TRUE(peer->entitled());
}

TEST_F(WorkloadStreamsTest, ARevokedEntryReducesTheAnswerAndTheLastEndsTheCall) {
  Start();
  Put("a", {me_});
  Put("b", {me_});
  Publish();
  const auto call = Call();
  ASSERT_TRUE(call->WaitForAnswers(1));
  EXPECT_EQ(call->last()->identities.size(), 2u);
  items_.erase("a");
  Publish();
  ASSERT_TRUE(call->WaitForAnswers(2));
  EXPECT_EQ(call->last()->identities.size(), 1u);
  items_.clear();
  Publish();
  EXPECT_EQ(call->WaitForEnd(), absl::StatusCode::kPermissionDenied);
}

TEST_F(WorkloadStreamsTest, ABannedIdLeavesTheAnswerAndTheLastEndsTheCall) {
  Start();
  Put("a", {me_});
  Put("b", {me_});
  Publish();
  const auto call = Call();
  ASSERT_TRUE(call->WaitForAnswers(1));
  const auto ban = [this](const std::string& subject) {
    auto mesh = std::make_shared<NodeMesh>();
    mesh->ban_set = BanSet(std::vector<Ban>{{*BanSubject::Parse(subject), "", SystemClock().Now()}});
    mesh_ = std::move(mesh);
    Publish();
  };
  ban("spiffe://example.org/a");
  ASSERT_TRUE(call->WaitForAnswers(2));
  ASSERT_EQ(call->last()->identities.size(), 1u);
  EXPECT_EQ(call->last()->identities[0].svid.id().path(), "/b");
  ban("spiffe://example.org/*");
  EXPECT_EQ(call->WaitForEnd(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Call()->WaitForEnd(), absl::StatusCode::kPermissionDenied);
  mesh_ = nullptr;
  Publish();
  EXPECT_TRUE(Call()->WaitForAnswers(1)) << "unbanned, it is served again";
}

TEST_F(WorkloadStreamsTest, WaitsForAnSvidThatIsBeingFetched) {
  Start();
  Put("web", {me_}, absl::ZeroDuration());
  Publish();
  const auto call = Call();
  const auto bundles = Call(Kind::kBundles);
  // One thread decides, in order: when the later call has its bundles, the earlier one was looked at.
  ASSERT_TRUE(bundles->WaitForAnswers(1));
  Put("web", {me_});
  Publish();
  ASSERT_TRUE(call->WaitForAnswers(1));
  EXPECT_EQ(call->last()->identities.size(), 1u);
}

TEST_F(WorkloadStreamsTest, AnSvidThatCannotBeHadDelaysNoOther) {
  WorkloadStreams::Options options;
  options.answer_timeout = absl::Hours(1);
  Start(options);
  Put("web", {me_});
  Put("banned", {me_}, absl::ZeroDuration());
  Publish();
  const auto call = Call();
  const auto bundles = Call(Kind::kBundles);
  // One thread decides, in order: when the later call has its bundles, the earlier one was looked at, and waits.
  ASSERT_TRUE(bundles->WaitForAnswers(1));
  items_["banned"].failed = true;
  Publish();
  ASSERT_TRUE(call->WaitForAnswers(1));
  EXPECT_EQ(call->last()->identities.size(), 1u);
  const auto later = Call();
  ASSERT_TRUE(later->WaitForAnswers(1));
}

TEST_F(WorkloadStreamsTest, TheWaitIsBounded) {
  WorkloadStreams::Options options;
  options.answer_timeout = absl::Milliseconds(50);
  Start(options);
  Put("web", {me_}, absl::ZeroDuration());
  Publish();
  EXPECT_EQ(Call()->WaitForEnd(), absl::StatusCode::kUnavailable);
  // With one of two there is something to send when the wait is over.
  Put("db", {me_});
  Publish();
  const auto call = Call();
  ASSERT_TRUE(call->WaitForAnswers(1));
  EXPECT_EQ(call->last()->identities.size(), 1u);
}

TEST_F(WorkloadStreamsTest, ACallWhoseCallerExitsEnds) {
  Start();
  Put("web", {me_});
  Publish();
  IdleChild child;
  const auto call = Call(Kind::kSvids, child.Peer());
  ASSERT_TRUE(call->WaitForAnswers(1));
  child.End();
  EXPECT_EQ(call->WaitForEnd(), absl::StatusCode::kPermissionDenied);
}

TEST_F(WorkloadStreamsTest, ACallerThatHasExitedGetsNothing) {
  Start();
  Put("web", {me_});
  Publish();
  IdleChild child;
  const auto peer = child.Peer();
  child.End();
  const auto call = Call(Kind::kSvids, peer);
  EXPECT_EQ(call->WaitForEnd(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(streams_->stats().answers_sent, 0u);
}

TEST_F(WorkloadStreamsTest, AHashThatIsAskedForLaterIsFoundOut) {
  Start();
  Put("web", {me_});
  Publish();
  const auto call = Call();
  ASSERT_TRUE(call->WaitForAnswers(1));
  Put("z", {"unix:sha256:abcd"});
  Publish();
  ASSERT_TRUE(call->WaitForAnswers(2));
  EXPECT_EQ(call->last()->identities.size(), 2u);
}

TEST_F(WorkloadStreamsTest, AHashThatTakesLongHoldsBackNoRenewal) {
  absl::Notification go_on;
  processes_.on_hash = [&](pid_t) { go_on.WaitForNotification(); };
  Start();
  Put("web", {me_});
  Publish();
  const auto call = Call();
  ASSERT_TRUE(call->WaitForAnswers(1));
  Put("z", {"unix:sha256:abcd"});
  Publish();
  Put("web", {me_});
  Publish();
  EXPECT_TRUE(call->WaitForAnswers(2));
  EXPECT_EQ(call->last()->identities.size(), 1u);
  go_on.Notify();
  ASSERT_TRUE(call->WaitForAnswers(3));
  EXPECT_EQ(call->last()->identities.size(), 2u);
}

TEST_F(WorkloadStreamsTest, ABinaryIsHashedOnlyForEntriesThatTheCallerMightHave) {
  Start();
  Put("web", {me_});
  Put("foreign", {"unix:uid:424242", "unix:sha256:abcd"});
  Publish();
  ASSERT_TRUE(Call()->WaitForAnswers(1));
  EXPECT_EQ(processes_.hashed, 0);
  Put("mine", {me_, "unix:sha256:abcd"});
  Publish();
  const auto call = Call();
  ASSERT_TRUE(call->WaitForAnswers(1));
  EXPECT_EQ(call->last()->identities.size(), 2u);
}

TEST_F(WorkloadStreamsTest, WhoCannotBeRecognisedForTheMomentIsNotDenied) {
  processes_.path = absl::ResourceExhaustedError("too many open files");
  Start();
  Put("web", {me_, "unix:path:/usr/bin/app"});
  Publish();
  EXPECT_EQ(Call()->WaitForEnd(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Call(Kind::kMesh)->WaitForEnd(), absl::StatusCode::kUnavailable);
}

// Its binary was replaced since, so that it could not be recognised by its path any more.
TEST_F(WorkloadStreamsTest, WhoIsHashedLaterKeepsWhatItWasRecognisedBy) {
  std::atomic<bool> replaced = false;
  processes_.path_now = [&]() -> absl::StatusOr<std::string> {
    if (replaced) return absl::FailedPreconditionError("deleted");
    return std::string("/usr/bin/app");
  };
  Start();
  Put("web", {me_, "unix:path:/usr/bin/app"});
  Publish();
  const auto call = Call();
  ASSERT_TRUE(call->WaitForAnswers(1));
  replaced = true;
  Put("mine", {me_, "unix:sha256:abcd"});
  Publish();
  ASSERT_TRUE(call->WaitForAnswers(2));
  EXPECT_EQ(call->last()->identities.size(), 2u);
}

TEST_F(WorkloadStreamsTest, TooManyCallsOfOneUserAreUnavailableUntilOneIsGone) {
  WorkloadStreams::Options options;
  options.max_streams_per_uid = 2;
  Start(options);
  Put("web", {me_});
  Publish();
  const auto first = Call(), second = Call();
  EXPECT_EQ(Call()->WaitForEnd(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(streams_->stats().refused_limit, 1u);
  streams_->Remove(last_id_);
  EXPECT_TRUE(Call()->WaitForAnswers(1));
  EXPECT_EQ(streams_->stats().open, 2u);
}

TEST_F(WorkloadStreamsTest, TooManyCallsInAllAreUnavailable) {
  WorkloadStreams::Options options;
  options.max_streams = 1;
  Start(options);
  Put("web", {me_});
  Publish();
  const auto first = Call();
  EXPECT_EQ(Call()->WaitForEnd(), absl::StatusCode::kUnavailable);
}

TEST_F(WorkloadStreamsTest, StopEndsEveryCall) {
  Start();
  Put("web", {me_});
  Publish();
  const auto call = Call();
  ASSERT_TRUE(call->WaitForAnswers(1));
  streams_->Stop();
  EXPECT_EQ(call->WaitForEnd(), absl::StatusCode::kUnavailable);
}

TEST_F(WorkloadStreamsTest, AMeshCallIsToldWhatConcernsItAtOnceAndAtEveryChangeOfThat) {
  Start();
  Put("web", {me_}, absl::ZeroDuration());  // rules need no SVID
  PutMesh(1, "web", "[a]");
  Publish();
  const auto call = Call(Kind::kMesh);
  ASSERT_TRUE(call->WaitForAnswers(1));
  EXPECT_EQ(call->last_mesh()->version, 1u);
  EXPECT_EQ(call->last_mesh()->rules, "[a]");
  EXPECT_EQ(call->last_mesh()->bans, "[bans]");
  EXPECT_EQ(call->last_mesh()->spiffe_ids.at(0).path(), "/web");
  Put("web", {me_});
  Publish();  // an SVID: nothing of the mesh
  PutMesh(2, "db", "[b]");
  Publish();
  ASSERT_TRUE(call->WaitForAnswers(2));
  EXPECT_FALSE(call->last_mesh()->has_rules);
  Put("db", {me_});
  Publish();
  ASSERT_TRUE(call->WaitForAnswers(3));
  EXPECT_EQ(call->last_mesh()->rules, "[b]");
}

TEST_F(WorkloadStreamsTest, AMeshCallIsToldTheRulesOfTheIdentityItShows) {
  const auto id = [](const char* path) { return *SpiffeId::Parse(absl::StrCat("spiffe://example.org", path)); };
  const auto of = [](const char* name, const char* view) {
    return WorkloadRules{name, {*PeerPattern::Parse(absl::StrCat("spiffe://example.org/", name))}, view};
  };
  Start();
  Put("metrics", {me_});
  Put("web", {me_});
  mesh_ = std::make_shared<const NodeMesh>(
      NodeMesh{.version = 1, .rules = {of("metrics", "[m]"), of("web", "[w]")}, .bans = "[bans]"});
  Publish();
  const auto call = Call(Kind::kMesh);
  ASSERT_TRUE(call->WaitForAnswers(1));
  EXPECT_EQ(call->last_mesh()->rules, "[m]") << "of the default";
  EXPECT_EQ(call->last_mesh()->spiffe_id, id("/metrics"));
  streams_->Shows(last_id_, id("/web"));
  ASSERT_TRUE(call->WaitForAnswers(2));
  EXPECT_EQ(call->last_mesh()->rules, "[w]");
  EXPECT_EQ(call->last_mesh()->spiffe_id, id("/web"));
  EXPECT_EQ(call->last_mesh()->spiffe_ids.size(), 2u);
  streams_->Shows(last_id_, id("/bank"));   // not its own
  ASSERT_TRUE(call->WaitForAnswers(3));
  EXPECT_EQ(call->last_mesh()->rules, "[m]");
  streams_->Shows(last_id_, id("/web"));
  ASSERT_TRUE(call->WaitForAnswers(4));
  // The entry goes, and the authority stops sending its rules: it may hold a valid SVID for a while.
  items_.erase("web");
  mesh_ = std::make_shared<const NodeMesh>(NodeMesh{.version = 2, .rules = {of("metrics", "[m]")}, .bans = "[more]"});
  Publish();
  ASSERT_TRUE(call->WaitForAnswers(5));
  EXPECT_EQ(call->last_mesh()->rules, "[w]");
  EXPECT_EQ(call->last_mesh()->bans, "[more]");
  streams_->Shows(last_id_, id("/metrics"));
  ASSERT_TRUE(call->WaitForAnswers(6));
  EXPECT_EQ(call->last_mesh()->rules, "[m]");
  streams_->Shows(last_id_ + 1000, id("/metrics"));   // of nobody: nothing happens
}

TEST_F(WorkloadStreamsTest, AMeshCallOutlivesItsEntriesAndHearsOfBans) {
  Start();
  Put("web", {me_});
  PutMesh(1, "web", "[a]");
  Publish();
  const auto call = Call(Kind::kMesh);
  const auto svids = Call();
  ASSERT_TRUE(call->WaitForAnswers(1));
  items_.clear();
  mesh_ = std::make_shared<const NodeMesh>(NodeMesh{.version = 2, .rules = {}, .bans = "[more]"});
  Publish();
  ASSERT_TRUE(call->WaitForAnswers(2));
  EXPECT_EQ(svids->WaitForEnd(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(call->last_mesh()->version, 2u);
  EXPECT_EQ(call->last_mesh()->rules, "[a]");
  EXPECT_EQ(call->last_mesh()->bans, "[more]");
  EXPECT_EQ(Call(Kind::kMesh)->WaitForEnd(), absl::StatusCode::kPermissionDenied) << "a new one is nobody's";
  Put("web", {me_});
  PutMesh(3, "web", "[b]");
  Publish();
  ASSERT_TRUE(call->WaitForAnswers(3));
  EXPECT_EQ(call->last_mesh()->rules, "[b]");
}

TEST_F(WorkloadStreamsTest, AMeshCallIsUnavailableWhileNothingIsKnownOfTheMesh) {
  Start();
  Put("web", {me_});
  Publish();
  EXPECT_EQ(Call(Kind::kMesh)->WaitForEnd(), absl::StatusCode::kUnavailable);
  Put("web", {"unix:uid:424242"});
  Publish();
  EXPECT_EQ(Call(Kind::kMesh)->WaitForEnd(), absl::StatusCode::kPermissionDenied);
}

TEST_F(WorkloadStreamsTest, AThousandCallsAreAnsweredByAHandfulOfThreads) {
  Start();
  Put("web", {me_});
  Publish();
  std::vector<std::shared_ptr<FakeCall>> calls;
  const auto peer = SelfPeer();
  for (int i = 0; i < 1000; ++i) calls.push_back(Call(Kind::kSvids, peer));
  for (const auto& call : calls) ASSERT_TRUE(call->WaitForAnswers(1));
  Put("web", {me_});
  Publish();
  for (const auto& call : calls) ASSERT_TRUE(call->WaitForAnswers(2));
}

}  // namespace
}  // namespace lanyard
