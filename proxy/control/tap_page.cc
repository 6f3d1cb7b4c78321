#include "proxy/control/tap_page.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "proxy/control/connection_json.h"

namespace lanyard {
namespace {

// RFC 3986 section 2.1.
absl::StatusOr<std::string> Decoded(absl::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size() || !absl::ascii_isxdigit(text[i + 1]) || !absl::ascii_isxdigit(text[i + 2])) {
      return absl::InvalidArgumentError("a % in the query is not followed by two hexadecimal digits");
    }
    decoded += absl::HexStringToBytes(text.substr(i + 1, 2));
    i += 2;
  }
  return decoded;
}

absl::Status AddTo(TapFilter& filter, absl::string_view key, const std::string& value) {
  int number = 0;
  if (key == "peer") {
    absl::StatusOr<PeerPattern> peer = PeerPattern::Parse(value);
    if (!peer.ok()) return peer.status();
    filter.peers.push_back(*std::move(peer));
  } else if (key == "port") {
    if (!absl::SimpleAtoi(value, &number) || number < 1 || number > 65535) {
      return absl::InvalidArgumentError(absl::StrCat("port is \"", value, "\": write 1 to 65535"));
    }
    filter.ports.insert(static_cast<uint16_t>(number));
  } else if (key == "direction") {
    if (value != "inbound" && value != "outbound") {
      return absl::InvalidArgumentError(absl::StrCat("direction is \"", value, "\": write inbound or outbound"));
    }
    filter.directions.insert(value);
  } else if (key == "reason") {
    filter.reasons.insert(value);
  } else if (key == "existing") {
    filter.existing = value != "0";
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", key, "\" is no filter: write peer, port, direction, reason or existing"));
  }
  return absl::OkStatus();
}

uint16_t PortOf(const std::string& destination) {
  int port = 0;
  const size_t colon = destination.rfind(':');
  if (colon == std::string::npos || !absl::SimpleAtoi(destination.substr(colon + 1), &port)) return 0;
  return static_cast<uint16_t>(port);
}

bool MatchesPeer(const std::vector<PeerPattern>& patterns, const std::string& peer) {
  const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(peer);
  return id.ok() && MatchesAny(patterns, *id);
}

}  // namespace

absl::StatusOr<TapFilter> TapFilter::Parse(absl::string_view query) {
  TapFilter filter;
  for (absl::string_view pair : absl::StrSplit(query, '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(pair, absl::MaxSplits('=', 1));
    const absl::StatusOr<std::string> value = Decoded(parts.second);
    if (!value.ok()) return value.status();
    if (const absl::Status added = AddTo(filter, parts.first, *value); !added.ok()) return added;
  }
  return filter;
}

bool TapFilter::MatchesRecord(const ConnectionRecord& record) const {
  if (!directions.empty() && !directions.contains(record.direction)) return false;
  if (!ports.empty() && !ports.contains(PortOf(record.destination))) return false;
  return peers.empty() || MatchesPeer(peers, record.peer_id);
}

bool TapFilter::Matches(const ConnectionEvent& event) const {
  if (!reasons.empty() && (event.kind != ConnectionEvent::Kind::kClosed || !reasons.contains(event.close_reason))) {
    return false;
  }
  return MatchesRecord(event.record);
}

TapPage::TapPage(ControlLoop& loop, ConnectionTap& tap) : tap_(tap), self_(std::make_shared<TapPage*>(this)) {
  tap_.OnEvents([&loop, weak = std::weak_ptr<TapPage*>(self_)] {
    loop.Post([weak] {
      const std::shared_ptr<TapPage*> page = weak.lock();
      if (page != nullptr && *page != nullptr) (*page)->Deliver();
    });
  });
}

TapPage::~TapPage() { *self_ = nullptr; }

absl::StatusOr<std::shared_ptr<TapPage::Stream>> TapPage::Watch(TapFilter filter) {
  streams_.erase(std::remove_if(streams_.begin(), streams_.end(), [](const auto& stream) { return stream.expired(); }),
                 streams_.end());
  if (streams_.size() >= kMaxWatchers) {
    return absl::ResourceExhaustedError(absl::StrCat(kMaxWatchers, " watch already, which is the limit; end one"));
  }
  auto stream = std::make_shared<Stream>(self_, std::move(filter));
  streams_.push_back(stream);
  tap_.SetWatched(true);
  return stream;
}

size_t TapPage::watchers() const {
  return static_cast<size_t>(
      std::count_if(streams_.begin(), streams_.end(), [](const auto& stream) { return !stream.expired(); }));
}

void TapPage::Deliver() {
  const ConnectionTap::Batch batch = tap_.Take();
  // Writing may end one of them, and so change the list.
  const std::vector<std::weak_ptr<Stream>> streams = streams_;
  for (const std::weak_ptr<Stream>& weak : streams) {
    if (const std::shared_ptr<Stream> stream = weak.lock()) lost_ += stream->Add(batch);
  }
}

TapPage::Stream::~Stream() {
  if (*page_ != nullptr && (*page_)->watchers() == 0) (*page_)->tap_.SetWatched(false);
}

std::string TapPage::Stream::Take() {
  std::string taken = std::exchange(waiting_, "");
  if (lost_ > 0) absl::StrAppend(&taken, "{\"event\":\"lost\",\"count\":", std::exchange(lost_, 0), "}\n");
  return taken;
}

bool TapPage::Stream::Append(const std::string& line) {
  const bool fits = waiting_.size() + line.size() <= kMaxWaitingBytes;
  if (fits) {
    waiting_ += line;
  } else {
    ++lost_;
  }
  return fits;
}

void TapPage::Stream::Tell() {
  if (!waiting_.empty() || lost_ > 0) more_();
}

void TapPage::Stream::AddExisting(const std::vector<ConnectionRecord>& connections) {
  for (const ConnectionRecord& connection : connections) {
    if (!filter_.MatchesRecord(connection)) continue;
    nlohmann::ordered_json json = {{"event", "existing"}};
    json.update(ConnectionJson(connection));
    Append(JsonText(json, -1));
  }
  Tell();
}

uint64_t TapPage::Stream::Add(const ConnectionTap::Batch& batch) {
  uint64_t lost = batch.lost;
  lost_ += batch.lost;
  for (const ConnectionEvent& event : batch.events) {
    if (filter_.Matches(event) && !Append(EventLine(event))) ++lost;
  }
  Tell();
  return lost;
}

}  // namespace lanyard
