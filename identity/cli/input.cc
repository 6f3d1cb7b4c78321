#include "identity/cli/input.h"

#include <errno.h>

#include <memory>

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

absl::Status Failure(int error, const std::string& path) {
  return absl::ErrnoToStatus(error, absl::StrCat("cannot read ", InputName(path)));
}

}  // namespace

std::string InputName(const std::string& path) { return path == kStandardInput ? "standard input" : path; }

absl::StatusOr<std::string> ReadInput(const std::string& path, size_t limit_bytes, FILE* standard_input) {
  std::unique_ptr<FILE, int (*)(FILE*)> file(nullptr, fclose);
  if (path != kStandardInput) {
    file.reset(fopen(path.c_str(), "re"));
    if (file == nullptr) return Failure(errno, path);
  }
  FILE* const in = file == nullptr ? standard_input : file.get();
  std::string content;
  char buffer[16 << 10];
  while (const size_t got = fread(buffer, 1, sizeof(buffer), in)) {
    if (content.size() + got > limit_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat(InputName(path), " is larger than ", limit_bytes, " bytes"));
    }
    content.append(buffer, got);
  }
  if (ferror(in)) return Failure(errno, path);
  return content;
}

}  // namespace lanyard
