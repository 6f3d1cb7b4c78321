#include "proxy/io/stream_contract_testing.h"

#include <vector>

namespace lanyard {

bool StreamReader::Drain() {
  std::vector<uint8_t> block(50000);
  for (;;) {
    const IoResult result = stream_->Read(absl::MakeSpan(block));
    last_ = result.status;
    if (result.status != IoStatus::kOk) return result.status != IoStatus::kWouldBlock;
    bytes_.append(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(result.size_bytes));
  }
}

bool StreamWriter::Push() {
  while (at_ < text_.size()) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(text_.data());
    const IoResult result = stream_->Write({bytes + at_, text_.size() - at_});
    if (result.status != IoStatus::kOk) return false;
    at_ += result.size_bytes;
  }
  return stream_->Flush().status == IoStatus::kOk;
}

std::string TestBytes(size_t size_bytes, uint32_t seed) {
  std::string bytes(size_bytes, '\0');
  uint32_t state = seed * 2654435761u + 1;
  for (char& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

void StreamContract::SetUp() {
  harness_ = GetParam()();
  ASSERT_NE(harness_, nullptr);
  ends_ = harness_->Connect();
}

void StreamContract::TearDown() {
  ends_.left.reset();
  ends_.right.reset();
}

bool StreamContract::OpenBoth() {
  return harness_->TurnUntil([&] {
    const bool left = ends_.left->Open().status == IoStatus::kOk;
    const bool right = ends_.right->Open().status == IoStatus::kOk;
    return left && right;
  });
}

TEST_P(StreamContract, OpensAndStaysOpen) {
  ASSERT_TRUE(OpenBoth());
  EXPECT_EQ(ends_.left->Open().status, IoStatus::kOk);
  EXPECT_EQ(ends_.right->error(), StreamError::kNone);
}

TEST_P(StreamContract, ReadingNothingWouldBlock) {
  ASSERT_TRUE(OpenBoth());
  uint8_t byte = 0;
  EXPECT_EQ(ends_.left->Read({&byte, 1}).status, IoStatus::kWouldBlock);
  EXPECT_EQ(ends_.right->Read({&byte, 1}).status, IoStatus::kWouldBlock);
}

TEST_P(StreamContract, TellsItsObserverWhenBytesArrive) {
  struct Count : StreamObserver {
    void OnReady() override { ++times; }
    int times = 0;
  } count;
  ASSERT_TRUE(OpenBoth());
  StreamReader reader(ends_.right.get());
  reader.Drain();
  ends_.right->set_observer(&count);
  StreamWriter writer(ends_.left.get(), "hello");
  ASSERT_TRUE(harness_->TurnUntil([&] { return writer.Push(); }));
  ASSERT_TRUE(harness_->TurnUntil([&] { return count.times > 0; }));
  ASSERT_TRUE(harness_->TurnUntil([&] { return reader.Drain() || reader.bytes() == "hello"; }));
  EXPECT_EQ(reader.bytes(), "hello");
}

TEST_P(StreamContract, ReadsIntoTheSmallestBuffer) {
  ASSERT_TRUE(OpenBoth());
  StreamWriter writer(ends_.left.get(), "abc");
  ASSERT_TRUE(harness_->TurnUntil([&] { return writer.Push(); }));
  std::string got;
  ASSERT_TRUE(harness_->TurnUntil([&] {
    uint8_t byte = 0;
    if (ends_.right->Read({&byte, 1}).status == IoStatus::kOk) got += static_cast<char>(byte);
    return got.size() == 3;
  }));
  EXPECT_EQ(got, "abc");
}

TEST_P(StreamContract, WhereNothingMoreIsThereTheNextReadWouldBlock) {
  ASSERT_TRUE(OpenBoth());
  const std::string text = TestBytes(500000, 6);
  StreamWriter writer(ends_.left.get(), text);
  std::string got;
  std::vector<uint8_t> block(30000);
  ASSERT_TRUE(harness_->TurnUntil([&] {
    writer.Push();
    const IoResult read = ends_.right->Read(absl::MakeSpan(block).first(1 + got.size() % block.size()));
    got.append(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(read.size_bytes));
    if (read.drained) {
      EXPECT_EQ(ends_.right->Read(absl::MakeSpan(block)).status, IoStatus::kWouldBlock);
    }
    return got.size() >= text.size();
  }));
  EXPECT_TRUE(got == text);
}

TEST_P(StreamContract, CarriesMegabytesBothWaysAtOnce) {
  ASSERT_TRUE(OpenBoth());
  const std::string rightward = TestBytes(3 << 20, 1), leftward = TestBytes(2 << 20, 2);
  StreamWriter from_left(ends_.left.get(), rightward), from_right(ends_.right.get(), leftward);
  StreamReader at_left(ends_.left.get()), at_right(ends_.right.get());
  ASSERT_TRUE(harness_->TurnUntil([&] {
    from_left.Push();
    from_right.Push();
    at_left.Drain();
    at_right.Drain();
    return at_right.bytes().size() >= rightward.size() && at_left.bytes().size() >= leftward.size();
  }));
  EXPECT_TRUE(at_right.bytes() == rightward);
  EXPECT_TRUE(at_left.bytes() == leftward);
}

TEST_P(StreamContract, AReaderThatDoesNotReadStopsItsWriter) {
  ASSERT_TRUE(OpenBoth());
  const std::string text = TestBytes(64 << 20, 3);  // more than any buffer on the way holds
  StreamWriter writer(ends_.left.get(), text);
  EXPECT_FALSE(writer.Push());
  StreamReader reader(ends_.right.get());
  ASSERT_TRUE(harness_->TurnUntil([&] {
    writer.Push();
    reader.Drain();
    return reader.bytes().size() >= text.size();
  }));
  EXPECT_TRUE(reader.bytes() == text);
}

TEST_P(StreamContract, AHalfCloseArrivesAfterTheBytesAndTheOtherHalfGoesOn) {
  ASSERT_TRUE(OpenBoth());
  StreamWriter request(ends_.left.get(), "request");
  ASSERT_TRUE(harness_->TurnUntil([&] { return request.Push(); }));
  ASSERT_TRUE(harness_->TurnUntil([&] { return ends_.left->ShutdownWrite().status == IoStatus::kOk; }));
  EXPECT_EQ(ends_.left->ShutdownWrite().status, IoStatus::kOk) << "idempotent";
  StreamReader at_right(ends_.right.get());
  ASSERT_TRUE(harness_->TurnUntil([&] { return at_right.Drain(); }));
  EXPECT_EQ(at_right.bytes(), "request");
  EXPECT_EQ(at_right.last(), IoStatus::kEnd);

  const std::string answer = TestBytes(300000, 4);
  StreamWriter reply(ends_.right.get(), answer);
  StreamReader at_left(ends_.left.get());
  ASSERT_TRUE(harness_->TurnUntil([&] {
    if (reply.Push()) ends_.right->ShutdownWrite();
    return at_left.Drain();
  }));
  EXPECT_TRUE(at_left.bytes() == answer);
  EXPECT_EQ(at_left.last(), IoStatus::kEnd);
}

TEST_P(StreamContract, AResetIsAnErrorAndNeverAnEnd) {
  ASSERT_TRUE(OpenBoth());
  ends_.left->Reset();
  StreamReader reader(ends_.right.get());
  ASSERT_TRUE(harness_->TurnUntil([&] { return reader.Drain(); }));
  EXPECT_EQ(reader.last(), IoStatus::kError);
  EXPECT_EQ(ends_.right->error(), StreamError::kReset);
}

TEST_P(StreamContract, AnEndThatWasAnnouncedSurvivesTheClose) {
  ASSERT_TRUE(OpenBoth());
  StreamWriter writer(ends_.left.get(), "last words");
  ASSERT_TRUE(harness_->TurnUntil([&] { return writer.Push(); }));
  ASSERT_TRUE(harness_->TurnUntil([&] { return ends_.left->ShutdownWrite().status == IoStatus::kOk; }));
  ends_.left.reset();
  StreamReader reader(ends_.right.get());
  ASSERT_TRUE(harness_->TurnUntil([&] { return reader.Drain(); }));
  EXPECT_EQ(reader.bytes(), "last words");
  EXPECT_EQ(reader.last(), IoStatus::kEnd);
}

}  // namespace lanyard
