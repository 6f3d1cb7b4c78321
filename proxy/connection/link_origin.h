// Where a link comes from: what its TCP connection was accepted or dialled for. It travels with the link's SSL, through
// carry-overs and to other workers, so that no link can be taken for one that came in elsewhere.
#pragma once

#include <openssl/base.h>

#include <cstddef>

#include "proxy/io/address.h"
#include "proxy/io/resolver.h"
#include "proxy/mesh/mesh_view.h"

namespace lanyard {

struct LinkOrigin {
  SocketAddress remote;               // opener: what was dialled; acceptor: who dialled
  SocketAddress local;                // acceptor: what the peer dialled; opener: as `remote`
  size_t listener = 0;                // acceptor: the rest of an Arrival
  const ListenerSpec* spec = nullptr;
  const Destination* fixed = nullptr;
  int hops = 0;                       // acceptor: likewise
};

// Once; for the life of `ssl`. False for want of memory.
bool SetLinkOrigin(SSL* ssl, LinkOrigin origin);
// Null if it was never set.
const LinkOrigin* LinkOriginOf(const SSL* ssl);

}  // namespace lanyard
