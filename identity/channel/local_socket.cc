#include "identity/channel/local_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

absl::StatusOr<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path[0] != '/' || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat("the socket path \"", path, "\" must be absolute and shorter than ",
                                                   sizeof(address.sun_path), " bytes"));
  }
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

absl::Status Failure(absl::string_view what, const std::string& path) {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot ", what, " ", path));
}

// OK: nothing is there, or a socket that nobody answers on.
absl::Status CheckReplaceable(const std::string& path, const sockaddr_un& address) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return errno == ENOENT ? absl::OkStatus() : Failure("look at", path);
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " exists and is not a socket: remove it, or choose another path"));
  }
  const Descriptor probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.valid()) return Failure("make a socket for", path);
  // EAGAIN is a full queue: somebody is there.
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0 || errno == EAGAIN) {
    return absl::AlreadyExistsError(
        absl::StrCat("another process answers on ", path, ": stop it, or choose another path"));
  }
  return errno == ECONNREFUSED || errno == ENOENT ? absl::OkStatus() : Failure("find out who answers on", path);
}

// A folder beside `path` that nobody else may enter; removed at the end.
class PrivateFolder {
 public:
  explicit PrivateFolder(const std::string& path) : name_(path.substr(0, path.rfind('/')) + "/.XXXXXX") {
    made_ = mkdtemp(name_.data()) != nullptr;
  }
  PrivateFolder(const PrivateFolder&) = delete;
  ~PrivateFolder() {
    if (!made_) return;
    unlink(SocketPath().c_str());
    rmdir(name_.c_str());
  }
  bool made() const { return made_; }
  std::string SocketPath() const { return name_ + "/s"; }

 private:
  std::string name_;
  bool made_;
};

}  // namespace

absl::StatusOr<LocalSocket> LocalSocket::Create(const std::string& path, mode_t mode) {
  const absl::StatusOr<sockaddr_un> address = AddressOf(path);
  if (!address.ok()) return address.status();
  if (absl::Status status = CheckReplaceable(path, *address); !status.ok()) return status;
  const PrivateFolder folder(path);
  if (!folder.made()) return Failure("make a folder beside", path);
  const absl::StatusOr<sockaddr_un> temporary = AddressOf(folder.SocketPath());
  if (!temporary.ok()) return temporary.status();

  Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  struct stat info;
  if (!socket.valid() || bind(socket.get(), reinterpret_cast<const sockaddr*>(&*temporary), sizeof(*temporary)) != 0 ||
      chmod(temporary->sun_path, mode) != 0 || listen(socket.get(), SOMAXCONN) != 0 ||
      lstat(temporary->sun_path, &info) != 0 || rename(temporary->sun_path, path.c_str()) != 0) {
    return Failure("listen on", path);
  }
  return LocalSocket(std::move(socket), path, info.st_dev, info.st_ino);
}

LocalSocket::~LocalSocket() {
  struct stat info;
  if (path_.empty() || lstat(path_.c_str(), &info) != 0) return;
  if (info.st_dev == device_ && info.st_ino == inode_) unlink(path_.c_str());
}

}  // namespace lanyard
