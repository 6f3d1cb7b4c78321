#include "identity/authority/own_identity.h"

#include <utility>

namespace lanyard {

OwnIdentity::OwnIdentity(const Issuer& issuer, const Clock& clock)
    : issuer_(issuer), clock_(clock), cache_(std::make_shared<VerifyCache>()) {}

absl::Time OwnIdentity::NextRenewal() const { return renew_at_; }

absl::StatusOr<std::shared_ptr<const TlsContext>> OwnIdentity::Refresh(const X509Bundle& bundle) {
  const absl::Time now = clock_.Now();
  const bool renew = now >= renew_at_ || (svid_ && now < svid_->not_before());
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
  // Half of what is left now: not_before may lie further back than the SVID has to live.
  if (renew) renew_at_ = now + (svid->not_after() - now) / 2;
  svid_ = std::move(svid);
  bundle_ = bundle;
  return context;
}

}  // namespace lanyard
