// Messages of lanyard.mesh.v1 as values, and back. Pure.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "api/lanyard/mesh/mesh.pb.h"
#include "proxy/control/mesh_update.h"

namespace lanyard {

inline constexpr size_t kMaxViewBytes = 16 << 20;

// Whole or not at all: InvalidArgument lists every mistake, each with its path, the value and the remedy.
absl::StatusOr<std::shared_ptr<const MeshUpdate>> ReadView(const mesh::v1::View& view);
// Of the bytes of a View; DataLoss when they are none.
absl::StatusOr<std::shared_ptr<const MeshUpdate>> ParseView(absl::string_view bytes);

// `text` fields are cut to what the agent takes, and control characters become spaces.
mesh::v1::ProxyStatus ToProto(const ProxyStatus& status);
// Within the limits of an Observed (observed_proto.h): what is beyond is left out, and counted there.
mesh::v1::Observed ToProto(const ObservedReport& report);

}  // namespace lanyard
