#include "identity/agent/data_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/agent/saved_state_proto.h"

namespace lanyard {
namespace {

absl::Status MakePrivate(const std::string& path) {
  std::error_code ignored;  // mkdir says what is wrong
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot make data_dir ", path));
  }
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot look at data_dir ", path));
  if (!S_ISDIR(info.st_mode)) return absl::FailedPreconditionError(absl::StrCat("data_dir ", path, " is not a folder"));
  if (info.st_uid != geteuid()) {
    return absl::FailedPreconditionError(absl::StrCat("data_dir ", path, " belongs to uid ", info.st_uid,
                                                      "; chown it to uid ", geteuid(), ", as which the agent runs"));
  }
  if ((info.st_mode & 077) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("other users can get into data_dir ", path, ", where private keys lie; chmod 0700 ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Lock(const std::string& path) {
  const int fd = open(absl::StrCat(path, "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path, "/lock"));
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  const int error = errno;
  close(fd);
  if (error == EWOULDBLOCK) {
    return absl::FailedPreconditionError(
        absl::StrCat("another lanyard-agent uses data_dir ", path, "; stop it, or give this one its own data_dir"));
  }
  return absl::ErrnoToStatus(error, absl::StrCat("cannot lock ", path, "/lock"));
}

template <typename Value, typename Decode>
absl::StatusOr<std::optional<Value>> Load(const SealedFile& file, Decode decode) {
  const absl::StatusOr<Secret> content = file.Read();
  if (absl::IsNotFound(content.status())) return std::optional<Value>();
  if (!content.ok()) return content.status();
  absl::StatusOr<Value> value = decode(content->bytes());
  if (!value.ok()) return absl::DataLossError(absl::StrCat(file.path(), ": ", value.status().message()));
  return std::optional<Value>(*std::move(value));
}

}  // namespace

absl::StatusOr<std::unique_ptr<DataDir>> DataDir::Open(const std::string& path, Random& random) {
  if (const absl::Status made = MakePrivate(path); !made.ok()) return made;
  const absl::StatusOr<int> lock = Lock(path);
  if (!lock.ok()) return lock.status();
  absl::StatusOr<Secret> key = LoadOrCreateSealingKey(absl::StrCat(path, "/sealing.key"), random);
  if (!key.ok()) {
    close(*lock);
    return key.status();
  }
  return std::unique_ptr<DataDir>(new DataDir(path, *lock, *std::move(key), random));
}

DataDir::DataDir(const std::string& path, int lock_fd, Secret key, Random& random)
    : lock_fd_(lock_fd),
      key_(std::move(key)),
      node_(absl::StrCat(path, "/node.sealed"), key_, random),
      workloads_(absl::StrCat(path, "/workloads.sealed"), key_, random) {}

DataDir::~DataDir() { close(lock_fd_); }

absl::StatusOr<std::optional<NodeIdentity>> DataDir::LoadNode() const { return Load<NodeIdentity>(node_, DecodeNode); }

absl::Status DataDir::SaveNode(const NodeIdentity& node) const { return node_.Write(EncodeNode(node).bytes()); }

absl::StatusOr<std::optional<KeptWorkloads>> DataDir::LoadWorkloads() const {
  return Load<KeptWorkloads>(workloads_, DecodeWorkloads);
}

absl::Status DataDir::SaveWorkloads(const KeptWorkloads& workloads) const {
  return workloads_.Write(EncodeWorkloads(workloads).bytes());
}

}  // namespace lanyard
