#include "proxy/mesh/view_change.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace lanyard {
namespace {

// `lists` of one kind of rule by listener; a listener beyond the end of a list has none.
template <typename Rules>
void AddDifferences(const std::vector<Rules>& before, const std::vector<Rules>& now, std::set<size_t>& out) {
  for (size_t i = 0; i < std::max(before.size(), now.size()); ++i) {
    if (i >= before.size() || i >= now.size() || !(before[i] == now[i])) out.insert(i);
  }
}

BanSet Since(const BanSet& before, const BanSet& now) {
  std::vector<Ban> since;
  for (const Ban& ban : now.all()) {
    const Ban* known = before.FindSubject(ban.subject, absl::InfinitePast());  // whenever it ends
    if (known == nullptr || known->expires_at < ban.expires_at) since.push_back(ban);
  }
  return BanSet(std::move(since));
}

bool LostAuthority(const X509Bundle& before, const X509Bundle* now) {
  return std::any_of(before.authorities().begin(), before.authorities().end(), [now](const Certificate& authority) {
    return now == nullptr ||
           std::find(now->authorities().begin(), now->authorities().end(), authority) == now->authorities().end();
  });
}

}  // namespace

bool ViewChange::TouchesPeer(const SpiffeId& id, const std::string& serial) const {
  return bans.Find(id, serial, absl::InfinitePast()) != nullptr;  // whenever they end
}

bool ViewChange::TouchesRules(size_t index, ListenerKind kind) const {
  switch (kind) {
    case ListenerKind::kOutboundCapture: return routes;
    case ListenerKind::kInboundCapture: return inbound;
    case ListenerKind::kOutboundStatic:
    case ListenerKind::kInboundStatic: return listeners.contains(index);
  }
  return true;
}

bool ViewChange::TouchesConnections() const {
  return !bans.all().empty() || !trust_domains.empty() || routes || inbound || !listeners.empty() || on_svid_expiry;
}

ViewChange CompareViews(const MeshView* before, const MeshView& now) {
  ViewChange change;
  if (before == nullptr) return change;
  change.bans = Since(before->bans, now.bans);
  change.routes = !(before->routes == now.routes);
  change.inbound = !(before->inbound == now.inbound);
  AddDifferences(before->listener_routes, now.listener_routes, change.listeners);
  AddDifferences(before->listener_policies, now.listener_policies, change.listeners);
  change.on_svid_expiry = before->on_svid_expiry != now.on_svid_expiry;
  change.identity_withdrawn = !before->identity_withdrawn && now.identity_withdrawn;
  if (before->tls == now.tls) return change;
  change.own_svid = before->tls->svid()->chain() != now.tls->svid()->chain();
  if (before->tls->bundle_version() == now.tls->bundle_version()) return change;
  for (const auto& [trust_domain, bundle] : before->tls->bundles().bundles()) {
    if (LostAuthority(bundle, now.tls->bundles().Find(trust_domain))) change.trust_domains.insert(trust_domain);
  }
  return change;
}

}  // namespace lanyard
