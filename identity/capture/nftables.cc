#include "identity/capture/nftables.h"

#include <linux/capability.h>
#include <nftables/libnftables.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

struct FreeContext {
  void operator()(nft_ctx* context) const { nft_ctx_free(context); }
};

// Asked first, because libnftables would print its own words on standard error.
bool MayAdministerNetwork() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  return syscall(SYS_capget, &header, data) == 0 && (data[0].effective & (1u << CAP_NET_ADMIN)) != 0;
}

absl::Status NotPermitted() {
  return absl::PermissionDeniedError(
      "the packet rules of this network namespace need CAP_NET_ADMIN: run this as root");
}

absl::Status Explain(absl::string_view error) {
  // libnftables gives words, not codes. In a foreign user namespace the capability alone does not suffice, and a
  // table may belong to a process.
  if (absl::StrContains(error, "Operation not permitted")) return NotPermitted();
  if (absl::StrContains(error, "No such file or directory")) return absl::NotFoundError(error);
  return absl::InternalError(absl::StrCat("the kernel refused the packet rules, and nothing was changed: ", error));
}

absl::StatusOr<std::string> Run(const std::string& script, bool json, bool dry_run = false) {
  if (const absl::Status allowed = CheckNetworkAdministrator(); !allowed.ok()) return allowed;
  const std::unique_ptr<nft_ctx, FreeContext> context(nft_ctx_new(NFT_CTX_DEFAULT));
  if (context == nullptr) return absl::InternalError("nftables is not available: the kernel has no netfilter netlink");
  nft_ctx_buffer_output(context.get());
  nft_ctx_buffer_error(context.get());
  nft_ctx_set_dry_run(context.get(), dry_run);
  nft_ctx_output_set_flags(context.get(), json ? NFT_CTX_OUTPUT_JSON : 0);
  if (nft_run_cmd_from_buffer(context.get(), script.c_str()) != 0) {
    return Explain(nft_ctx_get_error_buffer(context.get()));
  }
  return std::string(nft_ctx_get_output_buffer(context.get()));
}

}  // namespace

absl::Status CheckNetworkAdministrator() { return MayAdministerNetwork() ? absl::OkStatus() : NotPermitted(); }

absl::Status ApplyNftables(const std::string& script) {
  const absl::Status applied = Run(script, false).status();
  if (!absl::IsPermissionDenied(applied)) return applied;
  return absl::PermissionDeniedError(absl::StrCat(applied.message(), "; nothing was changed"));
}

absl::Status TryNftables(const std::string& script) { return Run(script, false, /*dry_run=*/true).status(); }

absl::StatusOr<std::string> ListNftablesRuleset() { return Run("list ruleset", true); }

absl::StatusOr<std::string> ListNftablesTable(const std::string& table, bool json) {
  return Run(absl::StrCat("list table ", table), json);
}

}  // namespace lanyard
