#include "identity/capture/rules.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace lanyard {
namespace {

using Kind = CaptureSetting::Kind;

template <typename Number>
std::vector<std::string> Texts(const std::vector<Number>& numbers) {
  std::vector<std::string> texts;
  for (const Number number : numbers) texts.push_back(absl::StrCat(number));
  return texts;
}

// A choice between words, the first of which is the default.
template <typename Choice>
CaptureSetting ChoiceSetting(const char* flag, const char* help, Choice CaptureRules::*field,
                             std::vector<std::pair<const char*, Choice>> words) {
  const auto take = [field, words](absl::string_view text, const CaptureEnvironment&, CaptureRules& rules) {
    std::string known;
    for (const auto& [word, choice] : words) {
      if (text == word) {
        rules.*field = choice;
        return absl::OkStatus();
      }
      absl::StrAppend(&known, known.empty() ? "" : ", ", word);
    }
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is none of ", known));
  };
  const auto give = [field, words](const CaptureRules& rules) {
    for (const auto& [word, choice] : words) {
      if (rules.*field == choice && choice != words.front().second) return std::vector<std::string>{word};
    }
    return std::vector<std::string>();
  };
  return {.flag = flag, .help = help, .fallback = words.front().first, .take = take, .give = give};
}

CaptureSetting PortSetting(const char* flag, const char* help, uint16_t CaptureRules::*field, const char* fallback) {
  const auto take = [field](absl::string_view text, const CaptureEnvironment&, CaptureRules& rules) {
    const absl::StatusOr<uint16_t> port = ParsePort(text);
    if (port.ok()) rules.*field = *port;
    return port.status();
  };
  const auto give = [field](const CaptureRules& rules) { return Texts(std::vector<uint16_t>{rules.*field}); };
  return {.flag = flag, .help = help, .fallback = fallback, .take = take, .give = give};
}

template <typename Item, typename Parse>
CaptureSetting ItemsSetting(const char* flag, const char* help, std::vector<Item> CaptureRules::*field, Parse parse) {
  const auto take = [field, parse](absl::string_view text, const CaptureEnvironment& environment, CaptureRules& rules) {
    const absl::StatusOr<Item> item = parse(text, environment);
    if (item.ok()) (rules.*field).push_back(*item);
    return item.status();
  };
  const auto give = [field](const CaptureRules& rules) {
    std::vector<std::string> texts;
    for (const Item& item : rules.*field) texts.push_back(item.ToString());
    return texts;
  };
  return {.flag = flag, .help = help, .kind = Kind::kList, .take = take, .give = give};
}

template <typename Item>
CaptureSetting ListSetting(const char* flag, const char* help, std::vector<Item> CaptureRules::*field) {
  return ItemsSetting(flag, help, field,
                      [](absl::string_view text, const CaptureEnvironment&) { return Item::Parse(text); });
}

CaptureSetting CgroupSetting(const char* flag, const char* help, std::vector<Cgroup> CaptureRules::*field) {
  return ItemsSetting(flag, help, field, [](absl::string_view text, const CaptureEnvironment& environment) {
    return Cgroup::Parse(text, environment.cgroup_mount);
  });
}

using Lookup = std::function<absl::StatusOr<uint32_t>(const std::string&)>;

absl::StatusOr<uint32_t> ParseWho(absl::string_view text, const char* what, const Lookup& lookup) {
  uint32_t number = 0;
  if (absl::SimpleAtoi(text, &number)) return number;
  if (text.empty() || lookup == nullptr || !lookup(std::string(text)).ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("there is no such ", what, " '", text, "'; write a ", what, "'s name or number"));
  }
  return lookup(std::string(text));
}

CaptureSetting WhoSetting(const char* flag, const char* help, bool group, std::vector<uint32_t> CaptureRules::*field) {
  const auto take = [field, group](absl::string_view text, const CaptureEnvironment& environment, CaptureRules& rules) {
    const absl::StatusOr<uint32_t> who =
        ParseWho(text, group ? "group" : "user", group ? environment.group : environment.user);
    if (who.ok()) (rules.*field).push_back(*who);
    return who.status();
  };
  const auto give = [field](const CaptureRules& rules) { return Texts(rules.*field); };
  return {.flag = flag, .help = help, .kind = Kind::kList, .take = take, .give = give};
}

CaptureSetting ProxyUidSetting() {
  const auto take = [](absl::string_view text, const CaptureEnvironment& environment, CaptureRules& rules) {
    const absl::StatusOr<uint32_t> who = ParseWho(text, "user", environment.user);
    if (who.ok()) rules.proxy_uid = *who;
    return who.status();
  };
  const auto give = [](const CaptureRules& rules) { return Texts(std::vector<uid_t>{rules.proxy_uid}); };
  return {.flag = "--proxy-uid",
          .help = "User (name or number) the proxy runs as: its traffic is exempt",
          .required = true,
          .take = take,
          .give = give};
}

CaptureSetting PreserveSourceSetting() {
  const auto take = [](absl::string_view, const CaptureEnvironment&, CaptureRules& rules) {
    rules.preserve_source = true;
    return absl::OkStatus();
  };
  const auto give = [](const CaptureRules& rules) { return std::vector<std::string>(rules.preserve_source ? 1 : 0); };
  return {.flag = "--preserve-source",
          .help = "Lead a server's answers back when the proxy calls it from the caller's address "
                  "(capture.preserve_source in proxy.yaml)",
          .kind = Kind::kSwitch,
          .take = take,
          .give = give};
}

std::vector<CaptureSetting> MadeSettings() {
  using Rules = CaptureRules;
  return {
      ChoiceSetting<CaptureMode>("--mode",
                                 "redirect rewrites destinations; tproxy rewrites nothing; ebpf needs no nftables",
                                 &Rules::mode,
                                 {{"redirect", CaptureMode::kRedirect},
                                  {"tproxy", CaptureMode::kTproxy},
                                  {"ebpf", CaptureMode::kEbpf}}),
      ProxyUidSetting(),
      PortSetting("--outbound-port", "Where the proxy takes outbound connections", &Rules::outbound_port, "15001"),
      PortSetting("--inbound-port", "Where the proxy takes inbound connections", &Rules::inbound_port, "15006"),
      PreserveSourceSetting(),
      ChoiceSetting<UdpPolicy>("--udp", "pass leaves UDP alone; refuse answers \"port unreachable\", but for DNS",
                               &Rules::udp, {{"pass", UdpPolicy::kPass}, {"refuse", UdpPolicy::kRefuse}}),
      ChoiceSetting<DnsPolicy>("--dns", "pass leaves TCP port 53 alone; capture takes it too", &Rules::dns,
                               {{"pass", DnsPolicy::kPass}, {"capture", DnsPolicy::kCapture}}),
      ListSetting<PortRange>("--include-outbound-ports", "Capture connections to these ports only: 80,8000-8100",
                             &Rules::include_outbound_ports),
      ListSetting<PortRange>("--exclude-outbound-ports", "Leave connections to these ports alone",
                             &Rules::exclude_outbound_ports),
      ListSetting<PortRange>("--include-inbound-ports", "Capture callers of these ports only",
                             &Rules::include_inbound_ports),
      ListSetting<PortRange>("--exclude-inbound-ports", "Leave callers of these ports alone",
                             &Rules::exclude_inbound_ports),
      ListSetting<Cidr>("--include-cidrs", "Capture connections to these networks only: 10.0.0.0/8,fd00::/8",
                        &Rules::include_cidrs),
      ListSetting<Cidr>("--exclude-cidrs", "Leave connections to these networks alone", &Rules::exclude_cidrs),
      WhoSetting("--include-uids", "Capture connections of these users only (or of --include-gids, --cgroup)", false,
                 &Rules::include_uids),
      WhoSetting("--exclude-uids", "Leave connections of these users alone, such as the agent's", false,
                 &Rules::exclude_uids),
      WhoSetting("--include-gids", "Capture connections of these groups only", true, &Rules::include_gids),
      WhoSetting("--exclude-gids", "Leave connections of these groups alone", true, &Rules::exclude_gids),
      CgroupSetting("--cgroup", "Capture connections of this cgroup's processes only, and callers of its servers",
                    &Rules::include_cgroups),
      CgroupSetting("--exclude-cgroups", "Leave these cgroups' connections, and their servers' callers, alone",
                    &Rules::exclude_cgroups),
  };
}

// What only packet filters can do.
absl::Status CheckEbpf(const CaptureRules& rules) {
  if (rules.preserve_source) {
    return absl::InvalidArgumentError("--preserve-source needs packet filters: use --mode redirect or tproxy");
  }
  if (rules.udp != UdpPolicy::kPass) {
    return absl::InvalidArgumentError("--udp refuse needs packet filters: use --mode redirect or tproxy");
  }
  if ((!rules.include_cgroups.empty() || !rules.exclude_cgroups.empty()) && rules.include_inbound_ports.empty()) {
    return absl::InvalidArgumentError(
        "--mode ebpf does not know the cgroup of a server: name its ports with --include-inbound-ports");
  }
  return absl::OkStatus();
}

}  // namespace

const std::vector<CaptureSetting>& CaptureSettings() {
  static const auto& settings = *new std::vector<CaptureSetting>(MadeSettings());
  return settings;
}

absl::Status CheckCaptureRules(const CaptureRules& rules) {
  if (rules.outbound_port == rules.inbound_port) {
    return absl::InvalidArgumentError("--outbound-port and --inbound-port are the same; the proxy needs two");
  }
  const auto& uids = rules.include_uids;
  if (std::find(uids.begin(), uids.end(), rules.proxy_uid) != uids.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--include-uids names ", rules.proxy_uid,
                     ", the proxy's own user: its connections would come back to it, and be refused as loops; run the "
                     "proxy as a user of its own"));
  }
  return rules.mode == CaptureMode::kEbpf ? CheckEbpf(rules) : absl::OkStatus();
}

std::vector<std::string> WordsOf(const CaptureRules& rules) {
  std::vector<std::string> words;
  for (const CaptureSetting& setting : CaptureSettings()) {
    for (const std::string& value : setting.give(rules)) {
      words.push_back(setting.kind == Kind::kSwitch ? setting.flag : absl::StrCat(setting.flag, " ", value));
    }
  }
  return words;
}

absl::StatusOr<CaptureRules> RulesFromWords(const std::vector<std::string>& words,
                                            const CaptureEnvironment& environment) {
  CaptureRules rules;
  for (const std::string& word : words) {
    const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(word, absl::MaxSplits(' ', 1));
    const auto& settings = CaptureSettings();
    const auto found = std::find_if(settings.begin(), settings.end(),
                                    [&](const CaptureSetting& setting) { return setting.flag == parts.first; });
    if (found == settings.end()) {
      return absl::InvalidArgumentError(absl::StrCat("'", word, "' is no option of this version's capture"));
    }
    if (const absl::Status taken = found->take(parts.second, environment, rules); !taken.ok()) return taken;
  }
  return rules;
}

}  // namespace lanyard
