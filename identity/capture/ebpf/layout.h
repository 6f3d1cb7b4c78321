// What the eBPF programs of capture (programs.c) and the command line share: what their maps hold. C and C++.
//
// Ports and families are numbers of the host's order; addresses are in network order.
#pragma once

#include <linux/types.h>

// Limits. What a map cannot take is refused by `up`; the others are said where they are reached.
#define BPF_NETWORKS 4096   // to include, as many to exclude, and as many addresses of the machine's own
#define BPF_PARTIES 1024    // users, groups and cgroups
#define BPF_LISTENERS 128   // of the proxy, one a worker; those beyond share through SO_REUSEPORT
#define BPF_ARRIVING 16384  // captured connections that the proxy has not asked about; the oldest gives way
#define BPF_WITHIN 16384    // open calls of the machine's own addresses; the oldest, long since taken, gives way
#define BPF_CGROUP_DEPTH 32  // levels below the root that are looked at

// An address and a port, or a caller as the proxy sees it. Of IPv4 the first four bytes count, the rest are 0.
struct BpfEndpoint {
  __u32 family;  // 4 or 6
  __u32 port;
  __u8 address[16];
};

// A network, as a key of a longest-prefix map: the family is the first 32 bits, the prefix comes behind it.
struct BpfNetwork {
  __u32 prefix_bits;  // 32 more than the network's own
  __u32 family;
  __u8 address[16];
};

// A call as both ends see it.
struct BpfCall {
  struct BpfEndpoint caller, called;
  __u32 interface;  // of a link-local caller, whose address means nothing without it; else 0
};

enum BpfPartyKind { BPF_PARTY_UID = 1, BPF_PARTY_GID = 2, BPF_PARTY_CGROUP = 3 };

// Who connects.
struct BpfParty {
  __u64 id;  // uid, gid, or the cgroup's ID
  __u32 kind;
  __u32 unused;  // 0
};
enum BpfPartySide { BPF_PARTY_INCLUDED = 1, BPF_PARTY_EXCLUDED = 2 };  // bits of a party's value

// A set of ports, one bit each.
struct BpfPorts {
  __u64 bits[65536 / 64];
};

struct BpfRules {
  __u64 netns_cookie;  // the network namespace; in all others these programs do nothing
  __u32 proxy_uid;
  __u16 outbound_port;
  __u16 inbound_port;
  __u8 all_networks;  // 1: no network is included by name, so that each is
  __u8 all_parties;   // likewise
  __u8 any_cgroups;   // 1: cgroups are named, so that the caller's are to be looked up
  __u8 unused[5];
  struct BpfPorts outbound;  // captured, all told: included, and not excluded
  struct BpfPorts inbound;
};

// Indices of the map of counters.
enum BpfCounter {
  BPF_OUTBOUND_CAPTURED,
  BPF_INBOUND_CAPTURED,
  BPF_INBOUND_WITHOUT_PROXY,  // refused, because no proxy listens on the inbound port
  BPF_CAPTURE_PORT_DIALLED,   // refused, because the caller came from outside and dialled a capture port
  BPF_LISTENERS_BEYOND_LIMIT,
  BPF_COUNTERS,
};
