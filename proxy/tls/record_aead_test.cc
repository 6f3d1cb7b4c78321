#include "proxy/tls/record_aead.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "identity/base/fake_random.h"

namespace lanyard {
namespace {

using Engine = RecordAead::Engine;

std::vector<uint8_t> FromHex(absl::string_view hex) {
  const std::string bytes = absl::HexStringToBytes(hex);
  return {bytes.begin(), bytes.end()};
}

// What both engines have to keep to, and each the other's measure.
class EveryEngine : public testing::TestWithParam<Engine> {
 protected:
  std::vector<uint8_t> Random(size_t size) {
    std::vector<uint8_t> bytes(size);
    random_.Fill(absl::MakeSpan(bytes));
    return bytes;
  }

 private:
  FakeRandom random_;
};

// VAES is tried where the processor has it.
std::vector<Engine> UsableEngines() {
  if (!VaesGcm::IsUsable()) return {Engine::kBoringSsl};
  return {Engine::kBoringSsl, Engine::kVaes};
}

INSTANTIATE_TEST_SUITE_P(Engine, EveryEngine, testing::ValuesIn(UsableEngines()),
                         [](const auto& info) { return info.param == Engine::kVaes ? "Vaes" : "BoringSsl"; });

const EVP_AEAD* const kSuites[] = {EVP_aead_aes_128_gcm(), EVP_aead_aes_256_gcm(), EVP_aead_chacha20_poly1305()};

// BoringSSL's own interface, without RecordAead: text and then tag.
std::vector<uint8_t> SealedByBoringSsl(const EVP_AEAD* aead, const std::vector<uint8_t>& key,
                                       const std::vector<uint8_t>& nonce, const std::vector<uint8_t>& header,
                                       const std::vector<uint8_t>& text) {
  bssl::ScopedEVP_AEAD_CTX context;
  std::vector<uint8_t> out(text.size() + RecordAead::kTagBytes);
  size_t size = 0;
  EXPECT_EQ(EVP_AEAD_CTX_init(context.get(), aead, key.data(), key.size(), RecordAead::kTagBytes, nullptr), 1);
  EXPECT_EQ(EVP_AEAD_CTX_seal(context.get(), out.data(), &size, out.size(), nonce.data(), nonce.size(), text.data(),
                              text.size(), header.data(), header.size()),
            1);
  EXPECT_EQ(size, out.size());
  return out;
}

// RFC 8448 section 3, the client's first record of application data.
TEST_P(EveryEngine, SealsAsTheStandardsExample) {
  RecordAead aead;
  ASSERT_TRUE(aead.SetKey(EVP_aead_aes_128_gcm(), FromHex("17422dda596ed5d9acd890e3c63f5051"), GetParam()));
  std::vector<uint8_t> text(51);
  for (size_t i = 0; i < 50; ++i) text[i] = static_cast<uint8_t>(i);
  text[50] = 23;
  uint8_t tag[RecordAead::kTagBytes];
  ASSERT_TRUE(aead.Seal(FromHex("5b78923dee08579033e523d9").data(), FromHex("1703030043").data(), absl::MakeSpan(text),
                        tag));
  EXPECT_EQ(text, FromHex("a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e"
                          "1f5a6292a2"));
  EXPECT_EQ(std::vector<uint8_t>(tag, tag + sizeof(tag)), FromHex("977014bd1e3deae63aeebb21694915e4"));
}

TEST_P(EveryEngine, MakesAndOpensTheBytesOfBoringSslInEverySize) {
  std::vector<size_t> sizes;
  for (size_t size = 1; size <= 1100; ++size) sizes.push_back(size);
  for (const size_t around : {2048u, 4096u, 8192u, 16384u}) {
    for (size_t size = around - 18; size <= around + 18; ++size) sizes.push_back(size);
  }
  for (const EVP_AEAD* const suite : kSuites) {
    RecordAead aead;
    const std::vector<uint8_t> key = Random(EVP_AEAD_key_length(suite));
    ASSERT_TRUE(aead.SetKey(suite, key, GetParam()));
    for (const size_t size : sizes) {
      const std::vector<uint8_t> nonce = Random(12), header = Random(5), text = Random(size);
      const std::vector<uint8_t> expected = SealedByBoringSsl(suite, key, nonce, header, text);
      std::vector<uint8_t> record = text;
      record.resize(size + RecordAead::kTagBytes);
      const absl::Span<uint8_t> content = absl::MakeSpan(record).first(size);
      ASSERT_TRUE(aead.Seal(nonce.data(), header.data(), content, record.data() + size));
      ASSERT_EQ(record, expected) << size;
      ASSERT_TRUE(aead.Open(nonce.data(), header.data(), content, record.data() + size)) << size;
      ASSERT_TRUE(std::equal(text.begin(), text.end(), record.begin())) << size;
    }
  }
}

// As it lies in a buffer: at any address, and with nothing mapped behind it.
TEST_P(EveryEngine, KeepsToTheTextsBounds) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  auto* const pages = static_cast<uint8_t*>(mmap(nullptr, 4 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(pages, MAP_FAILED);
  ASSERT_EQ(mprotect(pages + page, 2 * page, PROT_READ | PROT_WRITE), 0);
  uint8_t* const begin = pages + page;
  uint8_t* const end = begin + 2 * page;
  RecordAead aead;
  const std::vector<uint8_t> key = Random(16), nonce = Random(12), header = Random(5);
  ASSERT_TRUE(aead.SetKey(EVP_aead_aes_128_gcm(), key, GetParam()));
  for (size_t size = 1; size <= 400; ++size) {
    const std::vector<uint8_t> text = Random(size), sealed = SealedByBoringSsl(kSuites[0], key, nonce, header, text);
    for (uint8_t* const at : {begin, end - size - RecordAead::kTagBytes}) {
      std::fill(begin, end, 0xee);
      std::copy(text.begin(), text.end(), at);
      ASSERT_TRUE(aead.Seal(nonce.data(), header.data(), {at, size}, at + size));
      ASSERT_TRUE(std::equal(sealed.begin(), sealed.end(), at)) << size;
      ASSERT_TRUE(aead.Open(nonce.data(), header.data(), {at, size}, at + size));
      ASSERT_TRUE(std::equal(text.begin(), text.end(), at)) << size;
      std::fill(at, at + sealed.size(), 0xee);
      ASSERT_TRUE(std::all_of(begin, end, [](uint8_t byte) { return byte == 0xee; })) << size;
    }
    // The tag elsewhere: what ends with the text's last byte is not read beyond it.
    uint8_t* const at = end - size;
    uint8_t tag[RecordAead::kTagBytes];
    std::copy(text.begin(), text.end(), at);
    ASSERT_TRUE(aead.Seal(nonce.data(), header.data(), {at, size}, tag));
    ASSERT_TRUE(aead.Open(nonce.data(), header.data(), {at, size}, tag));
    ASSERT_TRUE(std::equal(text.begin(), text.end(), at)) << size;
  }
  munmap(pages, 4 * page);
}

TEST_P(EveryEngine, LeavesNothingOfWhatWasAltered) {
  for (const EVP_AEAD* const suite : kSuites) {
    RecordAead aead;
    const std::vector<uint8_t> key = Random(EVP_AEAD_key_length(suite)), nonce = Random(12), header = Random(5);
    ASSERT_TRUE(aead.SetKey(suite, key, GetParam()));
    for (const size_t size : {1u, 48u, 300u}) {
      const std::vector<uint8_t> sealed = SealedByBoringSsl(suite, key, nonce, header, Random(size));
      const auto opens = [&](std::vector<uint8_t> record, const std::vector<uint8_t>& with_nonce,
                             const std::vector<uint8_t>& with_header) {
        const bool opened = aead.Open(with_nonce.data(), with_header.data(), absl::MakeSpan(record).first(size),
                                      record.data() + size);
        EXPECT_TRUE(opened || std::all_of(record.begin(), record.begin() + size, [](uint8_t byte) { return !byte; }));
        return opened;
      };
      EXPECT_TRUE(opens(sealed, nonce, header));
      for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
        std::vector<uint8_t> altered = sealed;
        altered[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
        ASSERT_FALSE(opens(altered, nonce, header)) << size << " bit " << bit;
      }
      for (size_t at = 0; at < nonce.size(); ++at) {
        std::vector<uint8_t> other = nonce;
        other[at] ^= 1;
        EXPECT_FALSE(opens(sealed, other, header)) << at;
      }
      for (size_t at = 0; at < header.size(); ++at) {
        std::vector<uint8_t> other = header;
        other[at] ^= 1;
        EXPECT_FALSE(opens(sealed, nonce, other)) << at;
      }
    }
  }
}

TEST_P(EveryEngine, GoesByTheLatestKeyAndByNoneThatDoesNotFit) {
  const std::vector<uint8_t> nonce(12, 7), header(5, 8), text(100, 9), first(16, 1), second(32, 2);
  RecordAead aead;
  uint8_t tag[RecordAead::kTagBytes];
  const auto sealed = [&] {
    std::vector<uint8_t> record = text;
    if (!aead.Seal(nonce.data(), header.data(), absl::MakeSpan(record), tag)) return std::vector<uint8_t>();
    record.insert(record.end(), tag, tag + sizeof(tag));
    return record;
  };
  const auto opens = [&] {
    std::vector<uint8_t> record = SealedByBoringSsl(EVP_aead_aes_256_gcm(), second, nonce, header, text);
    return aead.Open(nonce.data(), header.data(), absl::MakeSpan(record).first(text.size()),
                     record.data() + text.size());
  };
  EXPECT_TRUE(sealed().empty());
  EXPECT_FALSE(opens());
  EXPECT_TRUE(aead.SetKey(EVP_aead_aes_128_gcm(), first, GetParam()));
  EXPECT_EQ(sealed(), SealedByBoringSsl(EVP_aead_aes_128_gcm(), first, nonce, header, text));
  EXPECT_TRUE(aead.SetKey(EVP_aead_aes_256_gcm(), second, GetParam()));
  EXPECT_EQ(sealed(), SealedByBoringSsl(EVP_aead_aes_256_gcm(), second, nonce, header, text));
  EXPECT_TRUE(opens());
  for (const size_t size : {0u, 15u, 16u, 24u, 33u}) {
    EXPECT_FALSE(aead.SetKey(EVP_aead_aes_256_gcm(), std::vector<uint8_t>(size), GetParam())) << size;
    EXPECT_TRUE(sealed().empty());
    EXPECT_FALSE(opens());
  }
  EXPECT_TRUE(aead.SetKey(EVP_aead_aes_256_gcm(), second, GetParam()));
  aead.DropKey();
  EXPECT_TRUE(sealed().empty());
}

// Whoever reads the process's memory later finds no key of a connection that has ended.
TEST_P(EveryEngine, WipesItsKey) {
  const std::vector<uint8_t> key = Random(16);
  alignas(RecordAead) uint8_t memory[sizeof(RecordAead)] = {};
  auto* const aead = new (memory) RecordAead;
  ASSERT_TRUE(aead->SetKey(EVP_aead_aes_128_gcm(), key, GetParam()));
  const auto has_key = [&] {
    return std::search(memory, std::end(memory), key.begin(), key.end()) != std::end(memory);
  };
  if (GetParam() == Engine::kVaes) {
    EXPECT_TRUE(has_key()) << "the first round key is the key itself";
  }
  aead->~RecordAead();
  EXPECT_FALSE(has_key());
  EXPECT_LT(std::count_if(memory, std::end(memory), [](uint8_t byte) { return byte != 0; }), 40) << "tag, index, flags";
}

}  // namespace
}  // namespace lanyard
