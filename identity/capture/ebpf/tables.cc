#include "identity/capture/ebpf/tables.h"

#include <arpa/inet.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

constexpr uint32_t kFamilyBits = 32;  // of BpfNetwork, before the address
constexpr uint16_t kDnsPort = 53;

// Loopback, and "this machine" when it is called.
constexpr const char* kAlwaysLocal[] = {"127.0.0.0/8", "0.0.0.0/32", "::1/128", "::/128"};

bool Names(const std::vector<PortRange>& ranges, uint32_t port) {
  for (const PortRange& range : ranges) {
    if (range.Contains(static_cast<uint16_t>(port))) return true;
  }
  return false;
}

BpfPorts PortsOf(const std::vector<PortRange>& include, const std::vector<PortRange>& exclude) {
  BpfPorts ports = {};
  for (uint32_t port = 1; port <= 65535; ++port) {
    if (Names(exclude, port) || (!include.empty() && !Names(include, port))) continue;
    ports.bits[port / 64] |= uint64_t{1} << (port % 64);
  }
  return ports;
}

void Remove(uint16_t port, BpfPorts& ports) { ports.bits[port / 64] &= ~(uint64_t{1} << (port % 64)); }

void AddParty(BpfPartyKind kind, uint64_t id, BpfPartySide side, EbpfTables& tables) {
  for (EbpfTables::Party& party : tables.parties) {
    if (party.who.kind == kind && party.who.id == id) {
      party.sides |= side;
      return;
    }
  }
  tables.parties.push_back({.who = {.id = id, .kind = kind, .unused = 0}, .sides = static_cast<uint8_t>(side)});
}

absl::Status AddCgroups(const std::vector<Cgroup>& cgroups, BpfPartySide side, const EbpfSurroundings& surroundings,
                        EbpfTables& tables) {
  for (const Cgroup& cgroup : cgroups) {
    if (cgroup.level() > BPF_CGROUP_DEPTH) {
      return absl::InvalidArgumentError(absl::StrCat("the cgroup ", cgroup.ToString(), " lies deeper than ",
                                                     BPF_CGROUP_DEPTH, " levels; name one above it"));
    }
    const absl::StatusOr<uint64_t> id = surroundings.cgroup_id(cgroup);
    if (!id.ok()) return id.status();
    AddParty(BPF_PARTY_CGROUP, *id, side, tables);
    tables.rules.any_cgroups = 1;
  }
  return absl::OkStatus();
}

absl::Status AddParties(const CaptureRules& rules, const EbpfSurroundings& surroundings, EbpfTables& tables) {
  for (const uid_t uid : rules.include_uids) AddParty(BPF_PARTY_UID, uid, BPF_PARTY_INCLUDED, tables);
  for (const uid_t uid : rules.exclude_uids) AddParty(BPF_PARTY_UID, uid, BPF_PARTY_EXCLUDED, tables);
  for (const gid_t gid : rules.include_gids) AddParty(BPF_PARTY_GID, gid, BPF_PARTY_INCLUDED, tables);
  for (const gid_t gid : rules.exclude_gids) AddParty(BPF_PARTY_GID, gid, BPF_PARTY_EXCLUDED, tables);
  absl::Status status = AddCgroups(rules.include_cgroups, BPF_PARTY_INCLUDED, surroundings, tables);
  status.Update(AddCgroups(rules.exclude_cgroups, BPF_PARTY_EXCLUDED, surroundings, tables));
  tables.rules.all_parties = rules.include_uids.empty() && rules.include_gids.empty() && rules.include_cgroups.empty();
  return status;
}

absl::Status CheckLimits(const EbpfTables& tables) {
  for (const std::vector<BpfNetwork>* networks : {&tables.included, &tables.excluded, &tables.own}) {
    if (networks->size() > BPF_NETWORKS) {
      return absl::InvalidArgumentError(
          absl::StrCat("capture by eBPF takes ", BPF_NETWORKS, " networks to include, as many to exclude, and as many ",
                       "addresses of this machine, not ", networks->size()));
    }
  }
  if (tables.parties.size() > BPF_PARTIES) {
    return absl::InvalidArgumentError(absl::StrCat("capture by eBPF takes ", BPF_PARTIES,
                                                   " users, groups and cgroups, not ", tables.parties.size()));
  }
  return absl::OkStatus();
}

}  // namespace

BpfNetwork NetworkOf(const Cidr& cidr) {
  BpfNetwork network = {};
  network.family = cidr.is_v6() ? 6 : 4;
  inet_pton(cidr.is_v6() ? AF_INET6 : AF_INET, cidr.address().c_str(), network.address);
  uint32_t bits = 0;
  const std::string& text = cidr.ToString();
  if (!absl::SimpleAtoi(text.substr(text.find('/') + 1), &bits)) bits = cidr.is_v6() ? 128 : 32;
  network.prefix_bits = kFamilyBits + bits;
  return network;
}

absl::StatusOr<EbpfTables> MakeEbpfTables(const CaptureRules& rules, const EbpfSurroundings& surroundings) {
  EbpfTables tables;
  tables.rules.netns_cookie = surroundings.netns_cookie;
  tables.rules.proxy_uid = rules.proxy_uid;
  tables.rules.outbound_port = rules.outbound_port;
  tables.rules.inbound_port = rules.inbound_port;
  tables.rules.all_networks = rules.include_cidrs.empty();
  tables.rules.outbound = PortsOf(rules.include_outbound_ports, rules.exclude_outbound_ports);
  tables.rules.inbound = PortsOf(rules.include_inbound_ports, rules.exclude_inbound_ports);
  if (rules.dns == DnsPolicy::kPass) Remove(kDnsPort, tables.rules.outbound);
  for (const Cidr& cidr : rules.include_cidrs) tables.included.push_back(NetworkOf(cidr));
  for (const Cidr& cidr : rules.exclude_cidrs) tables.excluded.push_back(NetworkOf(cidr));
  for (const char* local : kAlwaysLocal) tables.own.push_back(NetworkOf(*Cidr::Parse(local)));
  for (const Cidr& own : surroundings.own_addresses) tables.own.push_back(NetworkOf(own));
  absl::Status status = AddParties(rules, surroundings, tables);
  status.Update(CheckLimits(tables));
  if (!status.ok()) return status;
  return tables;
}

}  // namespace lanyard
