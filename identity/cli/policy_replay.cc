// lanyard policy replay: what candidate rules would change, on what proxies observed lately.
#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "identity/base/clock.h"
#include "identity/cli/admin_client.h"
#include "identity/cli/commands.h"
#include "identity/cli/input.h"
#include "identity/cli/replay.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

using Outcome = ReplayedTuple::Outcome;

constexpr size_t kMaxObservedFileBytes = 64 << 20;

// What there is to replay, and how far it can be relied on.
struct Observations {
  std::vector<ObservedTuple> tuples;
  size_t proxies = 0;  // heard
  uint64_t left_out = 0;
  std::vector<SilentProxy> silent;
};

absl::Status Append(const std::string& from, absl::string_view json, Observations& observed) {
  absl::StatusOr<std::vector<ObservedTuple>> more = ParseObserved(json);
  if (!more.ok()) return absl::InvalidArgumentError(absl::StrCat(from, ": ", more.status().message()));
  for (ObservedTuple& tuple : *more) {
    tuple.seen_by = from;
    observed.tuples.push_back(std::move(tuple));
  }
  ++observed.proxies;
  return absl::OkStatus();
}

absl::StatusOr<Observations> ObservedByMesh(const Arguments& arguments) {
  const auto rules = MeshRulesOf(arguments);
  if (!rules.ok()) return rules.status();
  absl::StatusOr<std::vector<ObservedProxy>> proxies = (*rules)->ListObserved();
  if (absl::IsUnimplemented(proxies.status())) {
    return absl::FailedPreconditionError(
        "the authority is of a version that gathers nothing: upgrade it, or name proxies with --admin");
  }
  if (!proxies.ok()) return proxies.status();
  Observations observed;
  observed.silent = SilentOf(*proxies, SystemClock().Now());
  for (ObservedProxy& proxy : *proxies) {
    if (proxy.reported_at.has_value()) ++observed.proxies;
    observed.left_out += proxy.left_out;
    observed.tuples.insert(observed.tuples.end(), std::make_move_iterator(proxy.tuples.begin()),
                           std::make_move_iterator(proxy.tuples.end()));
  }
  return observed;
}

absl::StatusOr<Observations> ObservedOf(const Arguments& arguments, absl::Duration timeout) {
  const std::vector<std::string> paths = arguments.List("--observed"), addresses = arguments.List("--admin");
  if (paths.empty() && addresses.empty()) return ObservedByMesh(arguments);
  Observations observed;
  for (const std::string& path : paths) {
    const absl::StatusOr<std::string> text = ReadInput(path, kMaxObservedFileBytes);
    if (!text.ok()) return text.status();
    if (const absl::Status read = Append(InputName(path), *text, observed); !read.ok()) return read;
  }
  for (const std::string& address : addresses) {
    const absl::StatusOr<AdminAnswer> answer = GetAdminPage(address, "/observed", timeout);
    if (!answer.ok() || answer->code != 200) {
      const std::string why = answer.ok() ? absl::StrCat(answer->code, " ", absl::StripAsciiWhitespace(answer->body))
                                          : std::string(answer.status().message());
      return absl::UnavailableError(absl::StrCat("the proxy at ", address, ": ", why));
    }
    if (const absl::Status read = Append(address, answer->body, observed); !read.ok()) return read;
  }
  return observed;
}

struct Basis {
  RulesFile rules;
  BanSet bans;
};

// With --alone the candidate is all there is; else it is laid over the registry, as `apply` would.
absl::StatusOr<Basis> BasisOf(const Arguments& arguments) {
  absl::StatusOr<RulesFile> candidate = LoadRulesFile(arguments.Value("--file"));
  if (!candidate.ok()) return candidate.status();
  if (arguments.Has("--alone")) return Basis{*std::move(candidate), BanSet()};
  const auto rules = MeshRulesOf(arguments);
  if (!rules.ok()) return rules.status();
  const absl::StatusOr<MeshListing> listing = (*rules)->List("");
  if (!listing.ok()) return listing.status();
  absl::StatusOr<std::vector<Ban>> bans = (*rules)->ListBans();
  if (!bans.ok()) return bans.status();
  RulesFile registry;
  for (const ListedPolicy& listed : listing->policies) registry.policies.push_back(listed.policy);
  for (const ListedRoutes& listed : listing->routes) registry.routes.push_back(listed.routes);
  return Basis{AppliedOver(std::move(registry), *candidate), BanSet(*std::move(bans))};
}

struct Tally {
  uint64_t tuples = 0;
  uint64_t calls = 0;
};

std::map<Outcome, Tally> TalliesOf(const std::vector<ReplayedTuple>& replayed) {
  std::map<Outcome, Tally> tallies;
  for (const Outcome outcome : {Outcome::kNewlyDenied, Outcome::kNewlyAllowed, Outcome::kUnchanged, Outcome::kUnknown,
                                Outcome::kNotConcerned}) {
    tallies[outcome] = {};
  }
  for (const ReplayedTuple& one : replayed) {
    ++tallies[one.outcome].tuples;
    tallies[one.outcome].calls += one.tuple.count;
  }
  return tallies;
}

bool IsShown(const ReplayedTuple& one) {
  return one.outcome == Outcome::kNewlyDenied || one.outcome == Outcome::kNewlyAllowed ||
         one.outcome == Outcome::kUnknown;
}

std::string LastSeen(const ObservedTuple& tuple) {
  return tuple.last_seen == absl::InfinitePast() ? "" : TimeText(tuple.last_seen);
}

nlohmann::ordered_json HeardJson(const Observations& observed) {
  nlohmann::ordered_json silent = nlohmann::ordered_json::array();
  for (const SilentProxy& one : observed.silent) {
    silent.push_back({{"agent", one.agent}, {"spiffe_id", one.spiffe_id}, {"reason", one.reason}});
  }
  return {{"proxies", observed.proxies}, {"left_out", observed.left_out}, {"silent", std::move(silent)}};
}

void ShowJson(const std::vector<ReplayedTuple>& replayed, const Observations& observed, Output& output) {
  nlohmann::ordered_json counts = nlohmann::ordered_json::object(), changes = nlohmann::ordered_json::array();
  for (const auto& [outcome, tally] : TalliesOf(replayed)) {
    counts[std::string(OutcomeName(outcome))] = {{"tuples", tally.tuples}, {"calls", tally.calls}};
  }
  for (const ReplayedTuple& one : replayed) {
    if (!IsShown(one)) continue;
    changes.push_back({{"outcome", std::string(OutcomeName(one.outcome))},
                       {"direction", one.tuple.inbound ? "inbound" : "outbound"},
                       {"local_id", one.tuple.local_id},
                       {"peer_id", one.tuple.peer_id},
                       {"destination", one.tuple.destination},
                       {"port", one.tuple.port},
                       {"count", one.tuple.count},
                       {"seen_by", one.tuple.seen_by},
                       {"last_seen", LastSeen(one.tuple)},
                       {"rule_before", one.tuple.rule},
                       {"rule", one.rule},
                       {"reason", one.reason}});
  }
  output.Json({{"counts", std::move(counts)}, {"changes", std::move(changes)}, {"heard", HeardJson(observed)}});
}

void ShowHeard(const Observations& observed, Output& output) {
  output.Text(absl::StrCat("heard from ", observed.proxies, observed.proxies == 1 ? " proxy" : " proxies",
                           observed.left_out == 0 ? ""
                                                  : absl::StrCat("; they forgot or left out ", observed.left_out,
                                                                 " kinds of call: the answer may be too good"),
                           "\n"));
  for (const SilentProxy& one : observed.silent) {
    output.Text(absl::StrCat(output.Coloured(Colour::kYellow, "not heard"), "  ", one.agent,
                             one.spiffe_id.empty() ? "" : absl::StrCat(", the proxy of ", one.spiffe_id), ": ",
                             one.reason, "\n"));
  }
}

void ShowText(const std::vector<ReplayedTuple>& replayed, const Observations& observed, Output& output) {
  const absl::Time now = SystemClock().Now();
  for (const ReplayedTuple& one : replayed) {
    if (!IsShown(one)) continue;
    const std::string peer = one.tuple.peer_id.empty() ? "(nobody known)" : one.tuple.peer_id;
    const std::string to = one.tuple.inbound ? absl::StrCat(one.tuple.local_id, " port ", one.tuple.port)
                                             : absl::StrCat(one.tuple.destination, " as ", peer);
    const Colour colour = one.outcome == Outcome::kNewlyDenied ? Colour::kRed : Colour::kYellow;
    output.Text(absl::StrCat(output.Coloured(colour, OutcomeName(one.outcome)), "  ",
                             one.tuple.inbound ? peer : one.tuple.local_id, " -> ", to, "  (", one.tuple.count,
                             " calls, until now by ", one.tuple.rule.empty() ? "no rule" : one.tuple.rule, ")\n    ",
                             one.reason, "\n    seen by ", one.tuple.seen_by,
                             LastSeen(one.tuple).empty() ? "" : absl::StrCat(", last ",
                                                                             RelativeTime(one.tuple.last_seen, now)),
                             "\n"));
  }
  for (const auto& [outcome, tally] : TalliesOf(replayed)) {
    output.Text(absl::StrCat(OutcomeName(outcome), ": ", tally.tuples, " kinds of call, ", tally.calls, " calls\n"));
  }
  ShowHeard(observed, output);
}

// What was read once is not there a second time.
absl::Status CheckStandardInput(const Arguments& arguments) {
  const std::vector<std::string> observed = arguments.List("--observed");
  const auto uses = std::count(observed.begin(), observed.end(), kStandardInput) +
                    (arguments.Value("--file") == kStandardInput ? 1 : 0);
  return uses <= 1 ? absl::OkStatus() : UsageError("standard input can be one of the files only; name the others");
}

absl::Status RunReplay(const Arguments& arguments, Output& output) {
  const absl::StatusOr<absl::Duration> timeout = arguments.Duration(kTimeoutFlag);
  if (!timeout.ok()) return timeout.status();
  if (const absl::Status once = CheckStandardInput(arguments); !once.ok()) return once;
  const absl::StatusOr<Basis> basis = BasisOf(arguments);
  if (!basis.ok()) return basis.status();
  const absl::StatusOr<Observations> observed = ObservedOf(arguments, *timeout);
  if (!observed.ok()) return observed.status();
  const std::vector<ReplayedTuple> replayed = Replay(basis->rules, basis->bans, observed->tuples, SystemClock().Now());
  output.json() ? ShowJson(replayed, *observed, output) : ShowText(replayed, *observed, output);
  const uint64_t denied = TalliesOf(replayed)[Outcome::kNewlyDenied].tuples;
  if (!arguments.Has("--fail-on-denied") || denied == 0) return absl::OkStatus();
  return DeniedError(absl::StrCat(denied, " kinds of call that were allowed would be denied"));
}

}  // namespace

Command PolicyReplayCommand() {
  return {.name = "replay",
          .summary = "What a file of rules would change, on the calls that proxies observed lately",
          .examples =
              "  lanyard policy replay -f candidate.yaml --fail-on-denied\n"
              "  lanyard policy replay -f candidate.yaml --admin 127.0.0.1:15000 --admin 127.0.0.1:15001\n"
              "  curl -s http://127.0.0.1:15000/observed > observed.json\n"
              "  lanyard policy replay -f candidate.yaml --observed observed.json --alone -o json\n"
              "  curl -s http://127.0.0.1:15000/observed | lanyard policy replay -f candidate.yaml --observed -\n",
          .flags = WithAuthorityFlags(
              {{.name = "--file",
                .help = "The candidate, as `apply` takes it; - is standard input",
                .required = true,
                .short_name = "-f"},
               {.name = "--admin",
                .help = "A proxy's admin address, instead of all proxies that told the authority; may be repeated",
                .kind = Flag::Kind::kList},
               {.name = "--observed",
                .help = "A file with the JSON of /observed, likewise, or - for standard input; may be repeated",
                .kind = Flag::Kind::kList},
               {.name = "--alone",
                .help = "The candidate is all there is; otherwise it is laid over the authority's registry",
                .kind = Flag::Kind::kSwitch},
               {.name = "--fail-on-denied",
                .help = "Exit code 3 if a call that was allowed would be denied (1: it could not be asked); otherwise "
                        "it is 0 whatever would change",
                .kind = Flag::Kind::kSwitch}}),
          .run = RunReplay};
}

}  // namespace lanyard
