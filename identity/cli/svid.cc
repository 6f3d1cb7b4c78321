// lanyard svid: what the Workload API gives this process.
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "identity/base/clock.h"
#include "identity/base/process.h"
#include "identity/cli/commands.h"
#include "identity/cli/svid_files.h"
#include "identity/workload/watch.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

nlohmann::ordered_json ToJson(const X509Svid& svid) {
  return {{"spiffe_id", svid.id().ToString()},       {"hint", svid.hint()},
          {"serial", svid.leaf().serial()},          {"not_before", TimeText(svid.not_before())},
          {"not_after", TimeText(svid.not_after())}, {"chain", svid.ChainPem()}};
}

nlohmann::ordered_json ToJson(const WorkloadIdentity& identity) {
  nlohmann::ordered_json svids = nlohmann::ordered_json::array();
  for (const X509Svid& svid : identity.svids) svids.push_back(ToJson(svid));
  nlohmann::ordered_json bundles = nlohmann::ordered_json::object();
  for (const auto& [trust_domain, bundle] : identity.bundles.bundles()) bundles[trust_domain.name()] = bundle.ToPem();
  return {{"svids", svids}, {"bundles", bundles}};
}

void Show(const WorkloadIdentity& identity, Output& output) {
  std::vector<std::vector<std::string>> rows;
  for (const X509Svid& svid : identity.svids) {
    rows.push_back({svid.id().ToString(), svid.leaf().serial(), TimeText(svid.not_after()),
                    RelativeTime(svid.not_after(), SystemClock().Now()), svid.hint()});
  }
  output.Table({"SPIFFE ID", "SERIAL", "EXPIRES", "", "HINT"}, rows);
}

// The SVID that --spiffe-id names, or the default.
absl::StatusOr<const X509Svid*> Chosen(const WorkloadIdentity& identity, const std::string& spiffe_id) {
  for (const X509Svid& svid : identity.svids) {
    if (spiffe_id.empty() || svid.id().ToString() == spiffe_id) return &svid;
  }
  return absl::NotFoundError(absl::StrCat("this process has no SVID for ", spiffe_id, "; it has ",
                                          identity.svids.front().id().ToString(), ": see `lanyard svid fetch`"));
}

absl::Status Write(const Arguments& arguments, const WorkloadIdentity& identity) {
  const absl::StatusOr<const X509Svid*> svid = Chosen(identity, arguments.Value("--spiffe-id"));
  if (!svid.ok()) return svid.status();
  if (!arguments.Has("--write")) return absl::OkStatus();
  const X509Bundle* bundle = identity.bundles.Find((*svid)->id().trust_domain());
  if (bundle == nullptr) {
    return absl::InternalError(absl::StrCat("the agent sent no bundle for the trust domain of ",
                                            (*svid)->id().ToString(), "; nothing was written"));
  }
  return WriteSvidFiles(arguments.Value("--write"), **svid, *bundle);
}

absl::StatusOr<std::string> Address(const Arguments& arguments) {
  // The environment is already in the flag's value.
  absl::StatusOr<std::string> address = WorkloadApiAddress(arguments.Value(kWorkloadSocketFlag), "");
  if (!address.ok()) return UsageError(absl::StrCat(kWorkloadSocketFlag, ": ", address.status().message()));
  return address;
}

absl::Status Explain(const absl::Status& status, const std::string& address) {
  if (absl::IsPermissionDenied(status)) {
    return absl::PermissionDeniedError(
        absl::StrCat("the agent has no identity for this process (uid ", getuid(), "): ", status.message(),
                     ", or run this as the workload"));
  }
  if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) {
    return absl::Status(
        status.code(),
        absl::StrCat("the Workload API does not answer at ", address, ": ", status.message(),
                     "; start lanyard-agent, or name its socket with --socket or SPIFFE_ENDPOINT_SOCKET"));
  }
  return status;
}

absl::Status Fetch(const Arguments& arguments, Output& output) {
  const absl::StatusOr<std::string> address = Address(arguments);
  if (!address.ok()) return address.status();
  const absl::StatusOr<absl::Duration> timeout = arguments.Duration(kTimeoutFlag);
  if (!timeout.ok()) return timeout.status();
  const Progress progress(absl::StrCat("waiting for an SVID from ", *address));
  const absl::StatusOr<WorkloadIdentity> identity = FetchWorkloadIdentity(*address, *timeout);
  if (!identity.ok()) return Explain(identity.status(), *address);
  if (const absl::Status written = Write(arguments, *identity); !written.ok()) return written;
  if (output.json()) {
    output.Json(ToJson(*identity));
  } else {
    Show(*identity, output);
  }
  return absl::OkStatus();
}

void ShowUpdate(const WorkloadIdentity& identity, Output& output) {
  if (output.json()) {
    output.JsonLine(ToJson(identity));
    return;
  }
  for (const X509Svid& svid : identity.svids) {
    output.Text(absl::StrCat(TimeText(SystemClock().Now()), " ", svid.id().ToString(), " serial ", svid.leaf().serial(),
                             " expires ", TimeText(svid.not_after()), "\n"));
  }
  output.Flush();
}

absl::Status Watch(const Arguments& arguments, Output& output) {
  const absl::StatusOr<std::string> address = Address(arguments);
  if (!address.ok()) return address.status();
  BlockStopSignals();
  // The watch calls back one at a time, so output has one writer at a time.
  WorkloadWatch watch(
      *address, {.on_identity =
                     [&](WorkloadIdentity identity) {
                       if (const absl::Status written = Write(arguments, identity); !written.ok()) {
                         output.Error(written);
                       }
                       ShowUpdate(identity, output);
                     },
                 .on_error =
                     [&](const absl::Status& status, absl::Duration wait) {
                       const absl::Status explained = Explain(status, *address);
                       output.Error(absl::Status(explained.code(), absl::StrCat(explained.message(), " (next try in ",
                                                                                absl::FormatDuration(wait), ")")));
                     }});
  WaitForStopSignal();
  return absl::OkStatus();
}

std::vector<Flag> SvidFlags() {
  return {{.name = "--write", .help = "Write svid.pem, key.pem (0600) and bundle.pem into this folder"},
          {.name = "--spiffe-id", .help = "Which SVID to write; absent: the first"}};
}

}  // namespace

Command SvidCommand() {
  Command fetch = {.name = "fetch",
                   .summary = "Fetch this process's SVIDs once",
                   .examples =
                       "  lanyard svid fetch\n"
                       "  sudo -u www-data lanyard svid fetch --write /run/www/svid\n",
                   .flags = WithWorkloadApiFlags(SvidFlags()),
                   .run = Fetch};
  std::vector<Flag> watch_flags = WithWorkloadApiFlags(SvidFlags());
  watch_flags.pop_back();  // it waits as long as it takes
  Command watch = {.name = "watch",
                   .summary = "Print (and write) this process's SVIDs whenever they change, until interrupted",
                   .examples = "  lanyard svid watch --write /run/www/svid\n  lanyard svid watch -o json\n",
                   .flags = watch_flags,
                   .run = Watch};
  return {.name = "svid",
          .summary = "This process's own identity, from the agent",
          .examples = "  lanyard svid fetch --write /run/www/svid\n",
          .children = {fetch, watch}};
}

}  // namespace lanyard
