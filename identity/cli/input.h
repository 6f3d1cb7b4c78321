// What `lanyard` reads: a file, or standard input.
#pragma once

#include <stdio.h>

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lanyard {

// The name that stands for standard input where a command takes a file.
inline constexpr absl::string_view kStandardInput = "-";

// "standard input" for "-", else the path itself: how messages name it.
std::string InputName(const std::string& path);

// The whole of `path`, or of `standard_input` (borrowed) for "-", to its end, however long that takes: a pipe such as
// <(...) is waited for. Errors: as ReadFile of identity/base, each with the name.
absl::StatusOr<std::string> ReadInput(const std::string& path, size_t limit_bytes, FILE* standard_input = stdin);

}  // namespace lanyard
