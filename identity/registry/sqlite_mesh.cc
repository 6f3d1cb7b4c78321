#include "identity/registry/sqlite_mesh.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/registry/mesh_rules_proto.h"

namespace lanyard {
namespace {

constexpr char kPolicy[] = "policy";
constexpr char kRoute[] = "route";

absl::Status DamagedRow(const Database& database, absl::string_view table, const absl::Status& why) {
  return absl::DataLossError(absl::StrCat("the registry database ", database.path(), " holds a damaged row in ", table,
                                          ": ", why.message(), "; restore it from a backup"));
}

absl::Status ReadRules(Database& database, RuleRecords& rules) {
  Statement read = database.Prepare("SELECT kind, content FROM mesh_rules");
  while (true) {
    const absl::StatusOr<bool> row = read.Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
    if (read.Text(0) == kPolicy) {
      absl::StatusOr<PolicyRecord> record = PolicyFromText(read.Text(1));
      if (!record.ok()) return DamagedRow(database, "mesh_rules", record.status());
      const std::string name = record->policy.name;
      rules.policies.insert_or_assign(name, *std::move(record));
    } else {
      absl::StatusOr<RoutesRecord> record = RoutesFromText(read.Text(1));
      if (!record.ok()) return DamagedRow(database, "mesh_rules", record.status());
      const std::string name = record->routes.name;
      rules.routes.insert_or_assign(name, *std::move(record));
    }
  }
}

absl::Status ReadBans(Database& database, std::vector<Ban>& bans) {
  Statement read = database.Prepare("SELECT subject, reason, created_at, expires_at FROM bans ORDER BY subject");
  while (true) {
    const absl::StatusOr<bool> row = read.Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
    absl::StatusOr<BanSubject> subject = BanSubject::Parse(read.Text(0));
    if (!subject.ok()) return DamagedRow(database, "bans", subject.status());
    bans.push_back({*std::move(subject), read.Text(1), absl::FromUnixMicros(read.Int(2)),
                    read.IsNull(3) ? absl::InfiniteFuture() : absl::FromUnixMicros(read.Int(3))});
  }
}

absl::Status PutRule(Database& database, const char* kind, const std::string& name, const std::string& content) {
  Statement put = database.Prepare("INSERT OR REPLACE INTO mesh_rules VALUES (?1, ?2, ?3)");
  return put.Bind(kind).Bind(name).Bind(content).Run();
}

absl::Status DeleteRule(Database& database, const char* kind, const std::string& name) {
  Statement remove = database.Prepare("DELETE FROM mesh_rules WHERE kind = ?1 AND name = ?2");
  return remove.Bind(kind).Bind(name).Run();
}

absl::Status PutBan(Database& database, const Ban& ban) {
  Statement put = database.Prepare("INSERT OR REPLACE INTO bans VALUES (?1, ?2, ?3, ?4)");
  put.Bind(ban.subject.ToString()).Bind(ban.reason).Bind(absl::ToUnixMicros(ban.created_at));
  if (ban.expires_at == absl::InfiniteFuture()) return put.BindNull().Run();
  return put.Bind(absl::ToUnixMicros(ban.expires_at)).Run();
}

absl::Status DeleteBan(Database& database, const BanSubject& subject) {
  Statement remove = database.Prepare("DELETE FROM bans WHERE subject = ?1");
  return remove.Bind(subject.ToString()).Run();
}

absl::Status WriteAll(Database& database, const MeshChange& change) {
  absl::Status status =
      database.Prepare("UPDATE mesh SET version = ?1").Bind(static_cast<int64_t>(change.version)).Run();
  for (const std::string& name : change.delete_policies) status.Update(DeleteRule(database, kPolicy, name));
  for (const std::string& name : change.delete_routes) status.Update(DeleteRule(database, kRoute, name));
  for (const PolicyRecord& record : change.put_policies) {
    status.Update(PutRule(database, kPolicy, record.policy.name, ToText(record)));
  }
  for (const RoutesRecord& record : change.put_routes) {
    status.Update(PutRule(database, kRoute, record.routes.name, ToText(record)));
  }
  for (const BanSubject& subject : change.delete_bans) status.Update(DeleteBan(database, subject));
  for (const Ban& ban : change.put_bans) status.Update(PutBan(database, ban));
  return status;
}

}  // namespace

absl::StatusOr<MeshRecords> ReadMeshRecords(Database& database) {
  MeshRecords records;
  {
    Statement read = database.Prepare("SELECT version FROM mesh");
    const absl::StatusOr<bool> row = read.Step();
    if (!row.ok()) return row.status();
    records.version = *row ? static_cast<uint64_t>(read.Int(0)) : 0;
  }
  if (absl::Status read = ReadRules(database, records.rules); !read.ok()) return read;
  if (absl::Status read = ReadBans(database, records.bans); !read.ok()) return read;
  return records;
}

absl::Status WriteMeshChange(Database& database, const MeshChange& change) {
  return database.InTransaction([&] { return WriteAll(database, change); });
}

absl::Status WriteIssuances(Database& database, const std::vector<Issuance>& issuances, absl::Time now) {
  return database.InTransaction([&] {
    absl::Status status =
        database.Prepare("DELETE FROM issuances WHERE not_after < ?1").Bind(absl::ToUnixMicros(now)).Run();
    for (const Issuance& issuance : issuances) {
      if (!status.ok()) return status;
      Statement add = database.Prepare("INSERT OR REPLACE INTO issuances VALUES (?1, ?2, ?3, ?4)");
      add.Bind(issuance.serial).Bind(issuance.spiffe_id.ToString()).Bind(issuance.agent.ToString());
      status = add.Bind(absl::ToUnixMicros(issuance.not_after)).Run();
    }
    return status;
  });
}

absl::StatusOr<std::vector<Issuance>> ReadIssuances(Database& database, const SpiffeId& agent, absl::Time now) {
  Statement read = database.Prepare(
      "SELECT serial, spiffe_id, not_after FROM issuances WHERE agent_id = ?1 AND not_after > ?2 ORDER BY serial");
  read.Bind(agent.ToString()).Bind(absl::ToUnixMicros(now));
  std::vector<Issuance> issuances;
  while (true) {
    const absl::StatusOr<bool> row = read.Step();
    if (!row.ok()) return row.status();
    if (!*row) return issuances;
    absl::StatusOr<SpiffeId> id = SpiffeId::Parse(read.Text(1));
    if (!id.ok()) return DamagedRow(database, "issuances", id.status());
    issuances.push_back({read.Text(0), *std::move(id), agent, absl::FromUnixMicros(read.Int(2))});
  }
}

}  // namespace lanyard
