#include "proxy/control/identity_source.h"

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "absl/synchronization/mutex.h"
#include "gtest/gtest.h"
#include "identity/base/atomic_file.h"
#include "identity/base/fake_clock.h"
#include "identity/spiffe/fake_ca.h"
#include "identity/workload/fake_workload_api.h"

namespace lanyard {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);

// Counts what a source offers, from the control thread.
class IdentitySourceTest : public testing::Test {
 protected:
  IdentitySourceTest() { Write("bundle.pem", ca_.Bundle().ToPem()); }
  ~IdentitySourceTest() override {
    loop_.Stop();
    std::filesystem::remove_all(folder_);
  }

  static std::string MakeFolder() {
    std::string folder = "/tmp/identity_source_XXXXXX";  // a socket's path has a hundred bytes
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    return folder;
  }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(folder_ + "/" + name, text, 0600).ok());
  }
  void WriteSvid(const FakeLeaf& leaf) {
    Write("svid.pem", leaf.ChainPem());
    Write("key.pem", leaf.KeyPem());
  }
  bool AwaitSerial(const std::string& serial) {
    absl::MutexLock lock(&mutex_);
    const auto arrived = [&] { return serial_ == serial; };
    return mutex_.AwaitWithTimeout(absl::Condition(&arrived), kPatience);
  }
  bool AwaitFailures(uint64_t failures) {
    absl::MutexLock lock(&mutex_);
    const auto arrived = [&] { return failures_ >= failures; };
    return mutex_.AwaitWithTimeout(absl::Condition(&arrived), kPatience);
  }
  // How many failures there were before that many offers; no more while the stream that brought the last is open.
  uint64_t FailuresBefore(uint64_t offers) {
    absl::MutexLock lock(&mutex_);
    const auto arrived = [&] { return offers_ >= offers; };
    EXPECT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&arrived), kPatience));
    return failures_;
  }
  void Start(IdentitySource& source) {
    source.Start();
    loop_.Every(absl::Milliseconds(5), [this] {
      absl::MutexLock lock(&mutex_);
      failures_ = rotation_.failures();
      offers_ = rotation_.offers();
    });
    loop_.Start();
  }

  const FakeCa ca_ = FakeCa::Root("td");
  FakeClock clock_{ca_.certificate().not_before() + absl::Minutes(61)};
  const std::string folder_ = MakeFolder();
  absl::Mutex mutex_;
  std::string serial_;
  uint64_t failures_ = 0, offers_ = 0;
  ControlLoop loop_;
  IdentityRotation rotation_{{std::nullopt, "test", &clock_, {},
                              [this](std::shared_ptr<const TlsContext> tls, bool withdrawn) {
                                absl::MutexLock lock(&mutex_);
                                serial_ = withdrawn ? "withdrawn" : tls->svid()->leaf().serial();
                              }}};
  const IdentitySource::Options files_{
      "", IdentityFiles{folder_ + "/svid.pem", folder_ + "/key.pem", folder_ + "/bundle.pem", {}},
      absl::Milliseconds(20)};
};

TEST_F(IdentitySourceTest, FilesThatAppearLaterAreTheFirstIdentity) {
  IdentitySource source(files_, loop_, rotation_);
  Start(source);
  ASSERT_TRUE(AwaitFailures(1));
  const FakeLeaf leaf = ca_.Leaf("spiffe://td/web");
  WriteSvid(leaf);
  EXPECT_TRUE(AwaitSerial(leaf.Svid().leaf().serial()));
}

TEST_F(IdentitySourceTest, ReplacedFilesAreTakenAndBrokenOnesAreNot) {
  const FakeLeaf first = ca_.Leaf("spiffe://td/web"), second = ca_.Leaf("spiffe://td/web");
  WriteSvid(first);
  IdentitySource source(files_, loop_, rotation_);
  Start(source);
  ASSERT_TRUE(AwaitSerial(first.Svid().leaf().serial()));
  Write("svid.pem", second.ChainPem());  // without its key
  ASSERT_TRUE(AwaitFailures(1));
  EXPECT_TRUE(AwaitSerial(first.Svid().leaf().serial()));
  Write("key.pem", second.KeyPem());
  EXPECT_TRUE(AwaitSerial(second.Svid().leaf().serial()));
}

TEST_F(IdentitySourceTest, TheWorkloadApiRotatesAndWithdraws) {
  const std::string path = folder_ + "/agent.sock";
  FakeWorkloadApi agent(path);
  const FakeLeaf first = ca_.Leaf("spiffe://td/web"), second = ca_.Leaf("spiffe://td/web");
  agent.Send(FakeWorkloadApi::ResponseFor(first, ca_));
  IdentitySource source({"unix:" + path, std::nullopt, absl::Seconds(1)}, loop_, rotation_);
  Start(source);
  ASSERT_TRUE(AwaitSerial(first.Svid().leaf().serial()));
  agent.Fail(grpc::StatusCode::UNAVAILABLE, "restarting");
  ASSERT_TRUE(AwaitFailures(1));
  EXPECT_TRUE(AwaitSerial(first.Svid().leaf().serial()));
  agent.Send(FakeWorkloadApi::ResponseFor(first, ca_));
  const uint64_t failures = FailuresBefore(2);
  X509SVIDResponse garbage = FakeWorkloadApi::ResponseFor(second, ca_);
  garbage.mutable_svids(0)->set_x509_svid("garbage");
  agent.Send(garbage);
  ASSERT_TRUE(AwaitFailures(failures + 1)) << "but the stream goes on";
  agent.Fail(grpc::StatusCode::PERMISSION_DENIED, "no identity issued");
  ASSERT_TRUE(AwaitFailures(failures + 2));
  EXPECT_TRUE(AwaitSerial(first.Svid().leaf().serial())) << "for a moment yet";
  clock_.Advance(IdentityRotation::kWithdrawnAfter);
  ASSERT_TRUE(AwaitSerial("withdrawn"));
  agent.Send(FakeWorkloadApi::ResponseFor(second, ca_));
  EXPECT_TRUE(AwaitSerial(second.Svid().leaf().serial()));
}

TEST_F(IdentitySourceTest, AWorkloadApiThatIsNotThereIsAFailureAndIsTriedAgain) {
  IdentitySource source({"unix:" + folder_ + "/no-agent.sock", std::nullopt, absl::Seconds(1)}, loop_, rotation_);
  Start(source);
  EXPECT_TRUE(AwaitFailures(2));
}

}  // namespace
}  // namespace lanyard
