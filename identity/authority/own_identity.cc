#include "identity/authority/own_identity.h"

#include <utility>

namespace lanyard {
namespace {

absl::Time HalfLife(const X509Svid& svid) { return svid.not_before() + (svid.not_after() - svid.not_before()) / 2; }

}  // namespace

OwnIdentity::OwnIdentity(const Issuer& issuer, const Clock& clock)
    : issuer_(issuer), clock_(clock), cache_(std::make_shared<VerifyCache>()) {}

absl::Time OwnIdentity::NextRenewal() const { return svid_ ? HalfLife(*svid_) : absl::InfinitePast(); }

absl::StatusOr<std::shared_ptr<const TlsContext>> OwnIdentity::Refresh(const X509Bundle& bundle) {
  const bool renew = clock_.Now() >= NextRenewal();
  if (!renew && bundle_ == bundle) return nullptr;
  std::optional<X509Svid> svid = svid_;
  if (renew) {
    absl::StatusOr<X509Svid> made = issuer_.MakeOwnSvid();
    if (!made.ok()) return made.status();
    svid = *std::move(made);
  }
  BundleSet bundles;
  bundles.Set(bundle);
  auto context = TlsContext::Create(*svid, std::move(bundles), cache_, clock_, {.alpn = {"h2"}, .alpn_required = true});
  if (!context.ok()) return context.status();
  svid_ = std::move(svid);
  bundle_ = bundle;
  return context;
}

}  // namespace lanyard
