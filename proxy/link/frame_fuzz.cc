// However the bytes come in pieces, the parser asks for no more than one frame, yields the same frames, and what
// decodes encodes to the same bytes again.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "proxy/link/frame.h"

namespace lanyard {
namespace {

void Check(bool right) {
  if (!right) abort();
}

void CheckPayload(FrameType type, absl::string_view payload) {
  const std::string frame = [&] {
    std::string out;
    AppendHeader(type, payload.size(), &out);
    return out.append(payload.data(), payload.size());
  }();
  OpenRequest open;
  AttachRequest attach;
  Refusal refusal;
  ResetReason reset;
  GoAwayReason go_away;
  uint32_t shard = 0;
  uint64_t number = 0;
  if (type == FrameType::kOpen && DecodeOpen(payload, &open)) Check(EncodeOpen(open) == frame);
  if (type == FrameType::kAttach && DecodeAttach(payload, &attach)) Check(EncodeAttach(attach) == frame);
  if (type == FrameType::kVouch && DecodeAttach(payload, &attach)) Check(EncodeVouch(attach) == frame);
  if (type == FrameType::kAccept && DecodeAccept(payload, &shard)) Check(EncodeAccept(shard) == frame);
  if (type == FrameType::kPing && DecodePing(payload, &number)) Check(EncodePing(type, number) == frame);
  // Reasons of later versions read as another.
  if (type == FrameType::kRefuse && DecodeRefuse(payload, &refusal)) {
    Check(EncodeRefuse(refusal).substr(kFrameHeaderBytes + 1) == payload.substr(1));
  }
  if (type == FrameType::kReset && DecodeReset(payload, &reset)) Check(EncodeReset(reset).size() == frame.size());
  if (type == FrameType::kGoAway && DecodeGoAway(payload, &go_away)) {
    Check(EncodeGoAway(go_away).size() == frame.size());
  }
}

// What was parsed, as text.
std::string Parse(absl::Span<const uint8_t> bytes, size_t piece) {
  std::string parsed;
  FrameParser parser;
  while (!bytes.empty()) {
    if (parser.data_left() > 0) {
      const size_t count = std::min({parser.data_left(), bytes.size(), piece});
      Check(parser.data_left() <= kMaxDataBytes && parser.type() == FrameType::kData);
      parsed.append(reinterpret_cast<const char*>(bytes.data()), count);
      parser.Consumed(count);
      bytes.remove_prefix(count);
      continue;
    }
    const absl::Span<uint8_t> space = parser.Space();
    Check(!space.empty() && space.size() <= kMaxControlBytes);
    const size_t count = std::min({space.size(), bytes.size(), piece});
    std::copy_n(bytes.begin(), count, space.begin());
    bytes.remove_prefix(count);
    if (!parser.Produced(count)) {
      Check(!parser.error().empty() && parser.Space().empty());
      return parsed + "!" + std::string(parser.error());
    }
    if (!parser.complete()) continue;
    parsed += std::string(FrameTypeName(parser.type())) + std::string(parser.payload()) + "|";
    CheckPayload(parser.type(), parser.payload());
    parser.Next();
    Check(parser.at_boundary());
  }
  return parsed;
}

}  // namespace
}  // namespace lanyard

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string whole = lanyard::Parse({data, size}, size + 1);
  for (const size_t piece : {1u, 3u, 7u}) {
    if (lanyard::Parse({data, size}, piece) != whole) abort();
  }
  return 0;
}
