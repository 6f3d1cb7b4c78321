// Whatever the bytes: a configuration is read or its mistakes are listed; nothing throws or
// crashes, and what was read without a mistake reads the same again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"
#include "api/lanyard/config/proxy.pb.h"
#include "identity/config/config_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  lanyard::config::ProxyConfig first, second;
  lanyard::ConfigProblems problems, again;
  lanyard::ParseConfig(text, first, problems);
  lanyard::ParseConfig(text, second, again);
  if (problems.all().size() != again.all().size()) abort();
  if (first.ByteSizeLong() != second.ByteSizeLong()) abort();
  for (const lanyard::ConfigProblem& problem : problems.all()) {
    if (problem.message.empty()) abort();
  }
  if (problems.empty() != problems.ToStatus("fuzz.yaml").ok()) abort();
  return 0;
}
