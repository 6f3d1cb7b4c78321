// Bytes of both sides of an HTTP/2 connection: however they are cut, the same streams are open.
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
    if (!whole.FromClient(client).ok()) abort();   // a stream takes nine bytes
    whole.FromServer(server);
    const size_t piece = size_t{data[1]} + 1;
    for (size_t at = 0; at < client.size(); at += piece) {
      if (!cut.FromClient(client.subspan(at, piece)).ok()) abort();
    }
    for (size_t at = 0; at < server.size(); at += piece) cut.FromServer(server.subspan(at, piece));
    if (whole.open() != cut.open() || whole_share.open != whole.open() || cut_share.open != cut.open()) abort();
  }
  if (whole_share.open != 0 || cut_share.open != 0) abort();
  return 0;
}
