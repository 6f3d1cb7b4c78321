// What is understood is written again byte by byte as it came; whatever else comes is refused.
#include <cstdint>
#include <cstdlib>

#include "proxy/connection/move_message.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<lanyard::MoveMessage> message = lanyard::ParseMove(text);
  // A reason that is too long is cut.
  const bool cut = message.ok() && message->kind == lanyard::MoveKind::kNo;
  if (message.ok() && !cut && lanyard::EncodeMove(*message) != text) abort();
  return 0;
}
