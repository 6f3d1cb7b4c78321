// A tap's query as anybody may send it: what is taken names only what can be, and says the same when said twice.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "proxy/control/tap_page.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string query(reinterpret_cast<const char*>(data), size);
  const auto filter = lanyard::TapFilter::Parse(query);
  if (!filter.ok() && filter.status().message().empty()) abort();
  if (!filter.ok()) return 0;
  for (const uint16_t port : filter->ports) {
    if (port == 0) abort();
  }
  for (const std::string& direction : filter->directions) {
    if (direction != "inbound" && direction != "outbound") abort();
  }
  const auto twice = lanyard::TapFilter::Parse(absl::StrCat(query, "&", query));
  if (!twice.ok() || twice->ports != filter->ports || twice->directions != filter->directions ||
      twice->reasons != filter->reasons || twice->peers.size() != 2 * filter->peers.size()) {
    abort();
  }
  // Records come from elsewhere, but hold what peers chose.
  lanyard::ConnectionEvent event;
  event.record.direction = "inbound";
  event.record.destination = query;
  event.record.peer_id = query;
  if (filter->Matches(event) != twice->Matches(event)) abort();
  return 0;
}
