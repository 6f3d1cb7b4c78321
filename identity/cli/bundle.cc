// lanyard bundle: the trust bundle of the authority's trust domain.
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "identity/cli/commands.h"
#include "identity/cli/registry_client.h"
#include "identity/spiffe/certificate.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

absl::StatusOr<std::vector<Certificate>> ParseAuthorities(const BundleRecord& bundle) {
  std::vector<Certificate> certificates;
  for (const std::string& der : bundle.authorities) {
    absl::StatusOr<Certificate> certificate =
        Certificate::Parse(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(der.data()), der.size()));
    if (!certificate.ok()) {
      return absl::InternalError(
          absl::StrCat("the authority sent a bundle that cannot be read: ", certificate.status().message()));
    }
    certificates.push_back(*std::move(certificate));
  }
  return certificates;
}

absl::Status Show(const Arguments& arguments, Output& output) {
  const auto authority = AuthorityOf(arguments);
  if (!authority.ok()) return authority.status();
  const absl::StatusOr<BundleRecord> bundle = (*authority)->GetBundle();
  if (!bundle.ok()) return bundle.status();
  const absl::StatusOr<std::vector<Certificate>> certificates = ParseAuthorities(*bundle);
  if (!certificates.ok()) return certificates.status();
  if (!output.json()) {
    for (const Certificate& certificate : *certificates) output.Text(certificate.ToPem());
    return absl::OkStatus();
  }
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Certificate& certificate : *certificates) {
    list.push_back({{"serial", certificate.serial()},
                    {"sha256", absl::BytesToHexString(certificate.fingerprint())},
                    {"not_before", TimeText(certificate.not_before())},
                    {"not_after", TimeText(certificate.not_after())},
                    {"pem", certificate.ToPem()}});
  }
  output.Json({{"trust_domain", bundle->trust_domain}, {"authorities", list}});
  return absl::OkStatus();
}

}  // namespace

Command BundleCommand() {
  Command show = {.name = "show",
                  .summary = "Print the trust bundle as PEM",
                  .examples = "  lanyard bundle show > /etc/lanyard/bundle.pem\n  lanyard bundle show -o json\n",
                  .flags = WithAuthorityFlags({}),
                  .run = Show};
  return {.name = "bundle",
          .summary = "The trust bundle: what SVIDs are verified against",
          .examples = "  lanyard bundle show > /etc/lanyard/bundle.pem\n",
          .children = {show}};
}

}  // namespace lanyard
