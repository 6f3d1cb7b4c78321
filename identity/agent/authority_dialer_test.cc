#include "identity/agent/authority_dialer.h"

#include <gtest/gtest.h>
#include <grpcpp/impl/service_type.h>
#include <stdlib.h>

#include "absl/strings/str_cat.h"
#include "identity/agent/fake_authority.h"
#include "identity/agent/fake_authority_service.h"
#include "identity/base/atomic_file.h"
#include "identity/channel/server.h"
#include "identity/spiffe/csr.h"

namespace lanyard {
namespace {

// Real sockets and real TLS against an authority in memory.
class AuthorityDialerTest : public testing::Test {
 protected:
  AuthorityDialerTest() {
    EXPECT_NE(mkdtemp(dir_.data()), nullptr);
    Serve(authority_.ServerSvid());
    WriteBundle(authority_);
    authority_.AddToken("n1");
  }
  ~AuthorityDialerTest() override { authority_.SetAway(true); }

  void Serve(X509Svid server_svid) {
    server_.reset();
    service_ = NewFakeAuthorityService(authority_, [this](const grpc::ServerContextBase& call) {
      const auto peer = server_->PeerOf(call);
      return peer ? std::optional<SpiffeId>(peer->id) : std::nullopt;
    });
    ChannelServer::Options options;
    options.address = "127.0.0.1:0";
    options.require_client_svid = false;
    auto context = TlsContext::Create(std::move(server_svid), authority_.bundles(), std::make_shared<VerifyCache>(),
                                      SystemClock(), {.alpn = {"h2"}, .alpn_required = true});
    ASSERT_TRUE(context.ok()) << context.status();
    auto server = ChannelServer::Start(options, *context, {service_.get()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  void WriteBundle(const FakeAuthority& of) {
    ASSERT_TRUE(
        WriteFileAtomically(dir_ + "/bundle.pem", of.bundles().bundles().begin()->second.ToPem(), 0600).ok());
  }
  AuthorityDialer Dialer(bool first_use = false) {
    return AuthorityDialer({.trust_domain = authority_.trust_domain(),
                            .address = absl::StrCat("127.0.0.1:", server_->port()),
                            .timeout = absl::Seconds(10),
                            .bundle_file = first_use ? "" : dir_ + "/bundle.pem",
                            .insecure_trust_on_first_use = first_use,
                            .join_token = "n1",
                            .join_token_file = ""},
                           SystemClock());
  }
  NodeIdentity Node() {
    return {authority_.Mint("spiffe://example.org/lanyard/agent/n1", absl::Hours(1)), authority_.bundles(),
            SystemClock().Now()};
  }
  std::string dir_ = testing::TempDir() + "/dialerXXXXXX";
  FakeAuthority authority_{SystemClock()};
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<ChannelServer> server_;
  const std::string csr_ = *Csr::Create(*PrivateKey::Generate(KeyType::kEcP256));
};

TEST_F(AuthorityDialerTest, AttestsWithTokenAndBundleThenCallsAsTheNode) {
  const AuthorityDialer dialer = Dialer();
  const auto grant = dialer.Attest(csr_, nullptr);
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->bundles, authority_.bundles());
  const auto client = dialer.Dial(Node());
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_TRUE((*client)->RenewNode(csr_, absl::Seconds(10)).ok());
}

TEST_F(AuthorityDialerTest, ABundleOfAnotherAuthorityRefusesTheServerAndKeepsTheToken) {
  const FakeAuthority other(SystemClock());
  WriteBundle(other);
  const absl::Status refused = Dialer().Attest(csr_, nullptr).status();
  EXPECT_TRUE(absl::IsUnauthenticated(refused)) << refused;
  EXPECT_NE(refused.message().find("see that authority.address"), absl::string_view::npos) << refused;
  EXPECT_EQ(authority_.attested(), 0);
}

TEST_F(AuthorityDialerTest, AnotherIdentityOfTheTrustDomainIsNotTheAuthority) {
  Serve(authority_.Mint("spiffe://example.org/web", absl::Hours(1)));
  EXPECT_TRUE(absl::IsPermissionDenied(Dialer().Attest(csr_, nullptr).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(Dialer().Dial(Node()).status()));
  EXPECT_FALSE(Dialer(true).Attest(csr_, nullptr).ok());
  EXPECT_EQ(authority_.attested(), 0);
}

TEST_F(AuthorityDialerTest, TrustOnFirstUseTakesWhatAnswers) {
  const auto grant = Dialer(true).Attest(csr_, nullptr);
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->bundles, authority_.bundles());
}

TEST_F(AuthorityDialerTest, TrustOnFirstUseRefusesABundleThatDoesNotVouchForTheServer) {
  // The chain was shown by the old root; the answer names only a new one.
  authority_.ReplaceRoot(false);
  EXPECT_TRUE(absl::IsPermissionDenied(Dialer(true).Attest(csr_, nullptr).status()));
}

TEST_F(AuthorityDialerTest, TrustOnFirstUseHappensOnce) {
  // Whoever answers now is not whom this node trusted before: it gets no token.
  const FakeAuthority before(SystemClock());
  const BundleSet known = before.bundles();
  EXPECT_TRUE(absl::IsUnauthenticated(Dialer(true).Attest(csr_, &known).status()));
  EXPECT_EQ(authority_.attested(), 0);
  const BundleSet right = authority_.bundles();
  EXPECT_TRUE(Dialer(true).Attest(csr_, &right).ok());
}

TEST_F(AuthorityDialerTest, WhatTheNodeLearntSinceCountsBesideTheBundleFile) {
  const FakeAuthority other(SystemClock());
  WriteBundle(other);
  const BundleSet known = authority_.bundles();
  EXPECT_TRUE(Dialer().Attest(csr_, &known).ok());
}

TEST_F(AuthorityDialerTest, NobodyThereIsUnavailable) {
  const AuthorityDialer dialer = Dialer();
  const AuthorityDialer first_use = Dialer(true);
  server_.reset();
  EXPECT_TRUE(absl::IsUnavailable(dialer.Attest(csr_, nullptr).status()));
  EXPECT_TRUE(absl::IsUnavailable(dialer.Dial(Node()).status()));
  EXPECT_TRUE(absl::IsUnavailable(first_use.Attest(csr_, nullptr).status()));
}

TEST(ReadJoinTokenTest, FromTheFileWithoutItsLineBreakOrInline) {
  const std::string file = testing::TempDir() + "/token";
  ASSERT_TRUE(WriteFileAtomically(file, "secret-token\n", 0600).ok());
  EXPECT_EQ(*ReadJoinToken("", file), "secret-token");
  EXPECT_EQ(*ReadJoinToken("inline", ""), "inline");
  ASSERT_TRUE(WriteFileAtomically(file, " \n", 0600).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(ReadJoinToken("", file).status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(ReadJoinToken("", "").status()));
  const absl::Status absent = ReadJoinToken("", file + ".absent").status();
  EXPECT_TRUE(absl::IsNotFound(absent));
  EXPECT_EQ(absent.message().substr(0, 28), "attestation.join_token_file:") << absent;
}

}  // namespace
}  // namespace lanyard
