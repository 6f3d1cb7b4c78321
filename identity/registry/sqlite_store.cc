#include "identity/registry/sqlite_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "identity/registry/schema.h"
#include "identity/registry/sqlite_mesh.h"
#include "identity/registry/token_rule.h"

namespace lanyard {
namespace {

absl::Status NoNode(const SpiffeId& id) {
  return absl::NotFoundError(absl::StrCat("there is no node ", id.ToString(), " in the registry"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteStore>> SqliteStore::Open(const std::string& path,
                                                               const TrustDomain& trust_domain) {
  absl::StatusOr<std::unique_ptr<Database>> database = Database::Open(path);
  if (!database.ok()) return database.status();
  if (absl::Status migrated = MigrateRegistrySchema(**database); !migrated.ok()) return migrated;
  return std::unique_ptr<SqliteStore>(new SqliteStore(*std::move(database), trust_domain));
}

absl::Status SqliteStore::DamagedRow(absl::string_view table, const absl::Status& why) const {
  return absl::DataLossError(absl::StrCat("the registry database ", database_->path(), " holds a damaged row in ",
                                          table, ": ", why.message(), "; restore it from a backup"));
}

absl::StatusOr<uint64_t> SqliteStore::Revision() {
  std::lock_guard<std::mutex> lock(mutex_);
  Statement read = database_->Prepare("SELECT value FROM revision");
  const absl::StatusOr<bool> row = read.Step();
  if (!row.ok()) return row.status();
  return static_cast<uint64_t>(read.Int(0));
}

absl::Status SqliteStore::BumpRevision() { return database_->Prepare("UPDATE revision SET value = value + 1").Run(); }

absl::Status SqliteStore::CheckNoSuchEntry(const Entry& entry) {
  Statement find = database_->Prepare("SELECT id FROM entries WHERE id = ?1 OR unique_key = ?2");
  const absl::StatusOr<bool> row = find.Bind(entry.id()).Bind(entry.UniqueKey()).Step();
  if (!row.ok()) return row.status();
  if (!*row) return absl::OkStatus();
  return absl::AlreadyExistsError(
      absl::StrCat("entry ", find.Text(0), " has the same parent, SPIFFE ID and selectors"));
}

absl::Status SqliteStore::InsertEntry(const Entry& entry) {
  Statement insert = database_->Prepare(
      "INSERT INTO entries (id, unique_key, spiffe_id, parent_id, x509_svid_ttl_seconds, hint, created_at) "
      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
  insert.Bind(entry.id()).Bind(entry.UniqueKey()).Bind(entry.spiffe_id().ToString());
  insert.Bind(entry.parent() ? absl::string_view(entry.parent()->ToString()) : "");
  insert.Bind(absl::ToInt64Seconds(entry.x509_svid_ttl()))
      .Bind(entry.hint())
      .Bind(absl::ToUnixMicros(entry.created_at()));
  absl::Status status = insert.Run();
  for (const Selector& selector : entry.selectors()) {
    if (!status.ok()) return status;
    Statement add = database_->Prepare("INSERT INTO entry_selectors VALUES (?1, ?2)");
    status = add.Bind(entry.id()).Bind(selector.ToString()).Run();
  }
  for (size_t i = 0; i < entry.dns_names().size() && status.ok(); ++i) {
    Statement add = database_->Prepare("INSERT INTO entry_dns_names VALUES (?1, ?2, ?3)");
    status = add.Bind(entry.id()).Bind(static_cast<int64_t>(i)).Bind(entry.dns_names()[i]).Run();
  }
  return status;
}

absl::Status SqliteStore::CreateEntry(const Entry& entry) {
  std::lock_guard<std::mutex> lock(mutex_);
  return database_->InTransaction([&] {
    absl::Status status = CheckNoSuchEntry(entry);
    if (status.ok()) status = InsertEntry(entry);
    return status.ok() ? BumpRevision() : status;
  });
}

absl::StatusOr<std::vector<std::string>> SqliteStore::Column(absl::string_view sql, const std::string& parameter) {
  Statement read = database_->Prepare(sql);
  read.Bind(parameter);
  std::vector<std::string> values;
  while (true) {
    const absl::StatusOr<bool> row = read.Step();
    if (!row.ok()) return row.status();
    if (!*row) return values;
    values.push_back(read.Text(0));
  }
}

absl::StatusOr<std::vector<Entry>> SqliteStore::ListEntries() {
  std::lock_guard<std::mutex> lock(mutex_);
  Statement read = database_->Prepare(
      "SELECT id, spiffe_id, parent_id, x509_svid_ttl_seconds, hint, created_at FROM entries ORDER BY position");
  std::vector<Entry> entries;
  while (true) {
    const absl::StatusOr<bool> row = read.Step();
    if (!row.ok()) return row.status();
    if (!*row) return entries;
    EntryFields fields;
    fields.id = read.Text(0);
    fields.spiffe_id = read.Text(1);
    fields.parent_id = read.Text(2);
    fields.x509_svid_ttl = absl::Seconds(read.Int(3));
    fields.hint = read.Text(4);
    fields.created_at = absl::FromUnixMicros(read.Int(5));
    auto selectors = Column("SELECT selector FROM entry_selectors WHERE entry_id = ?1 ORDER BY selector", fields.id);
    if (!selectors.ok()) return selectors.status();
    auto dns_names = Column("SELECT name FROM entry_dns_names WHERE entry_id = ?1 ORDER BY position", fields.id);
    if (!dns_names.ok()) return dns_names.status();
    fields.selectors = *std::move(selectors);
    fields.dns_names = *std::move(dns_names);
    absl::StatusOr<Entry> entry = Entry::Parse(fields, trust_domain_);
    if (!entry.ok()) return DamagedRow("entries", entry.status());
    entries.push_back(*std::move(entry));
  }
}

absl::Status SqliteStore::DeleteEntry(const std::string& id) {
  std::lock_guard<std::mutex> lock(mutex_);
  return database_->InTransaction([&]() -> absl::Status {
    Statement remove = database_->Prepare("DELETE FROM entries WHERE id = ?1");
    if (absl::Status status = remove.Bind(id).Run(); !status.ok()) return status;
    if (database_->Changes() == 0)
      return absl::NotFoundError(absl::StrCat("there is no entry ", id, " in the registry"));
    return BumpRevision();
  });
}

absl::Status SqliteStore::CreateJoinToken(const JoinToken& token) {
  std::lock_guard<std::mutex> lock(mutex_);
  return database_->InTransaction([&] {
    Statement forget = database_->Prepare("DELETE FROM join_tokens WHERE expires_at < ?1");
    if (absl::Status status = forget.Bind(absl::ToUnixMicros(token.created_at - kTokenHistory)).Run(); !status.ok()) {
      return status;
    }
    Statement insert = database_->Prepare("INSERT OR REPLACE INTO join_tokens VALUES (?1, ?2, ?3, ?4, NULL)");
    insert.BindBlob(token.hash).Bind(token.agent_id.ToString());
    return insert.Bind(absl::ToUnixMicros(token.created_at)).Bind(absl::ToUnixMicros(token.expires_at)).Run();
  });
}

absl::StatusOr<JoinToken> SqliteStore::ReadJoinToken(const std::string& hash) {
  Statement read =
      database_->Prepare("SELECT agent_id, created_at, expires_at, used_at FROM join_tokens WHERE hash = ?1");
  const absl::StatusOr<bool> row = read.BindBlob(hash).Step();
  if (!row.ok()) return row.status();
  if (!*row) return UnknownJoinToken();
  absl::StatusOr<SpiffeId> agent_id = SpiffeId::Parse(read.Text(0));
  if (!agent_id.ok()) return DamagedRow("join_tokens", agent_id.status());
  JoinToken token{hash, *std::move(agent_id), absl::FromUnixMicros(read.Int(1)), absl::FromUnixMicros(read.Int(2)), {}};
  if (!read.IsNull(3)) token.used_at = absl::FromUnixMicros(read.Int(3));
  return token;
}

absl::StatusOr<JoinToken> SqliteStore::FindJoinToken(const std::string& hash) {
  std::lock_guard<std::mutex> lock(mutex_);
  return ReadJoinToken(hash);
}

absl::Status SqliteStore::AttestNode(const std::string& token_hash, const Node& node) {
  std::lock_guard<std::mutex> lock(mutex_);
  return database_->InTransaction([&]() -> absl::Status {
    absl::StatusOr<JoinToken> token = ReadJoinToken(token_hash);
    if (!token.ok()) return token.status();
    if (absl::Status usable = CheckJoinToken(*token, node); !usable.ok()) return usable;
    Statement use = database_->Prepare("UPDATE join_tokens SET used_at = ?1 WHERE hash = ?2");
    if (absl::Status used = use.Bind(absl::ToUnixMicros(node.attested_at)).BindBlob(token_hash).Run(); !used.ok()) {
      return used;
    }
    Statement insert = database_->Prepare("INSERT OR REPLACE INTO nodes VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    insert.Bind(node.id.ToString()).Bind(node.attestation).Bind(absl::ToUnixMicros(node.attested_at));
    insert.Bind(node.svid_serial).Bind(absl::ToUnixMicros(node.svid_expires_at));
    return insert.Bind(absl::ToUnixMicros(node.min_not_before)).Run();
  });
}

absl::Status SqliteStore::UpdateNodeSvid(const SpiffeId& id, const std::string& serial, absl::Time not_before,
                                         absl::Time expires_at) {
  std::lock_guard<std::mutex> lock(mutex_);
  return database_->InTransaction([&]() -> absl::Status {
    Statement update = database_->Prepare(
        "UPDATE nodes SET svid_serial = ?1, svid_expires_at = ?2, min_not_before = min(min_not_before, ?3) "
        "WHERE id = ?4");
    update.Bind(serial).Bind(absl::ToUnixMicros(expires_at)).Bind(absl::ToUnixMicros(not_before));
    absl::Status status = update.Bind(id.ToString()).Run();
    if (!status.ok()) return status;
    return database_->Changes() == 1 ? absl::OkStatus() : NoNode(id);
  });
}

absl::StatusOr<Node> SqliteStore::ReadNode(const Statement& row) const {
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(row.Text(0));
  if (!id.ok()) return DamagedRow("nodes", id.status());
  return Node{*std::move(id), row.Text(1), absl::FromUnixMicros(row.Int(2)), row.Text(3),
              absl::FromUnixMicros(row.Int(4)), absl::FromUnixMicros(row.Int(5))};
}

absl::StatusOr<Node> SqliteStore::GetNode(const SpiffeId& id) {
  std::lock_guard<std::mutex> lock(mutex_);
  Statement read = database_->Prepare("SELECT * FROM nodes WHERE id = ?1");
  const absl::StatusOr<bool> row = read.Bind(id.ToString()).Step();
  if (!row.ok()) return row.status();
  if (!*row) return NoNode(id);
  return ReadNode(read);
}

absl::Status SqliteStore::DeleteNode(const SpiffeId& id) {
  std::lock_guard<std::mutex> lock(mutex_);
  return database_->InTransaction([&]() -> absl::Status {
    Statement remove = database_->Prepare("DELETE FROM nodes WHERE id = ?1");
    if (absl::Status status = remove.Bind(id.ToString()).Run(); !status.ok()) return status;
    return database_->Changes() == 1 ? absl::OkStatus() : NoNode(id);
  });
}

absl::StatusOr<std::vector<Node>> SqliteStore::ListNodes() {
  std::lock_guard<std::mutex> lock(mutex_);
  Statement read = database_->Prepare("SELECT * FROM nodes ORDER BY id");
  std::vector<Node> nodes;
  while (true) {
    const absl::StatusOr<bool> row = read.Step();
    if (!row.ok()) return row.status();
    if (!*row) return nodes;
    absl::StatusOr<Node> node = ReadNode(read);
    if (!node.ok()) return node.status();
    nodes.push_back(*std::move(node));
  }
}

absl::Status SqliteStore::ReplaceAuthorities(const std::vector<AuthorityRecord>& authorities) {
  std::lock_guard<std::mutex> lock(mutex_);
  return database_->InTransaction([&]() -> absl::Status {
    if (absl::Status status = database_->Execute("DELETE FROM authorities"); !status.ok()) return status;
    for (const AuthorityRecord& authority : authorities) {
      const Certificate& certificate = authority.certificate;
      Statement insert = database_->Prepare(
          "INSERT INTO authorities (serial, kind, state, not_before, not_after, certificate) "
          "VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
      insert.Bind(certificate.serial())
          .Bind(AuthorityKindName(authority.kind))
          .Bind(AuthorityStateName(authority.state));
      insert.Bind(absl::ToUnixMicros(certificate.not_before())).Bind(absl::ToUnixMicros(certificate.not_after()));
      if (absl::Status status = insert.BindBlob(certificate.der()).Run(); !status.ok()) return status;
    }
    return BumpRevision();
  });
}

absl::StatusOr<std::vector<AuthorityRecord>> SqliteStore::ListAuthorities() {
  std::lock_guard<std::mutex> lock(mutex_);
  Statement read = database_->Prepare("SELECT kind, state, certificate FROM authorities ORDER BY position");
  std::vector<AuthorityRecord> authorities;
  while (true) {
    const absl::StatusOr<bool> row = read.Step();
    if (!row.ok()) return row.status();
    if (!*row) return authorities;
    const std::optional<AuthorityKind> kind = AuthorityKindFromName(read.Text(0));
    const std::optional<AuthorityState> state = AuthorityStateFromName(read.Text(1));
    const std::string der = read.Text(2);
    absl::StatusOr<Certificate> certificate =
        Certificate::Parse(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(der.data()), der.size()));
    if (!certificate.ok()) return DamagedRow("authorities", certificate.status());
    if (!kind || !state) return DamagedRow("authorities", absl::InvalidArgumentError("unknown kind or state"));
    authorities.push_back({*kind, *state, *std::move(certificate)});
  }
}

absl::StatusOr<MeshRecords> SqliteStore::ListMeshRecords() {
  std::lock_guard<std::mutex> lock(mutex_);
  return ReadMeshRecords(*database_);
}

absl::Status SqliteStore::ChangeMesh(const MeshChange& change) {
  std::lock_guard<std::mutex> lock(mutex_);
  return WriteMeshChange(*database_, change);
}

absl::Status SqliteStore::RecordIssuances(const std::vector<Issuance>& issuances, absl::Time now) {
  std::lock_guard<std::mutex> lock(mutex_);
  return WriteIssuances(*database_, issuances, now);
}

absl::StatusOr<std::vector<Issuance>> SqliteStore::ListIssuances(const SpiffeId& agent, absl::Time now) {
  std::lock_guard<std::mutex> lock(mutex_);
  return ReadIssuances(*database_, agent, now);
}

}  // namespace lanyard
