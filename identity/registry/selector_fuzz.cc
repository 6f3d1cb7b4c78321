// Selectors as an operator types them: what parses is what was written, split in two.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "identity/registry/selector.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto selector = lanyard::Selector::Parse(text);
  if (!selector.ok()) return 0;
  if (selector->ToString() != text) abort();
  if (absl::StrCat(selector->type(), ":", selector->value()) != text) abort();
  // Never two lines: UniqueKey and the listing rely on it.
  if (text.find('\n') != std::string::npos || text.find('\0') != std::string::npos) abort();
  return 0;
}
