// Capture without packet filters: eBPF programs at the cgroup hooks and at socket lookup, compiled for the BPF target
// and embedded into the command line. Context structures of the kernel's stable interface only.
//
// Outbound, in the process that connects: connect4/6 write the proxy's address over the destination and keep the
// original one in the socket's own storage. When the SYN leaves, by when the socket has an address (sock_ops), it is
// noted for the caller's address and port, under which the proxy's getsockopt(SO_ORIGINAL_DST) finds it, as it finds
// connection tracking's word where nftables captures. getpeername4/6 show the application whom it called.
//
// Inbound, at the lookup of a listening socket for a SYN from outside: the proxy's socket is chosen in the place of
// the application's. The accepted socket has the caller's destination for its own address, and getsockopt says so to
// the proxy. The proxy's sockets are found as they start to listen (sock_ops), and those that listened before capture
// was up by `enlist`; only those that the proxy's user has bound (post_bind4/6). Calls from within are not taken:
// they are those that sock_ops saw begin here. An address would not tell, as it may have gone to another machine since,
// and a link-local one is every neighbour's to choose.
//
// A connection is captured or not when it begins; nothing here touches its packets.
#include "identity/capture/ebpf/layout.h"

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/in6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define SOL_IP 0
#define SOL_IPV6 41
#define ORIGINAL_DESTINATION 80  // SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST
#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define LOOPBACK_INTERFACE 1  // in every network namespace
#define MAX_OPTION_BYTES 4096
// One word of a context: the compiler would read two at once, which the kernel's verifier does not know to be possible.
#define WORD(field) (*(const volatile __u32 *)&(field))

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct BpfRules);
} rules SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, BPF_NETWORKS);
  __type(key, struct BpfNetwork);
  __type(value, __u8);
} included SEC(".maps"), excluded SEC(".maps"), own SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, BPF_PARTIES);
  __type(key, struct BpfParty);
  __type(value, __u8);
} parties SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, BPF_COUNTERS);
  __type(key, __u32);
  __type(value, __u64);
} counters SEC(".maps");

// Whom a captured socket called. It goes with the socket.
struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, struct BpfEndpoint);
} dialled SEC(".maps");

// Caller -> original destination. What gave way to newer ones is refused by the proxy as a loop, and counted there.
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, BPF_ARRIVING);
  __type(key, struct BpfEndpoint);
  __type(value, struct BpfEndpoint);
} arriving SEC(".maps");

// Calls of this machine's own addresses by sockets of its own, while these are open: who is from within.
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, BPF_WITHIN);
  __type(key, struct BpfCall);
  __type(value, __u8);
} within SEC(".maps");

// Sockets that a process of the proxy's user has bound to the inbound port.
struct {
  __uint(type, BPF_MAP_TYPE_SK_STORAGE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, int);
  __type(value, __u32);
} proxy_bound SEC(".maps");

// The proxy's inbound sockets, each in the first free place; one that is closed leaves by itself.
struct {
  __uint(type, BPF_MAP_TYPE_SOCKMAP);
  __uint(max_entries, BPF_LISTENERS);
  __type(key, __u32);
  __type(value, __u64);
} listeners SEC(".maps");

static __always_inline const struct BpfRules *Rules(void) {
  const __u32 only = 0;
  return bpf_map_lookup_elem(&rules, &only);
}

static __always_inline void Count(__u32 counter) {
  __u64 *count = bpf_map_lookup_elem(&counters, &counter);
  if (count) __sync_fetch_and_add(count, 1);
}

static __always_inline int HasPort(const struct BpfPorts *ports, __u32 port) {
  port &= 0xffff;
  return ports->bits[port / 64] >> (port % 64) & 1;
}

static __always_inline void SetAddress(__u8 *address, __u32 a, __u32 b, __u32 c, __u32 d) {
  __u32 *words = (__u32 *)address;
  words[0] = a;
  words[1] = b;
  words[2] = c;
  words[3] = d;
}

static __always_inline __u8 SidesOf(__u32 kind, __u64 id) {
  const struct BpfParty party = {.id = id, .kind = kind};
  const __u8 *sides = bpf_map_lookup_elem(&parties, &party);
  return sides ? *sides : 0;
}

static __always_inline int IsWhoIsCaptured(const struct BpfRules *now) {
  const __u64 uid_gid = bpf_get_current_uid_gid();
  if ((__u32)uid_gid == now->proxy_uid) return 0;
  __u8 sides = SidesOf(BPF_PARTY_UID, (__u32)uid_gid) | SidesOf(BPF_PARTY_GID, uid_gid >> 32);
  if (now->any_cgroups) {
    for (int level = 1; level <= BPF_CGROUP_DEPTH; ++level) {
      const __u64 id = bpf_get_current_ancestor_cgroup_id(level);
      if (id == 0) break;
      sides |= SidesOf(BPF_PARTY_CGROUP, id);
    }
  }
  if (sides & BPF_PARTY_EXCLUDED) return 0;
  return now->all_parties || (sides & BPF_PARTY_INCLUDED);
}

// One address as a key.
static __always_inline void SetNetwork(struct BpfNetwork *network, const struct BpfEndpoint *endpoint) {
  network->prefix_bits = endpoint->family == 4 ? 32 + 32 : 32 + 128;
  network->family = endpoint->family;
  __builtin_memcpy(network->address, endpoint->address, sizeof(network->address));
}

static __always_inline int IsCaptured(const struct BpfRules *now, const struct BpfEndpoint *to) {
  if (!HasPort(&now->outbound, to->port)) return 0;
  struct BpfNetwork network;
  SetNetwork(&network, to);
  if (bpf_map_lookup_elem(&own, &network) || bpf_map_lookup_elem(&excluded, &network)) return 0;
  if (!now->all_networks && !bpf_map_lookup_elem(&included, &network)) return 0;
  return IsWhoIsCaptured(now);
}

// True, with the original destination kept, where the socket is to call the proxy instead of `to`. Whatever cannot be
// kept is not let through: `*refused`.
static __always_inline int Capture(struct bpf_sock_addr *context, const struct BpfRules *now,
                                   const struct BpfEndpoint *to, int *refused) {
  if (!IsCaptured(now, to)) {
    bpf_sk_storage_delete(&dialled, context->sk);  // of an earlier call of the same socket
    return 0;
  }
  struct BpfEndpoint *kept = bpf_sk_storage_get(&dialled, context->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
  if (!kept) {
    *refused = 1;
    return 0;
  }
  *kept = *to;
  Count(BPF_OUTBOUND_CAPTURED);
  return 1;
}

// The rules, where they are for this socket's network namespace and protocol.
static __always_inline const struct BpfRules *RulesOfCall(struct bpf_sock_addr *context) {
  if (context->type != SOCK_STREAM || context->protocol != IPPROTO_TCP || !context->sk) return 0;
  const struct BpfRules *now = Rules();
  return now && bpf_get_netns_cookie(context) == now->netns_cookie ? now : 0;
}

static __always_inline __u32 PortOf(struct bpf_sock_addr *context) { return bpf_ntohs((__u16)context->user_port); }

// To the kernel 0 means: refuse the call (EPERM), 1: go on.
SEC("cgroup/connect4")
int connect4(struct bpf_sock_addr *context) {
  const struct BpfRules *now = RulesOfCall(context);
  if (!now) return 1;
  struct BpfEndpoint to = {.family = 4, .port = PortOf(context)};
  SetAddress(to.address, context->user_ip4, 0, 0, 0);
  int refused = 0;
  if (!Capture(context, now, &to, &refused)) return !refused;
  context->user_ip4 = bpf_htonl(INADDR_LOOPBACK);
  context->user_port = bpf_htons(now->outbound_port);
  return 1;
}

// An IPv6 socket may call an IPv4 address, ::ffff:10.0.0.1.
SEC("cgroup/connect6")
int connect6(struct bpf_sock_addr *context) {
  const struct BpfRules *now = RulesOfCall(context);
  if (!now) return 1;
  const __u32 a = context->user_ip6[0], b = context->user_ip6[1], c = context->user_ip6[2], d = context->user_ip6[3];
  const int is_ipv4 = a == 0 && b == 0 && c == bpf_htonl(0xffff);
  struct BpfEndpoint to = {.family = is_ipv4 ? 4 : 6, .port = PortOf(context)};
  if (is_ipv4) {
    SetAddress(to.address, d, 0, 0, 0);
  } else {
    SetAddress(to.address, a, b, c, d);
  }
  int refused = 0;
  if (!Capture(context, now, &to, &refused)) return !refused;
  if (is_ipv4) {
    context->user_ip6[3] = bpf_htonl(INADDR_LOOPBACK);
  } else {
    context->user_ip6[0] = 0;
    context->user_ip6[1] = 0;
    context->user_ip6[2] = 0;
    context->user_ip6[3] = bpf_htonl(1);
  }
  context->user_port = bpf_htons(now->outbound_port);
  return 1;
}

SEC("cgroup/getpeername4")
int getpeername4(struct bpf_sock_addr *context) {
  if (!context->sk) return 1;
  const struct BpfEndpoint *to = bpf_sk_storage_get(&dialled, context->sk, 0, 0);
  if (!to) return 1;
  context->user_ip4 = *(const __u32 *)to->address;
  context->user_port = bpf_htons(to->port);
  return 1;
}

SEC("cgroup/getpeername6")
int getpeername6(struct bpf_sock_addr *context) {
  if (!context->sk) return 1;
  const struct BpfEndpoint *to = bpf_sk_storage_get(&dialled, context->sk, 0, 0);
  if (!to) return 1;
  const __u32 *words = (const __u32 *)to->address;
  if (to->family == 4) {
    context->user_ip6[3] = words[0];
  } else {
    context->user_ip6[0] = words[0];
    context->user_ip6[1] = words[1];
    context->user_ip6[2] = words[2];
    context->user_ip6[3] = words[3];
  }
  context->user_port = bpf_htons(to->port);
  return 1;
}

// While no proxy has the port any user may, and with it would get its callers. Which user it is, is known here. 0
// refuses the call (EPERM): better than a proxy that is never found.
static __always_inline int NoteBound(struct bpf_sock *socket) {
  const struct BpfRules *now = Rules();
  if (!now || socket->protocol != IPPROTO_TCP || socket->src_port != now->inbound_port) return 1;
  if ((__u32)bpf_get_current_uid_gid() != now->proxy_uid) return 1;
  if (bpf_get_netns_cookie(socket) != now->netns_cookie) return 1;
  return bpf_sk_storage_get(&proxy_bound, socket, 0, BPF_SK_STORAGE_GET_F_CREATE) != 0;
}

SEC("cgroup/post_bind4")
int post_bind4(struct bpf_sock *socket) { return NoteBound(socket); }

SEC("cgroup/post_bind6")
int post_bind6(struct bpf_sock *socket) { return NoteBound(socket); }

static __always_inline void Enlist(struct bpf_sock_ops *context) {
  struct bpf_sock *socket = context->sk;
  if (!socket || !bpf_sk_storage_get(&proxy_bound, socket, 0, 0)) return;  // another user's
  for (__u32 place = 0; place < BPF_LISTENERS; ++place) {
    __u32 key = place;
    if (bpf_sock_map_update(context, &listeners, &key, BPF_NOEXIST) == 0) return;
  }
  Count(BPF_LISTENERS_BEYOND_LIMIT);
}

// The caller as its peer will see it.
static __always_inline void SetCaller(struct BpfEndpoint *caller, struct bpf_sock_ops *context) {
  const int is_mapped = WORD(context->remote_ip6[0]) == 0 && WORD(context->remote_ip6[1]) == 0 &&
                        WORD(context->remote_ip6[2]) == bpf_htonl(0xffff);
  caller->port = context->local_port;
  if (context->family == AF_INET || is_mapped) {
    caller->family = 4;
    SetAddress(caller->address, context->local_ip4, 0, 0, 0);
  } else {
    caller->family = 6;
    SetAddress(caller->address, WORD(context->local_ip6[0]), WORD(context->local_ip6[1]), WORD(context->local_ip6[2]),
               WORD(context->local_ip6[3]));
  }
}

static __always_inline int IsLinkLocal(const struct BpfEndpoint *endpoint) {
  return endpoint->family == 6 && endpoint->address[0] == 0xfe && (endpoint->address[1] & 0xc0) == 0x80;
}

static __always_inline int IsLoopback(const struct BpfEndpoint *endpoint) {
  if (endpoint->family == 4) return endpoint->address[0] == 127;
  const __u32 *words = (const __u32 *)endpoint->address;
  return words[0] == 0 && words[1] == 0 && words[2] == 0 && words[3] == bpf_htonl(1);
}

static __always_inline int IsSameHost(const struct BpfEndpoint *a, const struct BpfEndpoint *b) {
  const __u32 *left = (const __u32 *)a->address, *right = (const __u32 *)b->address;
  return left[0] == right[0] && left[1] == right[1] && left[2] == right[2] && left[3] == right[3];
}

// The call of a socket that connects, or did.
static __always_inline void SetCall(struct BpfCall *call, struct bpf_sock_ops *context) {
  SetCaller(&call->caller, context);
  call->called.family = call->caller.family;
  call->called.port = bpf_ntohl(context->remote_port);
  if (call->caller.family == 4) {
    SetAddress(call->called.address, WORD(context->remote_ip4), 0, 0, 0);
  } else {
    SetAddress(call->called.address, WORD(context->remote_ip6[0]), WORD(context->remote_ip6[1]),
               WORD(context->remote_ip6[2]), WORD(context->remote_ip6[3]));
  }
  struct bpf_sock *socket = context->sk;
  call->interface = socket && IsLinkLocal(&call->caller) ? socket->bound_dev_if : 0;
}

// A call that may arrive at this machine again is noted until its socket is closed (ForgetCall): one of an address that
// it has, or of one that calls itself. Nothing from outside comes by the loopback interface, so that calls of loopback
// need no note. Noted without need it does no harm: what is sent to another machine does not arrive here.
static __always_inline void NoteWithin(struct bpf_sock_ops *context, const struct BpfCall *call) {
  if (IsLoopback(&call->called)) return;
  struct BpfNetwork network;
  SetNetwork(&network, &call->called);
  if (!IsSameHost(&call->caller, &call->called) && !bpf_map_lookup_elem(&own, &network)) return;
  const __u8 there = 1;
  bpf_map_update_elem(&within, call, &there, BPF_ANY);
  bpf_sock_ops_cb_flags_set(context, context->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
}

// The SYN is about to leave, and the socket has its address.
static __always_inline void NoteCall(struct bpf_sock_ops *context, const struct BpfRules *now) {
  struct BpfCall call = {};
  SetCall(&call, context);
  NoteWithin(context, &call);
  struct bpf_sock *socket = context->sk;
  if (call.called.port != now->outbound_port || !socket) return;
  const struct BpfEndpoint *to = bpf_sk_storage_get(&dialled, socket, 0, 0);
  if (to) {
    bpf_map_update_elem(&arriving, &call.caller, to, BPF_ANY);
  } else {
    bpf_map_delete_elem(&arriving, &call.caller);  // who dials the proxy itself must not be taken for another
  }
}

// Its socket is closed: its address and port may be anybody's from now on.
static __always_inline void ForgetCall(struct bpf_sock_ops *context) {
  struct BpfCall call = {};
  SetCall(&call, context);
  bpf_map_delete_elem(&within, &call);
}

SEC("sockops")
int sock_ops(struct bpf_sock_ops *context) {
  const __u32 what = context->op;
  if (what != BPF_SOCK_OPS_TCP_CONNECT_CB && what != BPF_SOCK_OPS_TCP_LISTEN_CB && what != BPF_SOCK_OPS_STATE_CB) {
    return 1;
  }
  const struct BpfRules *now = Rules();
  if (!now || bpf_get_netns_cookie(context) != now->netns_cookie) return 1;
  if (what == BPF_SOCK_OPS_TCP_CONNECT_CB) {
    NoteCall(context, now);
  } else if (what == BPF_SOCK_OPS_STATE_CB) {
    if (context->args[1] == BPF_TCP_CLOSE) ForgetCall(context);
  } else if (context->local_port == now->inbound_port) {
    Enlist(context);
  }
  return 1;
}

// Of a connection that the proxy accepted on its outbound port: what was noted for the caller.
static __always_inline int FindCalled(struct bpf_sockopt *context, struct bpf_sock *socket, struct BpfEndpoint *to) {
  struct BpfEndpoint caller = {.port = bpf_ntohs(socket->dst_port)};
  if (context->level == SOL_IP) {
    caller.family = 4;
    SetAddress(caller.address, socket->dst_ip4, 0, 0, 0);
  } else {
    caller.family = 6;
    SetAddress(caller.address, WORD(socket->dst_ip6[0]), WORD(socket->dst_ip6[1]), WORD(socket->dst_ip6[2]),
               WORD(socket->dst_ip6[3]));
  }
  const struct BpfEndpoint *noted = bpf_map_lookup_elem(&arriving, &caller);
  if (!noted) return 0;
  *to = *noted;
  return 1;
}

// Of one that came in and was led to the proxy: the address that the socket has.
static __always_inline void SetOwn(struct bpf_sockopt *context, struct bpf_sock *socket, struct BpfEndpoint *to) {
  to->port = socket->src_port;
  if (context->level == SOL_IP) {
    to->family = 4;
    SetAddress(to->address, socket->src_ip4, 0, 0, 0);
  } else {
    to->family = 6;
    SetAddress(to->address, WORD(socket->src_ip6[0]), WORD(socket->src_ip6[1]), WORD(socket->src_ip6[2]),
               WORD(socket->src_ip6[3]));
  }
}

static __always_inline int FindOriginalDestination(struct bpf_sockopt *context, struct BpfEndpoint *to) {
  const struct BpfRules *now = Rules();
  struct bpf_sock *socket = context->sk;
  if (!now || !socket || bpf_get_netns_cookie(context) != now->netns_cookie) return 0;
  if (socket->protocol != IPPROTO_TCP) return 0;
  if (socket->src_port == now->outbound_port) return FindCalled(context, socket, to);
  if (socket->src_port == now->inbound_port || (__u32)bpf_get_current_uid_gid() != now->proxy_uid) return 0;
  SetOwn(context, socket, to);
  return 1;
}

static __always_inline int AnswerIpv4(struct bpf_sockopt *context, const struct BpfEndpoint *to) {
  struct sockaddr_in *answer = context->optval;
  if ((void *)(answer + 1) > context->optval_end) return 0;
  __builtin_memset(answer, 0, sizeof(*answer));
  answer->sin_family = AF_INET;
  answer->sin_port = bpf_htons(to->port);
  answer->sin_addr.s_addr = *(const __u32 *)to->address;
  context->optlen = sizeof(*answer);
  return 1;
}

static __always_inline int AnswerIpv6(struct bpf_sockopt *context, const struct BpfEndpoint *to) {
  struct sockaddr_in6 *answer = context->optval;
  if ((void *)(answer + 1) > context->optval_end) return 0;
  __builtin_memset(answer, 0, sizeof(*answer));
  answer->sin6_family = AF_INET6;
  answer->sin6_port = bpf_htons(to->port);
  __builtin_memcpy(&answer->sin6_addr, to->address, sizeof(to->address));
  context->optlen = sizeof(*answer);
  return 1;
}

// Runs behind the kernel's own answer, which for these connections is that there is none.
SEC("cgroup/getsockopt")
int answer(struct bpf_sockopt *context) {
  if (context->optname == ORIGINAL_DESTINATION && (context->level == SOL_IP || context->level == SOL_IPV6)) {
    struct BpfEndpoint to;
    if (FindOriginalDestination(context, &to) &&
        (context->level == SOL_IP ? AnswerIpv4(context, &to) : AnswerIpv6(context, &to))) {
      context->retval = 0;
      return 1;
    }
  }
  // Of a longer option we were shown a page; 0 leaves the kernel's whole answer as it is.
  if (context->optlen > MAX_OPTION_BYTES) context->optlen = 0;
  return 1;
}

// The call that a SYN is of.
static __always_inline void SetArrived(struct BpfCall *call, struct bpf_sk_lookup *context) {
  const __u32 family = context->family == AF_INET ? 4 : 6;
  call->caller.family = family;
  call->caller.port = bpf_ntohs(context->remote_port);
  call->called.family = family;
  call->called.port = context->local_port;
  if (family == 4) {
    SetAddress(call->caller.address, WORD(context->remote_ip4), 0, 0, 0);
    SetAddress(call->called.address, WORD(context->local_ip4), 0, 0, 0);
  } else {
    SetAddress(call->caller.address, WORD(context->remote_ip6[0]), WORD(context->remote_ip6[1]),
               WORD(context->remote_ip6[2]), WORD(context->remote_ip6[3]));
    SetAddress(call->called.address, WORD(context->local_ip6[0]), WORD(context->local_ip6[1]),
               WORD(context->local_ip6[2]), WORD(context->local_ip6[3]));
  }
  call->interface = IsLinkLocal(&call->caller) ? WORD(context->ingress_ifindex) : 0;
}

// A call that a socket of this machine made, and that was brought here: the kernel has the address. Those of when
// capture went up are known; what came later is learnt so, for calls of it are not the proxy's to bring.
static __always_inline void LearnOwnAddress(const struct BpfEndpoint *called) {
  struct BpfNetwork network;
  SetNetwork(&network, called);
  const __u8 there = 1;
  if (!bpf_map_lookup_elem(&own, &network)) bpf_map_update_elem(&own, &network, &there, BPF_ANY);
}

// What calls one of this machine's own addresses from within may be said to come in by that address's interface.
static __always_inline int IsFromWithin(struct bpf_sk_lookup *context) {
  struct BpfCall call = {};
  SetArrived(&call, context);
  if (bpf_map_lookup_elem(&within, &call)) {
    LearnOwnAddress(&call.called);
    return 1;
  }
  return context->ingress_ifindex == LOOPBACK_INTERFACE;
}

SEC("sk_lookup")
int steer(struct bpf_sk_lookup *context) {
  const struct BpfRules *now = Rules();
  if (!now || context->protocol != IPPROTO_TCP || IsFromWithin(context)) return SK_PASS;
  const __u32 port = context->local_port;
  if (port == now->outbound_port || port == now->inbound_port) {
    // Dialled directly, the outbound port would lend this workload's identity to strangers.
    Count(BPF_CAPTURE_PORT_DIALLED);
    return SK_DROP;
  }
  if (!HasPort(&now->inbound, port)) return SK_PASS;
  for (__u32 place = 0; place < BPF_LISTENERS; ++place) {
    __u32 key = place;
    struct bpf_sock *proxy = bpf_map_lookup_elem(&listeners, &key);
    if (!proxy) continue;
    const long error = bpf_sk_assign(context, proxy, 0);  // refused where it is of the other family only
    bpf_sk_release(proxy);
    if (error) continue;
    Count(BPF_INBOUND_CAPTURED);
    return SK_PASS;
  }
  Count(BPF_INBOUND_WITHOUT_PROXY);
  return SK_DROP;
}

static __always_inline int IsSameAddress(struct bpf_sock *a, struct bpf_sock *b) {
  return a->family == b->family && a->src_ip4 == b->src_ip4 && WORD(a->src_ip6[0]) == WORD(b->src_ip6[0]) &&
         WORD(a->src_ip6[1]) == WORD(b->src_ip6[1]) && WORD(a->src_ip6[2]) == WORD(b->src_ip6[2]) &&
         WORD(a->src_ip6[3]) == WORD(b->src_ip6[3]);
}

static __always_inline int Place(struct bpf_sock *found) {
  for (__u32 place = 0; place < BPF_LISTENERS; ++place) {
    __u32 key = place;
    struct bpf_sock *there = bpf_map_lookup_elem(&listeners, &key);
    if (!there) return bpf_map_update_elem(&listeners, &key, found, BPF_NOEXIST) == 0;
    const int is_same = IsSameAddress(there, found);
    bpf_sk_release(there);
    if (is_same) return 1;
  }
  return 0;
}

// Run by `up`, not attached: finds who listens on the inbound port of the address in cb[1..4] (its family, 4 or 6, in
// cb[0]); `up` looks whose it is, which is not to be seen here. Workers share a port, and with it what comes in, so
// that one of them is enough. 1: found.
SEC("tc")
int enlist(struct __sk_buff *context) {
  const struct BpfRules *now = Rules();
  if (!now) return 0;
  struct bpf_sock_tuple tuple = {};
  __u32 size = sizeof(tuple.ipv4);
  if (context->cb[0] == 4) {
    tuple.ipv4.daddr = context->cb[1];
    tuple.ipv4.dport = bpf_htons(now->inbound_port);
  } else {
    size = sizeof(tuple.ipv6);
    tuple.ipv6.daddr[0] = WORD(context->cb[1]);
    tuple.ipv6.daddr[1] = WORD(context->cb[2]);
    tuple.ipv6.daddr[2] = WORD(context->cb[3]);
    tuple.ipv6.daddr[3] = WORD(context->cb[4]);
    tuple.ipv6.dport = bpf_htons(now->inbound_port);
  }
  struct bpf_sock *found = bpf_sk_lookup_tcp(context, &tuple, size, BPF_F_CURRENT_NETNS, 0);
  if (!found) return 0;
  int enlisted = found->state == BPF_TCP_LISTEN ? Place(found) : 0;
  bpf_sk_release(found);
  return enlisted;
}
