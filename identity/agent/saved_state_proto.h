// The agent's state as bytes and back (saved_state.proto). Pure.
#pragma once

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "identity/agent/node_identity.h"
#include "identity/agent/svid_cache.h"
#include "identity/base/secret.h"

namespace lanyard {

// The bytes hold private keys: they are for a sealed file only.
Secret EncodeNode(const NodeIdentity& node);
Secret EncodeWorkloads(const KeptWorkloads& workloads);

// DataLoss names what cannot be read. Nothing is trusted by being decoded: the caller verifies SVIDs.
absl::StatusOr<NodeIdentity> DecodeNode(absl::Span<const uint8_t> bytes);
absl::StatusOr<KeptWorkloads> DecodeWorkloads(absl::Span<const uint8_t> bytes);

}  // namespace lanyard
