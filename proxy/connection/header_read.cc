#include "proxy/connection/header_read.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace lanyard {

bool TrustsHeaderOf(const AcceptedHeader& accepted, const SocketAddress& caller) {
  return std::any_of(accepted.from.begin(), accepted.from.end(),
                     [&](const AddressBlock& block) { return block.Contains(caller.host_bytes()); });
}

absl::StatusOr<bool> HeaderRead::Step(Stream* from) {
  for (;;) {
    const absl::StatusOr<size_t> missing = MissingOfProxyHeader(received_);
    if (!missing.ok()) return missing.status();
    if (*missing == 0) break;
    const size_t had = received_.size();
    received_.resize(had + *missing);
    const IoResult read = from->Read(absl::MakeSpan(received_).subspan(had));
    received_.resize(had + (read.status == IoStatus::kOk ? read.size_bytes : 0));
    switch (read.status) {
      case IoStatus::kOk: continue;
      case IoStatus::kWouldBlock: return false;
      case IoStatus::kEnd:
        return absl::InvalidArgumentError("the caller ended before its PROXY protocol header was whole");
      case IoStatus::kError:
        return absl::InvalidArgumentError(
            absl::StrCat("the caller was lost before its PROXY protocol header was whole: ", from->error_text()));
    }
  }
  absl::StatusOr<ProxyHeader> parsed = ParseProxyHeader(received_);
  if (!parsed.ok()) return parsed.status();
  header_ = *parsed;
  return true;
}

}  // namespace lanyard
