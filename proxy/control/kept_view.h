// The last good view on disk: a proxy whose agent is away starts from it.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "proxy/control/mesh_update.h"

namespace lanyard {

// One line, "lanyard-view 1 <SHA-256 of what follows, hex>", then the bytes of a View.
std::string EncodeKeptView(absl::string_view view_bytes);
// DataLoss says what is damaged: another form, other bytes than those that were kept, or no view.
absl::StatusOr<std::shared_ptr<const MeshUpdate>> DecodeKeptView(absl::string_view file);

// Replaces `path` in one step, mode 0600; makes the folders above it, the last with mode 0700.
absl::Status WriteKeptView(const std::string& path, const MeshUpdate& view);
// NotFound where there is none. PermissionDenied when somebody but this user or root could have written it or put it
// there (ReadOwnFile).
absl::StatusOr<std::shared_ptr<const MeshUpdate>> ReadKeptView(const std::string& path);

}  // namespace lanyard
