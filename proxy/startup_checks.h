// What the settings of a proxy amount to as a whole, and what of that its user may not have meant.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "proxy/config.h"

namespace lanyard {

// Pure, but for the last.

bool Captures(const ProxySettings& settings);
bool HasStaticListeners(const ProxySettings& settings);
// ALPN names offered between proxies; none: plain mutual TLS.
std::vector<std::string> AlpnOf(const ProxySettings& settings);
// Where the identity comes from, for people.
std::string SourceName(const ProxySettings& settings);

// Open files that a process comes to at its limits: of connections, of links (that it opened, and that it accepted;
// idle ones, and those that leave), and some to spare.
uint64_t DescriptorsNeeded(const ProxySettings& settings);
// Outbound listeners that are not loopback: whoever reaches one calls as this workload. Not one that takes connections
// from named addresses alone, as its header says (accept_proxy_protocol): those were meant.
std::vector<ListenerSpec> ListenersThatLendTheIdentity(const ProxySettings& settings);

// Logs what is wrong with either.
void WarnOfSettings(const ProxySettings& settings);

}  // namespace lanyard
