// What proxies observed, as messages of lanyard.mesh.v1, on its way from proxy to agent to authority to operator. Each
// of them checks what it is given, as the one before may be anybody on its node. Pure.
#pragma once

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "api/lanyard/mesh/mesh.pb.h"
#include "identity/policy/observed_tuple.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

inline constexpr int kMaxObservedCalls = 256;             // of one proxy
inline constexpr size_t kMaxObservedBytes = 48 << 10;     // of one Observed
inline constexpr size_t kMaxObservedTextBytes = 256;      // of a rule's name or a destination

// `captured` is set, `seen_by` is not. InvalidArgument names the field: an ID that is none, a port beyond 65535, text
// that is too long or would not print.
absl::StatusOr<ObservedTuple> ObservedTupleFromProto(const mesh::v1::ObservedCall& call);
mesh::v1::ObservedCall ToProto(const ObservedTuple& tuple);

// Keeps, in order, the calls that can be read and whose local ID `is_own` takes, up to the limits above; adds the
// others to left_out.
void KeepOwnCalls(absl::FunctionRef<bool(const SpiffeId&)> is_own, mesh::v1::Observed& observed);

}  // namespace lanyard
