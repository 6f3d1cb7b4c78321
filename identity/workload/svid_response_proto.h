// A message of FetchX509SVID as a WorkloadIdentity. Private to identity/workload.
#pragma once

#include "absl/status/statusor.h"
#include "api/spiffe/workload.pb.h"
#include "identity/workload/workload_identity.h"

namespace lanyard {

// Whole or not at all in what is the workload's own (Workload API 4.4, 5.2.1): no SVID, an empty mandatory field, an ID
// that is not the certificate's, a key that is not the leaf's, an own bundle of which nothing can be used, two own
// bundles of one trust domain that differ, a federated bundle under what is no trust domain's ID, and the message is
// refused (InvalidArgument, naming the SVID). Of SVIDs with the same hint the first is kept.
// Single authorities that cannot be used are left out, and so is a federated bundle of which nothing can, or that
// stands against an own one; WorkloadIdentity::left_out says why.
// Overwrites the message's private keys once they are read.
absl::StatusOr<WorkloadIdentity> ParseSvidResponse(X509SVIDResponse& response);

}  // namespace lanyard
