#include "proxy/connection/move_message.h"

#include <algorithm>
#include <array>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace lanyard {
namespace {

constexpr std::array<absl::string_view, 6> kNames = {"offer", "ready", "no", "go", "yours", "cancel"};
constexpr size_t kMaxReasonBytes = 1024;

bool Printable(char c) { return c >= 0x20 && c <= 0x7e; }

std::string Clean(absl::string_view text) {
  std::string clean(text);
  std::replace_if(clean.begin(), clean.end(), [](char c) { return !Printable(c); }, '?');
  return clean;
}

std::string Flag(bool flag) { return flag ? "1" : "0"; }

// One field after the other; the first that is wrong spoils the rest.
class Fields {
 public:
  explicit Fields(absl::string_view text) : fields_(absl::StrSplit(text, '\n')) {}

  void Read(std::string& text) {
    const absl::string_view field = Next();
    good_ = good_ && std::all_of(field.begin(), field.end(), Printable);
    text = std::string(field);
  }
  void Read(bool& flag) {
    const absl::string_view field = Next();
    good_ = good_ && (field == "0" || field == "1");
    flag = field == "1";
  }
  template <typename Number>
  void ReadNumber(Number& number) {
    const absl::string_view field = Next();
    good_ = good_ && absl::SimpleAtoi(field, &number) && absl::StrCat(number) == field;
  }
  void Read(StreamToken& token) {
    const absl::string_view field = Next();
    const std::string bytes = absl::HexStringToBytes(IsToken(field) ? field : "");
    good_ = good_ && bytes.size() == token.size();
    if (good_) std::copy(bytes.begin(), bytes.end(), token.begin());
  }
  absl::string_view Next() {
    if (at_ == fields_.size()) good_ = false;
    return good_ ? fields_[at_++] : "";
  }
  bool Done() const { return good_ && at_ == fields_.size(); }

 private:
  static bool IsToken(absl::string_view field) {
    const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    return field.size() == 2 * StreamToken().size() && std::all_of(field.begin(), field.end(), hex);
  }

  std::vector<absl::string_view> fields_;
  size_t at_ = 0;
  bool good_ = true;
};

}  // namespace

uint64_t MoveId(uint64_t number, const StreamToken& token, int worker_before) {
  return number << 16 | static_cast<uint64_t>(token[0]) << 8 | static_cast<uint8_t>(worker_before);
}

uint64_t WorkerBefore(uint64_t id) { return id & 0xff; }

uint64_t WorkerNext(uint64_t id, uint64_t workers) { return (id >> 8 & 0xff) % workers; }

uint64_t WorkerNext(const StreamToken& token, uint64_t workers) { return token[0] % workers; }

std::string EncodeMove(const MoveMessage& message) {
  std::vector<std::string> fields = {std::string(kNames[static_cast<size_t>(message.kind)]), absl::StrCat(message.id)};
  const StreamOffer& offer = message.offer;
  switch (message.kind) {
    case MoveKind::kOffer:
      fields.push_back(Flag(offer.opened));
      fields.push_back(absl::BytesToHexString(
          absl::string_view(reinterpret_cast<const char*>(offer.token.data()), offer.token.size())));
      fields.push_back(absl::StrCat(offer.shard));
      for (const std::string* text : {&offer.peer_id, &offer.listener, &offer.source, &offer.dialled,
                                      &offer.destination, &offer.remote, &offer.application_source,
                                      &offer.application_target}) {
        fields.push_back(Clean(*text));
      }
      break;
    case MoveKind::kNo: fields.push_back(Clean(absl::string_view(message.why).substr(0, kMaxReasonBytes))); break;
    case MoveKind::kYours:
      fields.push_back(Flag(message.sent_end));
      fields.push_back(Flag(message.received_end));
      break;
    default: break;
  }
  return absl::StrJoin(fields, "\n");
}

absl::StatusOr<MoveMessage> ParseMove(absl::string_view text) {
  Fields fields(text);
  const auto name = std::find(kNames.begin(), kNames.end(), fields.Next());
  if (name == kNames.end()) return absl::InvalidArgumentError("a message of an unknown kind");
  MoveMessage message;
  message.kind = static_cast<MoveKind>(name - kNames.begin());
  fields.ReadNumber(message.id);
  StreamOffer& offer = message.offer;
  switch (message.kind) {
    case MoveKind::kOffer:
      fields.Read(offer.opened);
      fields.Read(offer.token);
      fields.ReadNumber(offer.shard);
      for (std::string* each : {&offer.peer_id, &offer.listener, &offer.source, &offer.dialled, &offer.destination,
                                &offer.remote, &offer.application_source, &offer.application_target}) {
        fields.Read(*each);
      }
      break;
    case MoveKind::kNo: fields.Read(message.why); break;
    case MoveKind::kYours:
      fields.Read(message.sent_end);
      fields.Read(message.received_end);
      break;
    default: break;
  }
  if (!fields.Done()) return absl::InvalidArgumentError("a malformed message");
  return message;
}

}  // namespace lanyard
