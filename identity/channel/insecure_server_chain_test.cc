#include "identity/channel/insecure_server_chain.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "identity/base/random.h"
#include "identity/channel/fake_echo_service.h"
#include "identity/channel/server.h"
#include "identity/spiffe/issue.h"

namespace lanyard {
namespace {

class InsecureServerChainTest : public testing::Test {
 protected:
  // A socket that accepts connections and says nothing.
  int SilentListener(uint16_t& port) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd, 8), 0);
    EXPECT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port = ntohs(address.sin_port);
    return fd;
  }
};

TEST_F(InsecureServerChainTest, TakesWhatTheServerShowsWithoutTrustingIt) {
  const TrustDomain trust_domain = *TrustDomain::Parse("example.org");
  const absl::Time now = SystemClock().Now();
  const SigningAuthority root = *CreateRoot(trust_domain, *PrivateKey::Generate(KeyType::kEcP256),
                                            now - absl::Hours(1), now + absl::Hours(1), SystemRandom());
  const SigningAuthority intermediate =
      *CreateIntermediate(root, trust_domain, *PrivateKey::Generate(KeyType::kEcP256), now - absl::Hours(1),
                          now + absl::Hours(1), SystemRandom());
  PrivateKey key = *PrivateKey::Generate(KeyType::kEcP256);
  const Certificate leaf = *SignLeaf(intermediate,
                                     {.id = *SpiffeId::Parse("spiffe://example.org/server"), .public_key = key.evp(),
                                      .not_before = now - absl::Hours(1), .not_after = now + absl::Hours(1),
                                      .dns_names = {}},
                                     SystemRandom());
  BundleSet bundles;
  bundles.Set(*X509Bundle::Create(trust_domain, {root.certificate}));
  const auto context =
      TlsContext::Create(*X509Svid::Create({leaf, intermediate.certificate}, key), bundles,
                         std::make_shared<VerifyCache>(), SystemClock(), {.alpn = {"h2"}, .alpn_required = true});
  ASSERT_TRUE(context.ok()) << context.status();
  ChannelServer::Options options;
  options.address = "127.0.0.1:0";
  options.require_client_svid = false;
  FakeEchoService echo;
  const auto server = ChannelServer::Start(options, *context, {&echo});
  ASSERT_TRUE(server.ok()) << server.status();
  const auto chain = InsecureServerChain(absl::StrCat("127.0.0.1:", (*server)->port()), absl::Seconds(10));
  ASSERT_TRUE(chain.ok()) << chain.status();
  EXPECT_EQ(*chain, (std::vector<Certificate>{leaf, intermediate.certificate}));
}

TEST_F(InsecureServerChainTest, AServerThatSaysNothingCostsNoMoreThanTheTimeout) {
  uint16_t port = 0;
  const int fd = SilentListener(port);
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      InsecureServerChain(absl::StrCat("127.0.0.1:", port), absl::Milliseconds(100)).status()));
  close(fd);
}

TEST_F(InsecureServerChainTest, NobodyThereIsUnavailable) {
  uint16_t port = 0;
  close(SilentListener(port));
  EXPECT_TRUE(
      absl::IsUnavailable(InsecureServerChain(absl::StrCat("127.0.0.1:", port), absl::Seconds(10)).status()));
  EXPECT_FALSE(InsecureServerChain("127.0.0.1", absl::Seconds(10)).ok());
}

}  // namespace
}  // namespace lanyard
