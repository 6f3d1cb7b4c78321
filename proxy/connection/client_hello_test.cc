#include "proxy/connection/client_hello.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

absl::Span<const uint8_t> Bytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// What BoringSSL really sends.
std::string ClientHello(const std::string& alpn) {
  bssl::UniquePtr<SSL_CTX> ctx(SSL_CTX_new(TLS_method()));
  bssl::UniquePtr<SSL> ssl(SSL_new(ctx.get()));
  if (!alpn.empty()) {
    const std::string wire = static_cast<char>(alpn.size()) + alpn;
    SSL_set_alpn_protos(ssl.get(), reinterpret_cast<const uint8_t*>(wire.data()), static_cast<unsigned>(wire.size()));
  }
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), out);
  SSL_set_connect_state(ssl.get());
  SSL_do_handshake(ssl.get());
  const uint8_t* data = nullptr;
  size_t size = 0;
  BIO_mem_contents(out, &data, &size);
  return std::string(reinterpret_cast<const char*>(data), size);
}

TEST(SniffTls, SeesAClientHello) {
  const std::string hello = ClientHello("");
  EXPECT_EQ(SniffTls(Bytes(hello)), SniffVerdict::kTls);
  EXPECT_EQ(SniffTls(Bytes(hello.substr(0, 6))), SniffVerdict::kTls) << "six bytes are enough";
  for (size_t size = 0; size < 6; ++size) {
    EXPECT_EQ(SniffTls(Bytes(hello.substr(0, size))), SniffVerdict::kNeedMore) << size;
  }
}

TEST(SniffTls, SeesThatOthersAreNot) {
  for (const std::string& text :
       {std::string("GET / HTTP/1.1\r\n"), std::string("SSH-2.0-x"), std::string("\x16\x04\x01\x00\x10\x01", 6),
        std::string("\x16\x03\x09\x00\x10\x01", 6), std::string("\x16\x03\x01\x00\x03\x01", 6),
        std::string("\x16\x03\x01\x40\x01\x01", 6), std::string("\x16\x03\x01\x00\x10\x02", 6),
        std::string("\x80\x2e\x01\x03\x01", 5)}) {
    EXPECT_EQ(SniffTls(Bytes(text)), SniffVerdict::kNotTls) << text;
  }
}

TEST(SniffTlsWithAlpn, WantsTheProtocolByName) {
  const auto verdict = [](const std::string& alpn) {
    return SniffTlsWithAlpn(Bytes(ClientHello(alpn)), "lanyard/1", NoAlpn::kIsNot);
  };
  EXPECT_EQ(verdict("lanyard/1"), SniffVerdict::kTls);
  EXPECT_EQ(verdict("h2"), SniffVerdict::kNotTls);
  EXPECT_EQ(verdict("lanyard/12"), SniffVerdict::kNotTls);
  EXPECT_EQ(verdict(""), SniffVerdict::kNotTls);
}

TEST(SniffTlsWithAlpn, TakesOneWhoOffersNothingWhereToldTo) {
  EXPECT_EQ(SniffTlsWithAlpn(Bytes(ClientHello("")), "lanyard/1", NoAlpn::kIsTls), SniffVerdict::kTls);
  EXPECT_EQ(SniffTlsWithAlpn(Bytes(ClientHello("h2")), "lanyard/1", NoAlpn::kIsTls), SniffVerdict::kNotTls);
}

TEST(SniffTlsWithAlpn, WaitsForTheWholeRecord) {
  const std::string hello = ClientHello("lanyard/1");
  for (size_t size = 0; size < hello.size(); ++size) {
    EXPECT_EQ(SniffTlsWithAlpn(Bytes(hello.substr(0, size)), "lanyard/1", NoAlpn::kIsNot),
              SniffVerdict::kNeedMore)
        << size;
  }
}

TEST(SniffTlsWithAlpn, LengthsThatLieAreNotTls) {
  std::string hello = ClientHello("lanyard/1");
  hello[6] = 1;  // the message claims more than its record holds
  EXPECT_EQ(SniffTlsWithAlpn(Bytes(hello), "lanyard/1", NoAlpn::kIsNot), SniffVerdict::kNotTls);
}

}  // namespace
}  // namespace lanyard
