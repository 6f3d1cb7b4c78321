#include "identity/base/atomic_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "identity/base/descriptor.h"

namespace lanyard {
namespace {

// Stands between a file's name and the characters that mkostemp chooses: nobody else calls a file so, while a copy may
// well be called "sealing.key.backup".
constexpr absl::string_view kTemporaryMark = ".lanyard-";
constexpr absl::string_view kChosenCharacters = "XXXXXX";
constexpr int kMaxTemporaries = 16;

absl::Status Failure(int error, absl::string_view what, absl::string_view path) {
  return absl::ErrnoToStatus(error, absl::StrCat(what, " ", path));
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

bool IsTemporaryOf(absl::string_view name, absl::string_view path) {
  return absl::ConsumePrefix(&name, path.substr(path.rfind('/') + 1)) && absl::ConsumePrefix(&name, kTemporaryMark) &&
         name.size() == kChosenCharacters.size() && std::all_of(name.begin(), name.end(), absl::ascii_isalnum);
}

// Removes a temporary file, unless somebody writes it (it is locked then), it is another's or no plain file.
void RemoveIfLeft(int folder, const char* name) {
  struct stat named, opened;
  if (fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) != 0) return;
  if (!S_ISREG(named.st_mode) || named.st_uid != geteuid()) return;
  const Descriptor fd(openat(folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd.valid() || flock(fd.get(), LOCK_EX | LOCK_NB) != 0) return;
  // Under the lock the name is the file that was locked, or has become the file that it was written for.
  if (fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) != 0 || fstat(fd.get(), &opened) != 0) return;
  if (named.st_dev == opened.st_dev && named.st_ino == opened.st_ino) unlinkat(folder, name, 0);
}

// What writers of `path` left that were killed: there may be a key in it. What cannot be removed fails no write.
void RemoveLeftovers(const std::string& folder, absl::string_view path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> opened(opendir(folder.c_str()), closedir);
  if (opened == nullptr) return;
  while (const dirent* entry = readdir(opened.get())) {
    if (IsTemporaryOf(entry->d_name, path)) RemoveIfLeft(dirfd(opened.get()), entry->d_name);
  }
}

// An empty file beside `path`, mode 0600, locked, so that another writer does not take it for left over.
absl::StatusOr<Descriptor> CreateTemporary(const std::string& path, std::string& temporary) {
  for (int tried = 0; tried < kMaxTemporaries; ++tried) {
    temporary = absl::StrCat(path, kTemporaryMark, kChosenCharacters);
    Descriptor fd(mkostemp(temporary.data(), O_CLOEXEC));
    if (!fd.valid()) return Failure(errno, "cannot create a file beside", path);
    // A file system that has no locks lets nobody remove anything either.
    const bool taken = flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    struct stat info;
    if (!taken && fstat(fd.get(), &info) == 0 && info.st_nlink > 0) return fd;
    // In the moment before the lock another writer removed it, or is about to.
  }
  return absl::UnavailableError(absl::StrCat("other writers remove each file that is made beside ", path));
}

bool WriteAll(int fd, absl::string_view content) {
  while (!content.empty()) {
    const ssize_t written = write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    content.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

// The temporary file's whole life but its name: content, mode, durability.
absl::Status WriteTemporary(Descriptor fd, const std::string& path, absl::string_view content, mode_t mode) {
  // mkostemp made it 0600: the mode only ever widens, and only before anything is in it.
  if (fchmod(fd.get(), mode) != 0) return Failure(errno, "cannot set the mode of", path);
  if (!WriteAll(fd.get(), content)) return Failure(errno, "cannot write", path);
  if (fsync(fd.get()) != 0) return Failure(errno, "cannot make durable", path);
  // What close(2) reports counts: some file systems say only there that the disk was full.
  if (close(fd.Release()) != 0) return Failure(errno, "cannot write", path);
  return absl::OkStatus();
}

absl::Status SyncFolder(const std::string& folder) {
  Descriptor fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return Failure(errno, "cannot open folder", folder);
  if (fsync(fd.get()) != 0) return Failure(errno, "cannot make durable the folder", folder);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadAll(int fd, const std::string& path, size_t limit_bytes) {
  std::string content;
  char buffer[16 << 10];
  while (true) {
    const ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failure(errno, "cannot read", path);
    if (got == 0) return content;
    if (content.size() + static_cast<size_t>(got) > limit_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat(path, " is larger than ", limit_bytes, " bytes"));
    }
    content.append(buffer, static_cast<size_t>(got));
  }
}

// Of what `fd` is open on, whatever has the name by now.
absl::Status CheckOwnFile(int fd, const std::string& path) {
  struct stat info;
  if (fstat(fd, &info) != 0) return Failure(errno, "cannot look at", path);
  if (!S_ISREG(info.st_mode)) return absl::PermissionDeniedError(absl::StrCat(path, " is no plain file"));
  const bool ours = info.st_uid == geteuid() || info.st_uid == 0;
  if (ours && (info.st_mode & (S_IWGRP | S_IWOTH)) == 0) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(path, " could have been written by other users: chmod go-w it"));
}

absl::Status CheckOwnFolder(int fd, const std::string& folder) {
  struct stat info;
  if (fstat(fd, &info) != 0) return Failure(errno, "cannot look at", folder);
  const bool ours = info.st_uid == geteuid() || info.st_uid == 0;
  // In a folder with the sticky bit others put nothing in the place of a file that is not theirs.
  const bool alone = (info.st_mode & (S_IWGRP | S_IWOTH)) == 0 || (info.st_mode & S_ISVTX) != 0;
  if (ours && alone) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat(
      "other users may put files in the folder ", folder, ": chmod go-w it, or use a folder of this user's own"));
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit_bytes) {
  // O_NONBLOCK: a FIFO put in a file's place must not hang the reader.
  const Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return Failure(errno, "cannot read", path);
  return ReadAll(fd.get(), path, limit_bytes);
}

absl::StatusOr<std::string> ReadOwnFile(const std::string& path, size_t limit_bytes) {
  const std::string folder = FolderOf(path);
  const Descriptor in(open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!in.valid()) return Failure(errno, "cannot read", path);
  const std::string name = path.substr(path.rfind('/') + 1);
  const Descriptor fd(openat(in.get(), name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
  if (!fd.valid() && errno == ELOOP) {
    return absl::PermissionDeniedError(absl::StrCat(path, " is a symbolic link: name the file itself"));
  }
  if (!fd.valid()) return Failure(errno, "cannot read", path);
  if (absl::Status file = CheckOwnFile(fd.get(), path); !file.ok()) return file;
  if (absl::Status folder_status = CheckOwnFolder(in.get(), folder); !folder_status.ok()) return folder_status;
  return ReadAll(fd.get(), path, limit_bytes);
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view content, mode_t mode) {
  const std::string folder = FolderOf(path);
  RemoveLeftovers(folder, path);
  std::string temporary;
  absl::StatusOr<Descriptor> fd = CreateTemporary(path, temporary);
  if (!fd.ok()) return fd.status();
  // Holds the lock until the file has its name: a lock is the open file's, not the descriptor's.
  const Descriptor lock(fcntl(fd->get(), F_DUPFD_CLOEXEC, 0));
  absl::Status written = lock.valid() ? WriteTemporary(*std::move(fd), temporary, content, mode)
                                      : Failure(errno, "cannot lock", temporary);
  if (written.ok() && rename(temporary.c_str(), path.c_str()) != 0) written = Failure(errno, "cannot replace", path);
  if (!written.ok()) {
    unlink(temporary.c_str());
    return written;
  }
  return SyncFolder(folder);
}

}  // namespace lanyard
