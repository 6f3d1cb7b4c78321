// Whole files, read within a limit and replaced in one step.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lanyard {

inline constexpr size_t kFileSizeLimitBytes = 16 << 20;

// The whole of `path`. Errors: NotFound, PermissionDenied, ResourceExhausted when it is
// larger than `limit_bytes`; each names the path.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit_bytes = kFileSizeLimitBytes);

// Likewise of what decides something: PermissionDenied as well when `path` is a symbolic link or no plain file, or when
// anybody but this user or root could have written it, or have put it there. That is: both the file and its folder
// belong to one of them, and neither group nor others may write either (a folder of the kind of /tmp is no matter).
absl::StatusOr<std::string> ReadOwnFile(const std::string& path, size_t limit_bytes = kFileSizeLimitBytes);

// Replaces `path` by `content`: writes a temporary file beside it with `mode` from its
// first instant, fsyncs it, renames it over `path`, fsyncs the folder. After a crash
// the old content or the new is there, never a mixture. On failure nothing changed. Temporary files of `path`
// (PATH.lanyard-XXXXXX) whose writer was killed are removed first; those of a writer that lives are locked, and stay.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view content, mode_t mode);

}  // namespace lanyard
