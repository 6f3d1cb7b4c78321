#include "identity/capture/ebpf/pins.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

constexpr int kLockTryMs = 20;
constexpr int kLockTries = Pins::kLockWaitMs / kLockTryMs;

struct CloseFolder {
  void operator()(DIR* folder) const { closedir(folder); }
};

std::vector<std::string> NamesIn(const std::string& path) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, CloseFolder> folder(opendir(path.c_str()));
  if (folder == nullptr) return names;
  while (const dirent* entry = readdir(folder.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  return names;
}

absl::Status RemoveFolderAt(const std::string& path) {
  for (const std::string& name : NamesIn(path)) RemovePin(absl::StrCat(path, "/", name));
  if (rmdir(path.c_str()) != 0 && errno != ENOENT) {
    return absl::ErrnoToStatus(errno, absl::StrCat("removing ", path, " failed"));
  }
  return absl::OkStatus();
}

bool IsNamespaceGone(const std::string& folder) {
  const Descriptor link(bpf_obj_get(absl::StrCat(folder, "/", kNamespacePin).c_str()));
  if (!link.valid()) return errno == ENOENT;
  bpf_link_info info = {};
  uint32_t size = sizeof(info);
  return bpf_obj_get_info_by_fd(link.get(), &info, &size) == 0 && info.type == BPF_LINK_TYPE_NETNS &&
         info.netns.netns_ino == 0;
}

absl::Status WaitForLock(int fd, const std::string& path) {
  for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; ++tries) {
    if (errno != EWOULDBLOCK && errno != EINTR) return absl::ErrnoToStatus(errno, absl::StrCat("locking ", path));
    if (tries == kLockTries) {
      return absl::UnavailableError(
          absl::StrCat(path, " is locked: another lanyard capture is at work on this machine; try again"));
    }
    poll(nullptr, 0, kLockTryMs);
  }
  return absl::OkStatus();
}

}  // namespace

void RemovePin(const std::string& path) {
  const Descriptor pinned(bpf_obj_get(path.c_str()));
  if (pinned.valid()) bpf_link_detach(pinned.get());  // nothing of a map
  unlink(path.c_str());
}

absl::StatusOr<Pins> Pins::Lock(const std::string& bpf_fs, uint64_t netns_cookie) {
  struct statfs what = {};
  if (statfs(bpf_fs.c_str(), &what) != 0 || static_cast<uint32_t>(what.f_type) != uint32_t{BPF_FS_MAGIC}) {
    return absl::FailedPreconditionError(
        absl::StrCat("there is no BPF file system at ", bpf_fs,
                     ", where capture by eBPF is kept: run `mount -t bpf bpf ", bpf_fs,
                     "`, or in a container mount the machine's there; nothing was changed"));
  }
  const std::string root = absl::StrCat(bpf_fs, "/lanyard");
  // Another command may remove the folder, when it is empty, between our making and our locking it.
  for (int tries = 0; tries < kLockTries; ++tries) {
    if (mkdir(root.c_str(), 0700) != 0 && errno != EEXIST) {
      return absl::ErrnoToStatus(errno, absl::StrCat("making ", root, " failed"));
    }
    Descriptor fd(open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) {
      if (errno == ENOENT) continue;
      return absl::ErrnoToStatus(errno, absl::StrCat("opening ", root, " failed"));
    }
    if (const absl::Status locked = WaitForLock(fd.get(), root); !locked.ok()) return locked;
    struct stat ours = {}, there = {};
    if (fstat(fd.get(), &ours) == 0 && stat(root.c_str(), &there) == 0 && ours.st_ino == there.st_ino) {
      return Pins(std::move(fd), root, absl::StrCat(root, "/", netns_cookie));
    }
  }
  return absl::UnavailableError(absl::StrCat(root, " comes and goes: another lanyard capture is at work; try again"));
}

absl::Status Pins::MakeFolder() const {
  if (mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::ErrnoToStatus(errno, absl::StrCat("making ", folder_, " failed"));
  }
  return absl::OkStatus();
}

absl::Status Pins::RemoveFolder() const {
  const absl::Status removed = RemoveFolderAt(folder_);
  rmdir(root_path_.c_str());  // stays where other namespaces have folders
  return removed;
}

void Pins::RemoveWhatIsLeftOver() const {
  for (const std::string& name : NamesIn(root_path_)) {
    const std::string folder = absl::StrCat(root_path_, "/", name);
    if (folder != folder_ && IsNamespaceGone(folder)) RemoveFolderAt(folder).IgnoreError();
  }
}

}  // namespace lanyard
