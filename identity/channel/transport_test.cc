#include "identity/channel/transport.h"

#include <sys/socket.h>

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

class TransportTest : public testing::Test {
 protected:
  TransportTest() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    peer_.Reset(ends[0]);
    transport_ = std::make_unique<PlainTransport>(Descriptor(ends[1]));
  }
  Descriptor peer_;
  std::unique_ptr<PlainTransport> transport_;
  char buffer_[16] = {};
};

TEST_F(TransportTest, ReadsWritesAndSaysWhatItWaitsFor) {
  EXPECT_EQ(transport_->Read(absl::MakeSpan(buffer_)).state, IoState::kNeedsRead);
  ASSERT_EQ(send(peer_.get(), "abc", 3, 0), 3);
  const IoResult read = transport_->Read(absl::MakeSpan(buffer_));
  EXPECT_EQ(read.state, IoState::kMoved);
  EXPECT_EQ(std::string(buffer_, read.size_bytes), "abc");
  IoResult written;
  const std::string block(65536, 'x');
  do {
    written = transport_->Write(block);
  } while (written.state == IoState::kMoved);
  EXPECT_EQ(written.state, IoState::kNeedsWrite);
}

TEST_F(TransportTest, TheEndIsTold) {
  transport_->CloseWrite();
  EXPECT_EQ(recv(peer_.get(), buffer_, sizeof(buffer_), 0), 0);
  peer_.Reset(-1);
  EXPECT_EQ(transport_->Read(absl::MakeSpan(buffer_)).state, IoState::kEnded);
}

TEST_F(TransportTest, AWriteToNobodyFailsWithoutASignal) {
  peer_.Reset(-1);
  EXPECT_EQ(transport_->Write(absl::string_view("x")).state, IoState::kFailed);
  EXPECT_EQ(transport_->error(), "Broken pipe");
}

}  // namespace
}  // namespace lanyard
