#include "proxy/startup_checks.h"

#include <algorithm>

#include "identity/admin/process_stats.h"
#include "identity/base/logging.h"

namespace lanyard {
namespace {

// Beside connections: listeners, logs, files, the admin address, event loops.
constexpr uint64_t kSpareDescriptors = 128;

bool IsOfCapture(const ListenerSpec& spec) {
  return spec.kind == ListenerKind::kInboundCapture || spec.kind == ListenerKind::kOutboundCapture;
}

}  // namespace

bool Captures(const ProxySettings& settings) {
  return std::any_of(settings.listeners.begin(), settings.listeners.end(), IsOfCapture);
}

bool HasStaticListeners(const ProxySettings& settings) {
  return !std::all_of(settings.listeners.begin(), settings.listeners.end(), IsOfCapture);
}

std::vector<std::string> AlpnOf(const ProxySettings& settings) {
  if (!settings.mesh_protocol) return {};
  return {kMeshAlpn};
}

std::string SourceName(const ProxySettings& settings) {
  return settings.identity_files.has_value() ? settings.identity_files->certificate : settings.workload_api;
}

uint64_t DescriptorsNeeded(const ProxySettings& settings) {
  return 2 * uint64_t{settings.limits.max_connections} + 4 * uint64_t{settings.limits.max_idle_links} +
         kSpareDescriptors;
}

std::vector<ListenerSpec> ListenersThatLendTheIdentity(const ProxySettings& settings) {
  std::vector<ListenerSpec> lending;
  for (const ListenerSpec& spec : settings.listeners) {
    const bool outbound = spec.kind == ListenerKind::kOutboundStatic;
    if (outbound && !spec.address.is_loopback() && spec.accepted_header.from.empty()) lending.push_back(spec);
  }
  return lending;
}

void WarnOfSettings(const ProxySettings& settings) {
  const uint64_t available = ReadProcessStats().max_fds;
  const uint64_t needed = DescriptorsNeeded(settings);
  if (available < needed) {
    Log(LogLevel::kWarning, "limits.max_connections cannot be reached: raise the limit of open files, or lower it",
        {{"max_connections", settings.limits.max_connections},
         {"max_idle_links", settings.limits.max_idle_links},
         {"open_files", available},
         {"needed", needed}});
  }
  for (const ListenerSpec& spec : ListenersThatLendTheIdentity(settings)) {
    Log(LogLevel::kWarning, "an outbound listener is not loopback: whoever reaches it calls as this workload",
        {{"listener", spec.name}, {"address", spec.address.ToString()}});
  }
}

}  // namespace lanyard
