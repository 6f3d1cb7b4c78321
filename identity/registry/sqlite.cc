#include "identity/registry/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

// SQLite would make the file with the umask's mode; its write-ahead log inherits the file's.
absl::Status MakePrivateFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot open the registry database ", path));
  }
  close(fd);
  return absl::OkStatus();
}

struct Diagnosis {
  absl::StatusCode code;
  absl::string_view remedy;
};

Diagnosis Diagnose(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return {absl::StatusCode::kResourceExhausted, "free space on the disk that holds it"};
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
    case SQLITE_AUTH:
      return {absl::StatusCode::kPermissionDenied, "make the file and its folder writable for this user"};
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {absl::StatusCode::kDataLoss, "restore it from a backup"};
    case SQLITE_CONSTRAINT:
      return {absl::StatusCode::kAlreadyExists, "the record exists"};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {absl::StatusCode::kUnavailable, "end the other process that holds it locked"};
    case SQLITE_IOERR:
      return {absl::StatusCode::kUnavailable, "check the disk that holds it, and its free space"};
    default:
      return {absl::StatusCode::kInternal, "report this"};
  }
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      error_(other.error_),
      parameter_(other.parameter_) {}

Statement::~Statement() { sqlite3_finalize(statement_); }

void Statement::Note(int code) {
  if (error_ == SQLITE_OK) error_ = code;
}

Statement& Statement::Bind(int64_t value) {
  Note(sqlite3_bind_int64(statement_, ++parameter_, value));
  return *this;
}

Statement& Statement::Bind(absl::string_view text) {
  Note(sqlite3_bind_text(statement_, ++parameter_, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT));
  return *this;
}

Statement& Statement::BindBlob(absl::string_view bytes) {
  Note(sqlite3_bind_blob(statement_, ++parameter_, bytes.data(), static_cast<int>(bytes.size()), SQLITE_TRANSIENT));
  return *this;
}

Statement& Statement::BindNull() {
  Note(sqlite3_bind_null(statement_, ++parameter_));
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  if (error_ != SQLITE_OK) return database_->Failure(error_);
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return database_->Failure(code);
}

absl::Status Statement::Run() {
  while (true) {
    const absl::StatusOr<bool> row = Step();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
  }
}

int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Statement::Text(int column) const {
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return bytes == nullptr ? "" : std::string(static_cast<const char*>(bytes), static_cast<size_t>(size));
}

bool Statement::IsNull(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path) {
  if (absl::Status made = MakePrivateFile(path); !made.ok()) return made;
  sqlite3* handle = nullptr;
  // NOMUTEX: the store's own mutex is the only one needed.
  const int code = sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<Database> database(new Database(path, handle));
  if (code != SQLITE_OK) return database->Failure(code);
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, 5000);
  if (absl::Status ready = database->Configure(); !ready.ok()) return ready;
  if (absl::Status sound = database->CheckIntegrity(); !sound.ok()) return sound;
  return database;
}

Database::~Database() { sqlite3_close(handle_); }

absl::Status Database::Configure() {
  return Execute(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
      "PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA secure_delete=ON;");
}

absl::Status Database::CheckIntegrity() {
  Statement check = Prepare("PRAGMA integrity_check(1)");
  const absl::StatusOr<bool> row = check.Step();
  if (!row.ok()) return row.status();
  const std::string verdict = *row ? check.Text(0) : "no answer";
  if (verdict != "ok") {
    return absl::DataLossError(
        absl::StrCat("the registry database ", path_, " is corrupted (", verdict, "); restore it from a backup"));
  }
  Statement keys = Prepare("PRAGMA foreign_key_check");
  const absl::StatusOr<bool> orphan = keys.Step();
  if (!orphan.ok()) return orphan.status();
  if (*orphan) {
    return absl::DataLossError(absl::StrCat("the registry database ", path_, " is corrupted (a row of ", keys.Text(0),
                                            " belongs to nothing); restore it from a backup"));
  }
  return absl::OkStatus();
}

Statement Database::Prepare(absl::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(handle_, sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  return Statement(this, statement, code);
}

absl::Status Database::Execute(const std::string& sql) {
  const int code = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Failure(code);
}

absl::Status Database::InTransaction(const std::function<absl::Status()>& body) {
  // IMMEDIATE: the write lock now, so that nothing read inside can be stale at the commit.
  absl::Status status = Execute("BEGIN IMMEDIATE");
  if (!status.ok()) return status;
  status = body();
  if (status.ok()) status = Execute("COMMIT");
  // A failed COMMIT, or an error that SQLite answered by rolling back, may have ended it already.
  if (!status.ok() && sqlite3_get_autocommit(handle_) == 0) Execute("ROLLBACK").IgnoreError();
  return status;
}

int64_t Database::Changes() const { return sqlite3_changes(handle_); }

absl::Status Database::Failure(int code) const {
  const Diagnosis diagnosis = Diagnose(code);
  const char* reason = handle_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(handle_);
  return absl::Status(diagnosis.code,
                      absl::StrCat("the registry database ", path_, " failed: ", reason, "; ", diagnosis.remedy));
}

}  // namespace lanyard
