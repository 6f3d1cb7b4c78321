#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "identity/agent/binary_hash.h"
#include "identity/agent/process_info.h"
#include "identity/base/atomic_file.h"

namespace lanyard {
namespace {

constexpr size_t kStatusSizeLimitBytes = 1 << 20;  // the kernel allows 65536 groups
constexpr size_t kNameEntrySizeLimitBytes = 1 << 20;

bool SameFile(const struct stat& a, const struct stat& b) { return a.st_dev == b.st_dev && a.st_ino == b.st_ino; }

// getpwuid_r and getgrgid_r ask for a larger buffer by ERANGE.
template <typename Entry, typename Id, typename Lookup>
absl::StatusOr<std::string> LookUpName(Id id, absl::string_view what, Lookup lookup, char* Entry::*name) {
  for (std::vector<char> buffer(1024); buffer.size() <= kNameEntrySizeLimitBytes; buffer.resize(buffer.size() * 4)) {
    Entry entry;
    Entry* found = nullptr;
    const int error = lookup(id, &entry, buffer.data(), buffer.size(), &found);
    if (error == ERANGE) continue;
    // Of an absent name databases say what they like (getpwnam(3)); these are about the lookup.
    const bool failed = error == EINTR || error == EIO || error == EMFILE || error == ENFILE || error == ENOMEM ||
                        error == EAGAIN;
    if (failed) return absl::UnavailableError(absl::StrCat("cannot look up ", what, " ", id, " now"));
    if (found == nullptr) return absl::NotFoundError(absl::StrCat("no name of ", what, " ", id));
    return std::string(found->*name);
  }
  return absl::OutOfRangeError(absl::StrCat("the record of ", what, " ", id, " is too large"));
}

class ProcProcessInfo : public ProcessInfo {
 public:
  explicit ProcProcessInfo(std::string proc) : proc_(std::move(proc)) {}

  absl::StatusOr<std::vector<gid_t>> SupplementaryGids(pid_t pid) override {
    const absl::StatusOr<std::string> status = ReadFile(File(pid, "status"), kStatusSizeLimitBytes);
    if (!status.ok()) return status.status();
    for (absl::string_view line : absl::StrSplit(*status, '\n')) {
      if (!absl::StartsWith(line, "Groups:")) continue;
      std::vector<gid_t> gids;
      for (absl::string_view word : absl::StrSplit(line.substr(7), absl::ByAnyChar(" \t"), absl::SkipEmpty())) {
        gid_t gid = 0;
        if (!absl::SimpleAtoi(word, &gid)) return absl::InternalError(absl::StrCat("unreadable: ", line));
        gids.push_back(gid);
      }
      return gids;
    }
    return absl::InternalError(absl::StrCat(File(pid, "status"), " has no line \"Groups:\""));
  }

  absl::StatusOr<std::string> ExecutablePath(pid_t pid) override {
    std::string path(PATH_MAX, '\0');
    const std::string link = File(pid, "exe");
    const ssize_t size = readlink(link.c_str(), path.data(), path.size());
    if (size < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", link));
    if (static_cast<size_t>(size) == path.size()) return absl::OutOfRangeError(absl::StrCat(link, " is too long"));
    path.resize(static_cast<size_t>(size));
    // A file really called "x (deleted)" is indistinguishable in the link, and not worth being recognised.
    if (absl::EndsWith(path, " (deleted)")) {
      return absl::FailedPreconditionError(absl::StrCat("the binary ", path, " is not there any more"));
    }
    struct stat running, named;
    if (stat(link.c_str(), &running) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot look at ", link));
    if (stat(path.c_str(), &named) != 0 || !SameFile(running, named)) {
      return absl::FailedPreconditionError(absl::StrCat(path, " is another file here than the one that runs"));
    }
    return path;
  }

  absl::StatusOr<std::string> ExecutableSha256(pid_t pid) override {
    const std::string link = File(pid, "exe");
    const int fd = open(link.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", link));
    struct stat info;
    absl::StatusOr<std::string> hash;
    if (fstat(fd, &info) != 0) {
      hash = absl::ErrnoToStatus(errno, absl::StrCat("cannot look at ", link));
    } else if (info.st_nlink == 0) {
      hash = absl::FailedPreconditionError("the binary that runs was deleted");
    } else {
      hash = hashes_.Sha256Of(fd);
    }
    close(fd);
    return hash;
  }

  absl::StatusOr<std::string> UserName(uid_t uid) override {
    return LookUpName<passwd>(uid, "uid", getpwuid_r, &passwd::pw_name);
  }

  absl::StatusOr<std::string> GroupName(gid_t gid) override {
    return LookUpName<group>(gid, "gid", getgrgid_r, &group::gr_name);
  }

 private:
  std::string File(pid_t pid, absl::string_view name) const { return absl::StrCat(proc_, "/", pid, "/", name); }

  const std::string proc_;
  BinaryHash hashes_;
};

}  // namespace

std::unique_ptr<ProcessInfo> NewProcProcessInfo(const std::string& proc) {
  return std::make_unique<ProcProcessInfo>(proc);
}

}  // namespace lanyard
