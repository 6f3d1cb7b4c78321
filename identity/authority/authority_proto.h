// Values as messages of api/lanyard/authority.
#pragma once

#include <vector>

#include "api/lanyard/authority/authority.pb.h"
#include "identity/registry/entry.h"
#include "identity/spiffe/bundle.h"
#include "identity/spiffe/certificate.h"

namespace lanyard {

authority::v1::Svid SvidToProto(const std::vector<Certificate>& chain);
authority::v1::Bundle BundleToProto(const X509Bundle& bundle);

// What an agent may know of an entry.
authority::v1::Entry EntryToProto(const Entry& entry);

}  // namespace lanyard
