#include "identity/base/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "identity/base/descriptor.h"

namespace lanyard {
namespace {

absl::Status Failure(int error, absl::string_view what, absl::string_view path) {
  return absl::ErrnoToStatus(error, absl::StrCat(what, " ", path));
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
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
absl::Status WriteTemporary(int raw_fd, const std::string& path, absl::string_view content, mode_t mode) {
  Descriptor fd(raw_fd);
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

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t limit_bytes) {
  // O_NONBLOCK: a FIFO put in a file's place must not hang the reader.
  Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.get() < 0) return Failure(errno, "cannot read", path);
  std::string content;
  char buffer[16 << 10];
  while (true) {
    const ssize_t got = read(fd.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Failure(errno, "cannot read", path);
    if (got == 0) return content;
    if (content.size() + static_cast<size_t>(got) > limit_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat(path, " is larger than ", limit_bytes, " bytes"));
    }
    content.append(buffer, static_cast<size_t>(got));
  }
}

absl::Status WriteFileAtomically(const std::string& path, absl::string_view content, mode_t mode) {
  std::string temporary = path + ".XXXXXX";
  const int fd = mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return Failure(errno, "cannot create a file beside", path);
  absl::Status written = WriteTemporary(fd, temporary, content, mode);
  if (written.ok() && rename(temporary.c_str(), path.c_str()) != 0) written = Failure(errno, "cannot replace", path);
  if (!written.ok()) {
    unlink(temporary.c_str());
    return written;
  }
  return SyncFolder(FolderOf(path));
}

}  // namespace lanyard
