// What differs between two views: which open connections a new one can touch. Pure.
#pragma once

#include <set>
#include <string>

#include "identity/policy/ban.h"
#include "identity/spiffe/trust_domain.h"
#include "proxy/mesh/mesh_view.h"

namespace lanyard {

// Everything that can end what was allowed. What can only allow more is left out: a ban that was lifted, an
// authority that joined a bundle.
struct ViewChange {
  BanSet bans;                           // new, or longer than before
  std::set<TrustDomain> trust_domains;   // whose bundle lost an authority
  bool routes = false;                   // of captured outbound connections
  bool inbound = false;                  // the policy of captured inbound connections
  std::set<size_t> listeners;            // static ones, by index, whose route or policy differs
  bool on_svid_expiry = false;
  bool own_svid = false;                 // touches no connection at once: each is authenticated anew at leisure
  bool identity_withdrawn = false;       // our identity was, since then: likewise, but that idle links stand for it

  // True if a ban among them names this peer.
  bool TouchesPeer(const SpiffeId& id, const std::string& serial) const;
  // True if the route or policy of connections that came in there is another one.
  bool TouchesRules(size_t index, ListenerKind kind) const;
  // True if some connection may have to be looked at.
  bool TouchesConnections() const;
};

// `before` may be null: no view yet, and so no connection.
ViewChange CompareViews(const MeshView* before, const MeshView& now);

}  // namespace lanyard
