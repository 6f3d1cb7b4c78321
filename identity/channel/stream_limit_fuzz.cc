// Bytes of both sides of an HTTP/2 connection: however they are cut, as much is taken and the same streams are
// open.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "identity/channel/stream_limit.h"

// First byte: where the client's bytes end, of 256 parts; second: the size of the pieces.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const absl::Span<const char> all(reinterpret_cast<const char*>(data) + 2, size - 2);
  const absl::Span<const char> client = all.first(all.size() * data[0] / 256), server = all.subspan(client.size());
  lanyard::StreamLimit::Share whole_share{.max_open = all.size()}, cut_share{.max_open = all.size()};
  {
    lanyard::StreamLimit whole(all.size(), &whole_share), cut(all.size(), &cut_share);
    const bool taken = whole.FromClient(client, absl::ZeroDuration()).ok();
    whole.FromServer(server);
    const size_t piece = size_t{data[1]} + 1;
    bool also_taken = true;
    for (size_t at = 0; at < client.size() && also_taken; at += piece) {
      also_taken = cut.FromClient(client.subspan(at, piece), absl::ZeroDuration()).ok();
    }
    if (taken != also_taken) abort();
    for (size_t at = 0; at < server.size(); at += piece) cut.FromServer(server.subspan(at, piece));
    if (whole.open() != cut.open() || whole_share.open != whole.open() || cut_share.open != cut.open()) abort();
  }
  if (whole_share.open != 0 || cut_share.open != 0) abort();
  return 0;
}
