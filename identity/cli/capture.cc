// lanyard capture: which connections of this network namespace go through the proxy.
#include <pwd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "identity/cli/capture_rules.h"
#include "identity/cli/commands.h"
#include "identity/cli/nftables.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

absl::StatusOr<uid_t> ParseUser(absl::string_view flag, const std::string& text) {
  uint32_t uid = 0;
  if (absl::SimpleAtoi(text, &uid)) return uid;
  const passwd* user = getpwnam(text.c_str());
  if (user == nullptr) {
    return UsageError(absl::StrCat(flag, " is '", text, "', and there is no such user; write a user's name or number"));
  }
  return user->pw_uid;
}

absl::StatusOr<uint16_t> ParseProxyPort(const Arguments& arguments, const std::string& flag) {
  uint32_t port = 0;
  if (!absl::SimpleAtoi(arguments.Value(flag), &port) || port < 1 || port > 65535) {
    return UsageError(absl::StrCat(flag, " is '", arguments.Value(flag), "'; write a port from 1 to 65535"));
  }
  return static_cast<uint16_t>(port);
}

// A repeatable option whose values may also be separated by commas.
template <typename Item>
absl::Status ParseList(const Arguments& arguments, const std::string& flag, std::vector<Item>& items) {
  for (const std::string& value : arguments.List(flag)) {
    for (absl::string_view text : absl::StrSplit(value, ',')) {
      const absl::StatusOr<Item> item = Item::Parse(text);
      if (!item.ok()) return UsageError(absl::StrCat(flag, ": ", item.status().message()));
      items.push_back(*item);
    }
  }
  return absl::OkStatus();
}

absl::Status ParseUids(const Arguments& arguments, CaptureRules& rules) {
  const absl::StatusOr<uid_t> proxy_uid = ParseUser("--proxy-uid", arguments.Value("--proxy-uid"));
  if (!proxy_uid.ok()) return proxy_uid.status();
  rules.proxy_uid = *proxy_uid;
  for (const std::string& value : arguments.List("--exclude-uids")) {
    for (absl::string_view text : absl::StrSplit(value, ',')) {
      const absl::StatusOr<uid_t> uid = ParseUser("--exclude-uids", std::string(text));
      if (!uid.ok()) return uid.status();
      rules.excluded_uids.push_back(*uid);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<CaptureRules> ParseRules(const Arguments& arguments) {
  CaptureRules rules;
  absl::Status status = ParseUids(arguments, rules);
  const absl::StatusOr<uint16_t> outbound = ParseProxyPort(arguments, "--outbound-port");
  const absl::StatusOr<uint16_t> inbound = ParseProxyPort(arguments, "--inbound-port");
  status.Update(outbound.status());
  status.Update(inbound.status());
  status.Update(ParseList(arguments, "--include-outbound-ports", rules.include_outbound_ports));
  status.Update(ParseList(arguments, "--exclude-outbound-ports", rules.exclude_outbound_ports));
  status.Update(ParseList(arguments, "--include-inbound-ports", rules.include_inbound_ports));
  status.Update(ParseList(arguments, "--exclude-inbound-ports", rules.exclude_inbound_ports));
  status.Update(ParseList(arguments, "--include-cidrs", rules.include_cidrs));
  status.Update(ParseList(arguments, "--exclude-cidrs", rules.exclude_cidrs));
  if (!status.ok()) return status;
  if (*outbound == *inbound) return UsageError("--outbound-port and --inbound-port are the same; the proxy needs two");
  rules.outbound_port = *outbound;
  rules.inbound_port = *inbound;
  return rules;
}

absl::Status Up(const Arguments& arguments, Output& output) {
  const absl::StatusOr<CaptureRules> rules = ParseRules(arguments);
  if (!rules.ok()) return rules.status();
  if (const absl::Status applied = ApplyNftables(CaptureUpScript(*rules)); !applied.ok()) return applied;
  if (output.json()) {
    output.Json({{"captured", true},
                 {"proxy_uid", rules->proxy_uid},
                 {"outbound_port", rules->outbound_port},
                 {"inbound_port", rules->inbound_port}});
  } else {
    output.Text(absl::StrCat("captured: outbound TCP goes to port ", rules->outbound_port, ", inbound TCP to port ",
                             rules->inbound_port, "; uid ", rules->proxy_uid, " is exempt\n"));
  }
  return absl::OkStatus();
}

absl::Status Down(const Arguments&, Output& output) {
  if (const absl::Status applied = ApplyNftables(CaptureDownScript()); !applied.ok()) return applied;
  if (output.json()) {
    output.Json({{"captured", false}});
  } else {
    output.Text("not captured: the rules are gone\n");
  }
  return absl::OkStatus();
}

absl::Status Show(const Arguments&, Output& output) {
  const absl::StatusOr<std::string> table = ListNftablesTable(kCaptureTable, output.json());
  const bool captured = table.ok();
  if (!captured && !absl::IsNotFound(table.status())) return table.status();
  if (!output.json()) {
    output.Text(captured ? *table : "not captured\n");
    return absl::OkStatus();
  }
  nlohmann::ordered_json rules = nlohmann::ordered_json::array();
  if (captured) {
    const auto parsed = nlohmann::ordered_json::parse(*table, nullptr, /*allow_exceptions=*/false);
    if (!parsed.contains("nftables"))
      return absl::InternalError("nftables listed its rules in JSON that cannot be read");
    rules = parsed["nftables"];
  }
  output.Json({{"captured", captured}, {"nftables", rules}});
  return absl::OkStatus();
}

std::vector<Flag> UpFlags() {
  constexpr auto kList = Flag::Kind::kList;
  return {
      {.name = "--proxy-uid",
       .help = "User (name or number) the proxy runs as: its traffic is exempt",
       .required = true},
      {.name = "--exclude-uids",
       .help = "Other users whose connections are not captured, such as the agent's",
       .kind = kList},
      {.name = "--outbound-port", .help = "Where the proxy takes outbound connections", .fallback = "15001"},
      {.name = "--inbound-port", .help = "Where the proxy takes inbound connections", .fallback = "15006"},
      {.name = "--include-outbound-ports",
       .help = "Capture connections to these ports only: 80,8000-8100",
       .kind = kList},
      {.name = "--exclude-outbound-ports", .help = "Leave connections to these ports alone", .kind = kList},
      {.name = "--include-inbound-ports", .help = "Capture callers of these ports only", .kind = kList},
      {.name = "--exclude-inbound-ports", .help = "Leave callers of these ports alone", .kind = kList},
      {.name = "--include-cidrs",
       .help = "Capture connections to these networks only: 10.0.0.0/8,fd00::/8",
       .kind = kList},
      {.name = "--exclude-cidrs", .help = "Leave connections to these networks alone", .kind = kList},
  };
}

}  // namespace

Command CaptureCommand() {
  Command up = {.name = "up",
                .summary = "Send this network namespace's TCP connections through the proxy",
                .examples =
                    "  lanyard capture up --proxy-uid lanyard-proxy --exclude-uids root\n"
                    "  lanyard capture up --proxy-uid 1337 --include-inbound-ports 80,443 \\\n"
                    "      --exclude-cidrs 169.254.169.254/32\n",
                .flags = UpFlags(),
                .run = Up};
  Command down = {.name = "down",
                  .summary = "Remove the rules; connections that were captured break",
                  .examples = "  lanyard capture down\n",
                  .run = Down};
  Command show = {.name = "show",
                  .summary = "Print the rules in force, with their counters",
                  .examples = "  lanyard capture show\n  lanyard capture show -o json\n",
                  .run = Show};
  return {.name = "capture",
          .summary = "Which connections go through the proxy (nftables, in this network namespace)",
          .examples = "  lanyard capture up --proxy-uid lanyard-proxy\n  lanyard capture show\n",
          .children = {up, down, show}};
}

}  // namespace lanyard
