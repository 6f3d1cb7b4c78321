// A descriptor of the bpf system call's, or of a file: owned.
#pragma once

#include <unistd.h>

#include <utility>

namespace lanyard {

// Move-only; closes on destruction. Negative: none.
class BpfFd {
 public:
  BpfFd() = default;
  explicit BpfFd(int fd) : fd_(fd) {}
  BpfFd(BpfFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  BpfFd& operator=(BpfFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~BpfFd() {
    if (fd_ >= 0) close(fd_);
  }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

}  // namespace lanyard
