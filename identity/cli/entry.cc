// lanyard entry: which workload gets which SPIFFE ID.
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "identity/base/clock.h"
#include "identity/cli/commands.h"
#include "identity/cli/registry_client.h"
#include "identity/cli/warnings.h"
#include "identity/spiffe/spiffe_id.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

nlohmann::ordered_json ToJson(const EntryRecord& entry) {
  return {{"id", entry.id},
          {"spiffe_id", entry.spiffe_id},
          {"parent_id", entry.parent_id},
          {"selectors", entry.selectors},
          {"x509_svid_ttl_seconds", absl::ToInt64Seconds(entry.x509_svid_ttl)},
          {"dns_names", entry.dns_names},
          {"hint", entry.hint},
          {"created_at", TimeText(entry.created_at)}};
}

nlohmann::ordered_json ToJson(const std::vector<EntryRecord>& entries) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const EntryRecord& entry : entries) list.push_back(ToJson(entry));
  return {{"entries", list}};
}

std::string ParentOf(const EntryRecord& entry) { return entry.parent_id.empty() ? "(every agent)" : entry.parent_id; }

std::string TtlOf(const EntryRecord& entry) {
  return entry.x509_svid_ttl == absl::ZeroDuration() ? "(default)" : absl::FormatDuration(entry.x509_svid_ttl);
}

absl::Status Create(const Arguments& arguments, Output& output) {
  EntryRecord entry;
  entry.spiffe_id = arguments.Value("--spiffe-id");
  entry.parent_id = arguments.Value("--parent-id");
  entry.selectors = arguments.List("--selector");
  entry.dns_names = arguments.List("--dns-name");
  entry.hint = arguments.Value("--hint");
  if (arguments.Has("--ttl")) {
    const absl::StatusOr<absl::Duration> ttl = arguments.Duration("--ttl");
    if (!ttl.ok()) return ttl.status();
    if (*ttl < absl::Seconds(1)) return UsageError("--ttl is below one second; an SVID lives whole seconds");
    entry.x509_svid_ttl = *ttl;
  }
  const auto authority = AuthorityOf(arguments);
  if (!authority.ok()) return authority.status();
  const absl::StatusOr<EntryRecord> created = (*authority)->CreateEntry(entry);
  if (!created.ok()) return created.status();
  if (output.json()) {
    output.Json(ToJson(*created));
  } else {
    output.Text(absl::StrCat("created entry ", created->id, ": ", created->spiffe_id, " for ",
                             absl::StrJoin(created->selectors, " and "), "\n"));
  }
  if (created->parent_id.empty()) return absl::OkStatus();
  if (const auto agents = (*authority)->ListAgents(); agents.ok()) {
    if (const std::string odd = WarningOfParent(created->parent_id, *agents); !odd.empty()) output.Warn(odd);
  }
  return absl::OkStatus();
}

absl::Status List(const Arguments& arguments, Output& output) {
  const auto authority = AuthorityOf(arguments);
  if (!authority.ok()) return authority.status();
  const auto entries = (*authority)->ListEntries(arguments.Value("--spiffe-id"), arguments.Value("--parent-id"));
  if (!entries.ok()) return entries.status();
  if (output.json()) {
    output.Json(ToJson(*entries));
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows;
  for (const EntryRecord& entry : *entries) {
    rows.push_back({entry.id, entry.spiffe_id, ParentOf(entry), absl::StrJoin(entry.selectors, " "), TtlOf(entry),
                    RelativeTime(entry.created_at, SystemClock().Now())});
  }
  output.Table({"ID", "SPIFFE ID", "PARENT", "SELECTORS", "TTL", "CREATED"}, rows);
  return absl::OkStatus();
}

// Those of a SPIFFE ID, or the one of an entry's ID; NotFound where there is none.
absl::StatusOr<std::vector<EntryRecord>> Find(const std::string& named, RegistryClient& authority) {
  const bool by_spiffe_id = absl::StrContains(named, ":");
  std::string spiffe_id;
  if (by_spiffe_id) {
    const absl::StatusOr<SpiffeId> id = SpiffeId::Parse(named);
    if (!id.ok()) return UsageError(id.status().message());
    spiffe_id = id->ToString();
  }
  const absl::StatusOr<std::vector<EntryRecord>> entries = authority.ListEntries(spiffe_id, "");
  if (!entries.ok()) return entries.status();
  std::vector<EntryRecord> found;
  for (const EntryRecord& entry : *entries) {
    if (by_spiffe_id || entry.id == named) found.push_back(entry);
  }
  if (!found.empty()) return found;
  return absl::NotFoundError(absl::StrCat(by_spiffe_id ? "no entry gives " : "there is no entry ", named,
                                          "; `lanyard entry list` shows all there are"));
}

absl::Status Show(const Arguments& arguments, Output& output) {
  const auto authority = AuthorityOf(arguments);
  if (!authority.ok()) return authority.status();
  const absl::StatusOr<std::vector<EntryRecord>> found = Find(arguments.Value("id"), **authority);
  if (!found.ok()) return found.status();
  if (output.json()) {
    output.Json(ToJson(*found));
    return absl::OkStatus();
  }
  const auto line = [&output](absl::string_view name, const std::string& value) {
    output.Text(absl::StrFormat("  %-9s  %s\n", name, value.empty() ? "(none)" : value));
  };
  for (const EntryRecord& entry : *found) {
    output.Text(absl::StrCat("entry ", entry.id, "\n"));
    line("SPIFFE ID", entry.spiffe_id);
    line("parent", ParentOf(entry));
    line("selectors", absl::StrJoin(entry.selectors, " and "));
    line("TTL", TtlOf(entry));
    line("DNS names", absl::StrJoin(entry.dns_names, " "));
    line("hint", entry.hint);
    line("created",
         absl::StrCat(TimeText(entry.created_at), " (", RelativeTime(entry.created_at, SystemClock().Now()), ")"));
  }
  return absl::OkStatus();
}

absl::Status Delete(const Arguments& arguments, Output& output) {
  const auto authority = AuthorityOf(arguments);
  if (!authority.ok()) return authority.status();
  const absl::StatusOr<EntryRecord> deleted = (*authority)->DeleteEntry(arguments.Value("id"));
  if (!deleted.ok()) return deleted.status();
  if (output.json()) {
    output.Json(ToJson(*deleted));
  } else {
    output.Text(absl::StrCat("deleted entry ", deleted->id, ": ", deleted->spiffe_id, "\n"));
  }
  return absl::OkStatus();
}

Command CreateCommand() {
  return {.name = "create",
          .summary = "Give workloads that match all selectors a SPIFFE ID",
          .examples =
              "  lanyard entry create --spiffe-id spiffe://example.org/web --selector unix:uid:1000\n"
              "  lanyard entry create --spiffe-id spiffe://example.org/db --ttl 10m \\\n"
              "      --parent-id spiffe://example.org/lanyard/agent/db-1 \\\n"
              "      --selector unix:user:postgres --selector unix:path:/usr/lib/postgresql/15/bin/postgres\n",
          .flags = WithAuthorityFlags(
              {{.name = "--spiffe-id", .help = "The SPIFFE ID to give", .required = true},
               {.name = "--selector",
                .help = "What the workload must be: unix:uid:N, unix:gid:N, unix:supplementary_gid:N, unix:user:NAME, "
                        "unix:group:NAME, unix:path:PATH, unix:sha256:HEX",
                .kind = Flag::Kind::kList,
                .required = true},
               {.name = "--parent-id", .help = "SPIFFE ID of the one agent it applies to; absent: every agent"},
               {.name = "--ttl", .help = "Lifetime of the SVIDs; absent: the authority's default"},
               {.name = "--dns-name", .help = "DNS name to put into the SVIDs", .kind = Flag::Kind::kList},
               {.name = "--hint", .help = "Tells a workload with several SVIDs what this one is for"}}),
          .run = Create};
}

}  // namespace

Command EntryCommand() {
  Command list = {
      .name = "list",
      .summary = "Show entries",
      .examples = "  lanyard entry list\n  lanyard entry list --spiffe-id spiffe://example.org/web -o json\n",
      .flags = WithAuthorityFlags({{.name = "--spiffe-id", .help = "Only entries of this SPIFFE ID"},
                                   {.name = "--parent-id", .help = "Only entries of this agent"}}),
      .run = List};
  Command show = {.name = "show",
                  .summary = "Show all there is to an entry, or to every entry of a SPIFFE ID",
                  .examples =
                      "  lanyard entry show 5f0c0d3a91b2c4d5e6f70819\n"
                      "  lanyard entry show spiffe://example.org/web -o json\n",
                  .flags = WithAuthorityFlags(
                      {{.name = "id", .help = "The entry's ID, or a SPIFFE ID that entries give", .required = true}}),
                  .run = Show};
  Command remove = {.name = "delete",
                    .summary = "Take an entry back; SVIDs out already live until they expire",
                    .examples = "  lanyard entry delete 5f0c0d3a91b2c4d5e6f70819\n",
                    .flags = WithAuthorityFlags({{.name = "id", .help = "The entry's ID", .required = true}}),
                    .run = Delete};
  return {.name = "entry",
          .summary = "Which workload gets which SPIFFE ID",
          .examples =
              "  lanyard entry create --spiffe-id spiffe://example.org/web --selector unix:user:www-data\n"
              "  lanyard entry list -o json\n",
          .children = {CreateCommand(), list, show, remove}};
}

}  // namespace lanyard
