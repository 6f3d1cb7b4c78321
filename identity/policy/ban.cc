#include "identity/policy/ban.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "identity/spiffe/quoted.h"

namespace lanyard {
namespace {

constexpr absl::string_view kSerialPrefix = "serial:";
constexpr absl::string_view kAgentPrefix = "agent:";
constexpr size_t kMaxSerialDigits = 40;

absl::Status NotASubject(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(Quoted(text), " cannot be banned: ", why,
                                                 "; write spiffe://trust.domain/path, "
                                                 "spiffe://trust.domain/path/*, serial:HEX or "
                                                 "agent:spiffe://trust.domain/lanyard/agent/NODE"));
}

absl::StatusOr<std::string> ParseSerial(absl::string_view text, absl::string_view digits) {
  if (digits.empty() || digits.size() > kMaxSerialDigits || digits.size() % 2 != 0 ||
      !std::all_of(digits.begin(), digits.end(), [](char c) { return absl::ascii_isxdigit(c); })) {
    return NotASubject(text,
                       "a serial is an even number of hexadecimal "
                       "digits, at most 40, as logs write it");
  }
  while (digits.size() > 2 && absl::StartsWith(digits, "00")) digits.remove_prefix(2);
  return absl::AsciiStrToLower(digits);
}

}  // namespace

absl::StatusOr<BanSubject> BanSubject::Parse(absl::string_view text) {
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, kSerialPrefix)) {
    absl::StatusOr<std::string> serial = ParseSerial(text, rest);
    if (!serial.ok()) return serial.status();
    return BanSubject(Kind::kSerial, *std::move(serial));
  }
  if (absl::ConsumePrefix(&rest, kAgentPrefix)) {
    const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(rest);
    if (!id.ok() || !id->has_path()) {
      return NotASubject(text, id.ok() ? "an agent's SPIFFE ID has a path" : id.status().message());
    }
    return BanSubject(Kind::kAgent, id->ToString());
  }
  const absl::StatusOr<PeerPattern> pattern = PeerPattern::Parse(text);
  if (!pattern.ok()) return NotASubject(text, pattern.status().message());
  return BanSubject(Kind::kSpiffeId, pattern->ToString());
}

std::string BanSubject::ToString() const {
  switch (kind_) {
    case Kind::kSpiffeId:
      return text_;
    case Kind::kSerial:
      return absl::StrCat(kSerialPrefix, text_);
    case Kind::kAgent:
      return absl::StrCat(kAgentPrefix, text_);
  }
  return text_;
}

std::string Ban::Explanation() const {
  return absl::StrCat(
      subject.ToString(), " is banned ",
      expires_at == absl::InfiniteFuture()
          ? "until it is unbanned"
          : absl::StrCat("until ", absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", expires_at, absl::UTCTimeZone())),
      reason.empty() ? "" : ": ", reason);
}

BanSet::BanSet(std::vector<Ban> bans) : bans_(std::move(bans)) {
  std::sort(bans_.begin(), bans_.end(), [](const Ban &a, const Ban &b) {
    const std::string a_subject = a.subject.ToString(), b_subject = b.subject.ToString();
    return a_subject != b_subject ? a_subject < b_subject : a.expires_at > b.expires_at;
  });
  bans_.erase(
      std::unique(bans_.begin(), bans_.end(), [](const Ban &a, const Ban &b) { return a.subject == b.subject; }),
      bans_.end());
  for (size_t i = 0; i < bans_.size(); ++i) {
    next_expiry_ = std::min(next_expiry_, bans_[i].expires_at);
    exact_.emplace(bans_[i].subject.ToString(), i);
    if (bans_[i].subject.kind() != BanSubject::Kind::kSpiffeId || !absl::EndsWith(bans_[i].subject.text(), "/*")) {
      continue;
    }
    absl::StatusOr<PeerPattern> pattern = PeerPattern::Parse(bans_[i].subject.text());
    if (pattern.ok()) patterns_.emplace_back(*std::move(pattern), i);
  }
}

const Ban *BanSet::Exact(absl::string_view key, absl::Time now) const {
  const auto found = exact_.find(key);
  if (found == exact_.end()) return nullptr;
  const Ban &ban = bans_[found->second];
  return now < ban.expires_at ? &ban : nullptr;
}

const Ban *BanSet::FindSubject(const BanSubject &subject, absl::Time now) const {
  return Exact(subject.ToString(), now);
}

const Ban *BanSet::FindId(const SpiffeId &id, absl::Time now) const {
  if (bans_.empty()) return nullptr;
  if (const Ban *ban = Exact(id.ToString(), now)) return ban;
  if (const Ban *ban = Exact(absl::StrCat(kAgentPrefix, id.ToString()), now)) return ban;
  for (const auto &[pattern, index] : patterns_) {
    if (pattern.Matches(id) && now < bans_[index].expires_at) return &bans_[index];
  }
  return nullptr;
}

const Ban *BanSet::Find(const SpiffeId &id, absl::string_view serial, absl::Time now) const {
  const Ban *ban = FindId(id, now);
  return ban != nullptr ? ban : FindSerial(serial, now);
}

const Ban *BanSet::FindSerial(absl::string_view serial, absl::Time now) const {
  return bans_.empty() ? nullptr : Exact(absl::StrCat(kSerialPrefix, serial), now);
}

const Ban *BanSet::FindAgent(const SpiffeId &agent, absl::string_view serial, absl::Time now) const {
  if (bans_.empty()) return nullptr;
  if (const Ban *ban = Exact(absl::StrCat(kAgentPrefix, agent.ToString()), now)) return ban;
  return Exact(absl::StrCat(kSerialPrefix, serial), now);
}

}  // namespace lanyard
