#include "identity/authority/sealing_key.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "identity/authority/sealed_file.h"
#include "identity/base/atomic_file.h"

namespace lanyard {
namespace {

absl::Status Refuse(const std::string& path, absl::string_view why) {
  return absl::FailedPreconditionError(absl::StrCat("the sealing key ", path, " ", why));
}

absl::Status CheckFile(int fd, const std::string& path) {
  struct stat facts;
  if (fstat(fd, &facts) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot look at the sealing key ", path));
  if (!S_ISREG(facts.st_mode)) return Refuse(path, "is not a regular file; name a file of 32 bytes");
  if ((facts.st_mode & 077) != 0) {
    return Refuse(path, absl::StrCat("may be used by its group or others (mode ", absl::Hex(facts.st_mode >> 6 & 7),
                                     absl::Hex(facts.st_mode >> 3 & 7), absl::Hex(facts.st_mode & 7),
                                     "); set it to 600, and replace the key if someone could have read it"));
  }
  if (facts.st_uid != geteuid() && facts.st_uid != 0) {
    return Refuse(path,
                  absl::StrCat("belongs to uid ", facts.st_uid, "; it must belong to uid ", geteuid(), " or root"));
  }
  if (facts.st_size != static_cast<off_t>(kSealingKeySizeBytes)) {
    return Refuse(path, absl::StrCat("has ", facts.st_size, " bytes instead of ", kSealingKeySizeBytes,
                                     "; restore it from a backup"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Secret> ReadKey(int fd, const std::string& path) {
  if (absl::Status status = CheckFile(fd, path); !status.ok()) return status;
  Secret key(kSealingKeySizeBytes);
  const ssize_t size = read(fd, key.mutable_bytes().data(), kSealingKeySizeBytes);
  if (size != static_cast<ssize_t>(kSealingKeySizeBytes)) return Refuse(path, "cannot be read whole");
  return key;
}

}  // namespace

absl::StatusOr<Secret> ReadSealingKey(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0 && errno == ELOOP) return Refuse(path, "is a symbolic link; name the file itself");
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open the sealing key ", path));
  absl::StatusOr<Secret> key = ReadKey(fd, path);
  close(fd);
  return key;
}

absl::StatusOr<Secret> CreateSealingKey(const std::string& path, Random& random) {
  struct stat facts;
  if (lstat(path.c_str(), &facts) == 0) return absl::AlreadyExistsError(absl::StrCat(path, " exists already"));
  Secret key(kSealingKeySizeBytes);
  random.Fill(key.mutable_bytes());
  if (absl::Status written = WriteFileAtomically(path, key.text(), 0600); !written.ok()) return written;
  return key;
}

}  // namespace lanyard
