#include "identity/cli/nftables.h"

#include <nftables/libnftables.h>

#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

struct FreeContext {
  void operator()(nft_ctx* context) const { nft_ctx_free(context); }
};

absl::Status Explain(absl::string_view error) {
  // libnftables gives words, not codes.
  if (absl::StrContains(error, "Operation not permitted")) {
    return absl::PermissionDeniedError(
        "the packet rules of this network namespace need CAP_NET_ADMIN: run this as root; nothing was changed");
  }
  if (absl::StrContains(error, "No such file or directory")) return absl::NotFoundError(error);
  return absl::InternalError(absl::StrCat("the kernel refused the packet rules, and nothing was changed: ", error));
}

absl::StatusOr<std::string> Run(const std::string& script, bool json) {
  const std::unique_ptr<nft_ctx, FreeContext> context(nft_ctx_new(NFT_CTX_DEFAULT));
  if (context == nullptr) return absl::InternalError("nftables is not available: the kernel has no netfilter netlink");
  nft_ctx_buffer_output(context.get());
  nft_ctx_buffer_error(context.get());
  nft_ctx_output_set_flags(context.get(), json ? NFT_CTX_OUTPUT_JSON : 0);
  if (nft_run_cmd_from_buffer(context.get(), script.c_str()) != 0) {
    return Explain(nft_ctx_get_error_buffer(context.get()));
  }
  return std::string(nft_ctx_get_output_buffer(context.get()));
}

}  // namespace

absl::Status ApplyNftables(const std::string& script) { return Run(script, false).status(); }

absl::StatusOr<std::string> ListNftablesTable(const std::string& table, bool json) {
  return Run(absl::StrCat("list table ", table), json);
}

}  // namespace lanyard
