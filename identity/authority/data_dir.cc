#include "identity/authority/data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

absl::Status CheckFolder(const std::string& path) {
  struct stat facts;
  if (stat(path.c_str(), &facts) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot use data_dir ", path));
  if (!S_ISDIR(facts.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat("data_dir ", path, " is not a folder; name a folder"));
  }
  if ((facts.st_mode & 022) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("data_dir ", path, " is writable by its group or others; set its mode to 700"));
  }
  if (facts.st_uid != geteuid() && facts.st_uid != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("data_dir ", path, " belongs to uid ", facts.st_uid, "; it must belong to uid ", geteuid()));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DataDir> DataDir::Lock(const std::string& path) {
  std::error_code ignored;  // mkdir says what is wrong
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot make data_dir ", path));
  }
  if (absl::Status fit = CheckFolder(path); !fit.ok()) return fit;
  const std::string lock = path + "/lock";
  const int fd = open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", lock));
  DataDir locked(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return locked;
  if (errno != EWOULDBLOCK) return absl::ErrnoToStatus(errno, absl::StrCat("cannot lock ", lock));
  return absl::FailedPreconditionError(
      absl::StrCat("data_dir ", path, " is in use by another lanyard-authority; stop that one or name another folder"));
}

DataDir::DataDir(DataDir&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

DataDir::~DataDir() {
  if (fd_ >= 0) close(fd_);
}

}  // namespace lanyard
