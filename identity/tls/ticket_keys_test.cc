#include "identity/tls/ticket_keys.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "identity/base/fake_clock.h"

namespace lanyard {
namespace {

const std::vector<uint8_t> kText = {'s', 'e', 's', 's', 'i', 'o', 'n'};

std::vector<uint8_t> Seal(const TicketKeys& keys) {
  std::vector<uint8_t> ticket(kText.size() + TicketKeys::kOverheadBytes);
  EXPECT_EQ(keys.Seal(kText, absl::MakeSpan(ticket)), ticket.size());
  return ticket;
}

bool Opens(const TicketKeys& keys, const std::vector<uint8_t>& ticket) {
  std::vector<uint8_t> text(ticket.size());
  const auto size_bytes = keys.Open(ticket, absl::MakeSpan(text));
  if (!size_bytes) return false;
  text.resize(*size_bytes);
  return text == kText;
}

TEST(TicketKeysTest, OpensWhatItSealed) {
  FakeClock clock;
  const TicketKeys keys(clock);
  EXPECT_TRUE(Opens(keys, Seal(keys)));
  EXPECT_NE(Seal(keys), Seal(keys));
}

TEST(TicketKeysTest, RefusesWhatIsNotItsOwn) {
  FakeClock clock;
  const TicketKeys keys(clock), others(clock);
  const std::vector<uint8_t> ticket = Seal(keys);
  EXPECT_FALSE(Opens(others, ticket));
  for (size_t i = 0; i < ticket.size(); ++i) {
    std::vector<uint8_t> altered = ticket;
    altered[i] ^= 1;
    EXPECT_FALSE(Opens(keys, altered)) << i;
    EXPECT_FALSE(Opens(keys, {ticket.begin(), ticket.begin() + i})) << i;
  }
}

TEST(TicketKeysTest, AKeyIsForgottenAfterItsRotation) {
  FakeClock clock;
  const TicketKeys keys(clock);
  const std::vector<uint8_t> ticket = Seal(keys);
  clock.Advance(TicketKeys::kRotation + absl::Seconds(1));
  const std::vector<uint8_t> newer = Seal(keys);
  EXPECT_TRUE(Opens(keys, ticket));   // by the previous key
  EXPECT_TRUE(Opens(keys, newer));
  clock.Advance(TicketKeys::kRotation);
  EXPECT_FALSE(Opens(keys, ticket));
  EXPECT_TRUE(Opens(keys, newer));
}

TEST(TicketKeysTest, AnIdleKeyIsTooOldAsWell) {
  FakeClock clock;
  const TicketKeys keys(clock);
  const std::vector<uint8_t> ticket = Seal(keys);
  clock.Advance(2 * TicketKeys::kRotation);
  EXPECT_FALSE(Opens(keys, ticket));
}

TEST(TicketKeysTest, ATicketNeverOutlivesTheKeyThatOpensIt) {
  EXPECT_LE(TicketKeys::kTicketLifetime, TicketKeys::kRotation);
}

}  // namespace
}  // namespace lanyard
