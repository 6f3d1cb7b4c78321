#include "identity/channel/tls_transport.h"

#include <sys/socket.h>

#include <memory>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "identity/spiffe/fake_ca.h"
#include "identity/tls/tls_context.h"

namespace lanyard {
namespace {

class TlsTransportTest : public testing::Test {
 protected:
  std::shared_ptr<const TlsContext> Context(const FakeCa& ca, absl::string_view id,
                                            TlsContext::Options options = {.alpn = {"h2"}}) {
    return *TlsContext::Create(ca.Leaf(id).Svid(), ca.Bundles(), std::make_shared<VerifyCache>(), SystemClock(),
                               std::move(options));
  }
  void Make(const TlsContext& client, const TlsContext& server) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    client_ = std::make_unique<TlsTransport>(Descriptor(ends[0]), client.NewClient());
    server_ = std::make_unique<TlsTransport>(Descriptor(ends[1]), server.NewServer());
  }
  static bool Waits(const IoResult& result) {
    return result.state == IoState::kNeedsRead || result.state == IoState::kNeedsWrite;
  }
  // Both sides' last states.
  std::pair<IoState, IoState> Handshake() {
    IoResult client{IoState::kNeedsRead}, server{IoState::kNeedsRead};
    for (int turn = 0; turn < 10 && (Waits(client) || Waits(server)); ++turn) {
      if (Waits(client)) client = client_->Handshake();
      if (Waits(server)) server = server_->Handshake();
    }
    return {client.state, server.state};
  }

  const FakeCa root_ = FakeCa::Root("example.org");
  std::unique_ptr<TlsTransport> client_, server_;
  char buffer_[65536] = {};
};

TEST_F(TlsTransportTest, MovesDataAfterTheHandshake) {
  Make(*Context(root_, "spiffe://example.org/c"), *Context(root_, "spiffe://example.org/s"));
  ASSERT_EQ(Handshake(), std::make_pair(IoState::kMoved, IoState::kMoved));
  EXPECT_TRUE(client_->CheckHttp2().ok());
  EXPECT_TRUE(server_->CheckHttp2().ok());
  EXPECT_TRUE(Waits(client_->AwaitData()));
  EXPECT_EQ(server_->Write(absl::string_view("hello")).size_bytes, 5u);
  EXPECT_EQ(client_->AwaitData().state, IoState::kMoved);
  const IoResult read = client_->Read(absl::MakeSpan(buffer_));
  EXPECT_EQ(std::string(buffer_, read.size_bytes), "hello");
  server_->CloseWrite();
  EXPECT_EQ(client_->Read(absl::MakeSpan(buffer_)).state, IoState::kEnded);
}

TEST_F(TlsTransportTest, AFullSocketIsWaitedForAndNothingIsLost) {
  Make(*Context(root_, "spiffe://example.org/c"), *Context(root_, "spiffe://example.org/s"));
  ASSERT_EQ(Handshake(), std::make_pair(IoState::kMoved, IoState::kMoved));
  std::string text(4 << 20, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i % 253);
  size_t sent = 0;
  bool waited = false;
  std::string arrived;
  while (arrived.size() < text.size()) {
    IoResult written{IoState::kNeedsRead};
    while (sent < text.size()) {
      written = client_->Write(absl::MakeConstSpan(text).subspan(sent));
      if (written.state != IoState::kMoved) break;
      sent += written.size_bytes;
    }
    waited |= written.state == IoState::kNeedsWrite;
    const IoResult read = server_->Read(absl::MakeSpan(buffer_));
    if (read.state == IoState::kMoved) arrived.append(buffer_, read.size_bytes);
    ASSERT_NE(read.state, IoState::kFailed) << server_->error();
  }
  EXPECT_TRUE(waited);
  EXPECT_TRUE(arrived == text);
}

TEST_F(TlsTransportTest, ARefusedPeerIsNamed) {
  Make(*Context(FakeCa::Root("example.org"), "spiffe://example.org/c"), *Context(root_, "spiffe://example.org/s"));
  const auto states = Handshake();
  EXPECT_EQ(states.first, IoState::kFailed);
  EXPECT_EQ(DefectOf(client_->HandshakeError()), SvidDefect::kUntrusted);
  EXPECT_EQ(states.second, IoState::kFailed);
  EXPECT_EQ(DefectOf(server_->HandshakeError()), SvidDefect::kNone);
  EXPECT_EQ(server_->HandshakeError().message(), "the TLS handshake failed: TLSV1_ALERT_UNKNOWN_CA");
}

TEST_F(TlsTransportTest, APeerThatGoesDuringTheHandshakeIsAFailure) {
  Make(*Context(root_, "spiffe://example.org/c"), *Context(root_, "spiffe://example.org/s"));
  EXPECT_TRUE(Waits(server_->Handshake()));
  client_.reset();
  EXPECT_EQ(server_->Handshake().state, IoState::kFailed);
  EXPECT_TRUE(absl::IsUnavailable(server_->HandshakeError()));
}

TEST_F(TlsTransportTest, WithoutHttp2ItSaysSo) {
  Make(*Context(root_, "spiffe://example.org/c", {}), *Context(root_, "spiffe://example.org/s"));
  ASSERT_EQ(Handshake(), std::make_pair(IoState::kMoved, IoState::kMoved));
  EXPECT_TRUE(absl::IsFailedPrecondition(client_->CheckHttp2()));
  EXPECT_TRUE(absl::IsFailedPrecondition(server_->CheckHttp2()));
}

}  // namespace
}  // namespace lanyard
