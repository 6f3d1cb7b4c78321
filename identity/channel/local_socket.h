// The Unix socket a local server listens on, as a file: made so that nobody connects before its mode is
// set, and removed only if it is still ours. Private to identity/channel.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "identity/base/descriptor.h"

namespace lanyard {

class LocalSocket {
 public:
  // Binds and listens. AlreadyExists: another process answers on `path`; FailedPrecondition: something that is not
  // a socket is there. A socket that nobody answers on is replaced in one step.
  static absl::StatusOr<LocalSocket> Create(const std::string& path, mode_t mode);
  LocalSocket(LocalSocket&& other) noexcept
      : socket_(std::move(other.socket_)),
        path_(std::exchange(other.path_, "")),
        device_(other.device_),
        inode_(other.inode_) {}
  ~LocalSocket();   // removes the file, if it is still ours

  // The caller's from now on.
  Descriptor TakeDescriptor() { return std::move(socket_); }

 private:
  LocalSocket(Descriptor socket, std::string path, dev_t device, ino_t inode)
      : socket_(std::move(socket)), path_(std::move(path)), device_(device), inode_(inode) {}
  Descriptor socket_;
  std::string path_;
  dev_t device_;
  ino_t inode_;
};

}  // namespace lanyard
