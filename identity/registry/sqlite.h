// SQLite as this registry uses it: one connection, prepared statements, transactions, errors in one sentence.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct sqlite3;
struct sqlite3_stmt;

namespace lanyard {

class Database;

// One prepared statement. A mistake in binding surfaces in the next Step. Not thread-safe; must not
// outlive its database.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  // Parameters are bound in order: the first call binds ?1.
  Statement& Bind(int64_t value);
  Statement& Bind(absl::string_view text);
  Statement& BindBlob(absl::string_view bytes);
  Statement& BindNull();

  // True: a row is there to read. False: done.
  absl::StatusOr<bool> Step();
  // Runs to the end, for statements that give no rows.
  absl::Status Run();

  int64_t Int(int column) const;
  std::string Text(int column) const;  // of a text or a blob
  bool IsNull(int column) const;

 private:
  friend class Database;
  Statement(Database* database, sqlite3_stmt* statement, int error)
      : database_(database), statement_(statement), error_(error) {}
  void Note(int code);
  Database* database_;
  sqlite3_stmt* statement_;
  int error_;
  int parameter_ = 0;
};

// One open database file. Not thread-safe.
class Database {
 public:
  // Opens or creates `path` (mode 0600) with write-ahead log, full synchronisation, foreign keys. Checks its
  // integrity: DataLoss when the file is corrupted or no database.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path);
  ~Database();
  Database(const Database&) = delete;

  Statement Prepare(absl::string_view sql);
  // One or several statements without parameters and without results.
  absl::Status Execute(const std::string& sql);
  // All of `body` durably, or nothing of it.
  absl::Status InTransaction(const std::function<absl::Status()>& body);
  // Rows changed by the last statement.
  int64_t Changes() const;

  // What the last failed call says, as a status of the fitting kind that names the file and a remedy.
  absl::Status Failure(int code) const;
  const std::string& path() const { return path_; }

 private:
  Database(std::string path, sqlite3* handle) : path_(std::move(path)), handle_(handle) {}
  absl::Status Configure();
  absl::Status CheckIntegrity();
  std::string path_;
  sqlite3* handle_;
};

}  // namespace lanyard
