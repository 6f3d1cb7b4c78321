// lanyard tap: a proxy's connections, live.
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "identity/cli/admin_client.h"
#include "identity/cli/commands.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

using Json = nlohmann::ordered_json;

std::string TargetOf(const Arguments& arguments) {
  std::vector<std::string> parts;
  for (const char* name : {"peer", "port", "direction", "reason"}) {
    for (const std::string& value : arguments.List(absl::StrCat("--", name))) {
      parts.push_back(absl::StrCat(name, "=", QueryEscaped(value)));
    }
  }
  if (arguments.Has("--existing")) parts.push_back("existing=1");
  return absl::StrCat("/tap?", absl::StrJoin(parts, "&"));
}

std::string Text(const Json& event, const char* name) {
  return event.contains(name) && event[name].is_string() ? event[name].get<std::string>() : "";
}

uint64_t Number(const Json& event, const char* name) {
  return event.contains(name) && event[name].is_number_unsigned() ? event[name].get<uint64_t>() : 0;
}

void ShowText(const Json& event, Output& output) {
  const std::string what = Text(event, "event");
  if (what == "lost") {
    output.Text(output.Coloured(Colour::kYellow, absl::StrCat("(", Number(event, "count"),
                                                              " events lost: this was read too slowly)\n")));
    return;
  }
  const std::string peer = Text(event, "peer_id"), reason = Text(event, "close_reason"), rule = Text(event, "rule");
  std::string line = absl::StrCat(Text(event, "time"), " ", what, " ", Text(event, "direction"), " ",
                                  Text(event, "source"), " -> ", Text(event, "destination"), "  ",
                                  peer.empty() ? "(nobody known)" : peer);
  if (!rule.empty()) absl::StrAppend(&line, "  rule ", rule);
  if (what == "closed") {
    absl::StrAppend(&line, "  ", output.Coloured(reason == "normal" ? Colour::kGreen : Colour::kRed, reason), "  ",
                    Number(event, "bytes_sent"), " B out, ", Number(event, "bytes_received"), " B back, ",
                    Number(event, "age_ms"), " ms");
    if (const std::string detail = Text(event, "detail"); !detail.empty()) absl::StrAppend(&line, "  ", detail);
  }
  output.Text(absl::StrCat(line, "\n"));
}

absl::Status Tap(const Arguments& arguments, Output& output) {
  const absl::StatusOr<absl::Duration> timeout = arguments.Duration(kTimeoutFlag);
  if (!timeout.ok()) return timeout.status();
  uint64_t left = 0;  // 0: without end
  if (arguments.Has("--count") && (!absl::SimpleAtoi(arguments.Value("--count"), &left) || left == 0)) {
    return UsageError(absl::StrCat("--count is '", arguments.Value("--count"), "'; it must be a number above zero"));
  }
  const std::string& address = arguments.Value("--admin");
  const absl::Status ended = StreamAdminPage(address, TargetOf(arguments), *timeout, [&](absl::string_view line) {
    const Json event = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!event.is_object()) return true;
    if (output.json()) {
      output.JsonLine(event);
    } else {
      ShowText(event, output);
    }
    if (!output.Flush()) return false;
    return left == 0 || --left > 0;
  });
  if (ended.ok()) return ended;
  if (absl::IsInvalidArgument(ended)) return UsageError(absl::StrCat("the proxy refuses this: ", ended.message()));
  return absl::Status(ended.code(), absl::StrCat("the proxy at ", address, ": ", ended.message()));
}

}  // namespace

Command TapCommand() {
  return {.name = "tap",
          .summary = "A proxy's connections as they open and close, live",
          .examples =
              "  lanyard tap\n"
              "  lanyard tap --peer 'spiffe://example.org/shop/*' --port 80 --existing\n"
              "  lanyard tap --reason denied_by_policy --reason banned -o json\n"
              "What is refused only closes, with the reason. Events that are read too slowly are lost, and counted.\n",
          .flags = {{.name = "--admin", .help = "The proxy's admin address", .fallback = "127.0.0.1:15000"},
                    {.name = "--peer",
                     .help = "Only of these peers: a SPIFFE ID, or spiffe://td/* or spiffe://td/path/*",
                     .kind = Flag::Kind::kList},
                    {.name = "--port", .help = "Only to this port of the destination", .kind = Flag::Kind::kList},
                    {.name = "--direction", .help = "inbound or outbound", .kind = Flag::Kind::kList},
                    {.name = "--reason", .help = "Only what closes for this reason", .kind = Flag::Kind::kList},
                    {.name = "--existing", .help = "First what is open already", .kind = Flag::Kind::kSwitch},
                    {.name = "--count", .help = "End after so many events"},
                    {.name = kTimeoutFlag, .help = "How long to wait for the proxy's answer", .fallback = "10s"}},
          .run = Tap};
}

}  // namespace lanyard
