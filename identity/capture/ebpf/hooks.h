// The eBPF programs of capture in the kernel: loaded, attached, and pinned in the BPF file system, so that they outlive
// this process. One set a network namespace, in FOLDER = BPF_FS/lanyard/NETNS_COOKIE: the nine attachments, and the
// maps that the next set goes on with (whom open connections called, who is from within, the proxy's sockets, the
// counters).
//
// Needs Linux 5.17 (ingress_ifindex at socket lookup), cgroup2, sock_diag(7) of TCP, and CAP_BPF and CAP_NET_ADMIN of
// the machine. Every error is one sentence that says what is missing.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "identity/capture/ebpf/tables.h"

namespace lanyard {

// The machine's own is meant: what is pinned in a file system of one mount namespace only goes with it.
inline constexpr char kBpfFileSystem[] = "/sys/fs/bpf";

struct EbpfPlaces {
  std::string bpf_fs = kBpfFileSystem;
  std::string cgroup_root;  // mount point of cgroup2: the programs see every process below it
};

// This network namespace's, and cgroups below `cgroup_root`.
absl::StatusOr<EbpfSurroundings> SurveySurroundings(const std::string& cgroup_root);

// Only sockets of the proxy's user get who comes in. Unavailable while others' listen in their place, again and again.
// Puts `tables` into force instead of what was there; `words` is kept beside them for FindHooks. Everything is loaded,
// verified and filled before the first program is attached; after an error what was in force still is. What capture
// of network namespaces that are gone left behind is removed by the way.
absl::Status RaiseHooks(const EbpfTables& tables, const std::string& words, const EbpfPlaces& places);

// Detaches everything and leaves no file; OK where nothing is, or where there is no BPF file system.
absl::Status LowerHooks(const EbpfPlaces& places);

struct HooksInForce {
  std::string words;
  std::vector<std::pair<std::string, uint64_t>> counters;  // since capture is up, by name
};
// NotFound where nothing is in force.
absl::StatusOr<HooksInForce> FindHooks(const EbpfPlaces& places);

}  // namespace lanyard
