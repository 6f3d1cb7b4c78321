#include "identity/agent/caller.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "absl/strings/str_cat.h"
#include "identity/agent/fake_process_info.h"
#include "identity/agent/process_testing.h"

namespace lanyard {
namespace {

class CallerTest : public testing::Test {
 protected:
  SelectorSet Recognize() {
    auto selectors = RecognizeCaller(*SelfPeer(), processes_);
    EXPECT_TRUE(selectors.ok()) << selectors.status();
    return selectors.ok() ? *selectors : SelectorSet();
  }
  SelectorSet RecognizeAndHash() {
    SelectorSet selectors = Recognize();
    EXPECT_TRUE(AddSha256(*SelfPeer(), processes_, selectors).ok());
    return selectors;
  }
  FakeProcessInfo processes_;
};

TEST_F(CallerTest, EverySelector) {
  processes_.groups = std::vector<gid_t>{4, 24};
  processes_.users[getuid()] = "alice";
  processes_.group_names[getgid()] = "staff";
  EXPECT_EQ(RecognizeAndHash(),
            (SelectorSet{absl::StrCat("unix:uid:", getuid()), absl::StrCat("unix:gid:", getgid()), "unix:user:alice",
                         "unix:group:staff", "unix:supplementary_gid:4", "unix:supplementary_gid:24",
                         "unix:path:/usr/bin/app", "unix:sha256:abcd"}));
}

TEST_F(CallerTest, WhatCannotBeFoundOutIsLeftOut) {
  processes_.groups = absl::PermissionDeniedError("no");
  processes_.path = absl::FailedPreconditionError("deleted");
  processes_.sha256 = absl::FailedPreconditionError("deleted");
  EXPECT_EQ(RecognizeAndHash(),
            (SelectorSet{absl::StrCat("unix:uid:", getuid()), absl::StrCat("unix:gid:", getgid())}));
}

TEST_F(CallerTest, WhatCouldNotBeFoundOutForTheMomentIsNamed) {
  processes_.groups = absl::ResourceExhaustedError("too many open files");
  processes_.path = absl::PermissionDeniedError("not as this user");
  processes_.sha256 = absl::AbortedError("it changed while it was read");
  SelectorKinds unknown;
  auto selectors = RecognizeCaller(*SelfPeer(), processes_, &unknown);
  ASSERT_TRUE(selectors.ok());
  EXPECT_EQ(unknown, (SelectorKinds{"unix:supplementary_gid:"})) << "that a user has no name will be so the next time";
  ASSERT_TRUE(AddSha256(*SelfPeer(), processes_, *selectors, &unknown).ok());
  EXPECT_EQ(unknown, (SelectorKinds{"unix:sha256:", "unix:supplementary_gid:"}));
}

TEST_F(CallerTest, HashesByItselfAlone) {
  Recognize();
  EXPECT_EQ(processes_.hashed, 0);
  RecognizeAndHash();
  EXPECT_EQ(processes_.hashed, 1);
}

TEST_F(CallerTest, UidAndGidAreTheConnections) {
  const LocalPeer peer(getpid(), 4242, 4343, PidfdOpen(getpid()));
  const auto selectors = RecognizeCaller(peer, processes_);
  ASSERT_TRUE(selectors.ok());
  EXPECT_TRUE(selectors->contains("unix:uid:4242"));
  EXPECT_TRUE(selectors->contains("unix:gid:4343"));
}

TEST_F(CallerTest, ACallerThatExitedIsNobody) {
  IdleChild child;
  const auto peer = child.Peer();
  child.End();
  EXPECT_TRUE(absl::IsPermissionDenied(RecognizeCaller(*peer, processes_).status()));
}

TEST_F(CallerTest, ACallerThatExitsWhileItIsHashedIsNobody) {
  IdleChild child;
  const auto peer = child.Peer();
  processes_.on_hash = [&](pid_t) { child.End(); };
  SelectorSet selectors;
  EXPECT_TRUE(absl::IsPermissionDenied(AddSha256(*peer, processes_, selectors)));
}

TEST_F(CallerTest, ACallerThatExitsWhileItIsLookedAtIsNobody) {
  IdleChild child;
  const auto peer = child.Peer();
  processes_.on_read = [&] { child.End(); };
  EXPECT_TRUE(absl::IsPermissionDenied(RecognizeCaller(*peer, processes_).status()));
}

// The pid of a caller that exited may name another, living process by now: here this test itself.
TEST_F(CallerTest, AReusedPidIsNobody) {
  IdleChild child;
  const LocalPeer peer(getpid(), getuid(), getgid(), PidfdOpen(child.pid()));
  child.End();
  EXPECT_TRUE(absl::IsPermissionDenied(RecognizeCaller(peer, processes_).status()));
}

TEST_F(CallerTest, ACallerOfAnotherPidNamespaceIsNobody) {
  const LocalPeer peer(0, getuid(), getgid(), PidfdOpen(getpid()));
  EXPECT_TRUE(absl::IsPermissionDenied(RecognizeCaller(peer, processes_).status()));
}

}  // namespace
}  // namespace lanyard
