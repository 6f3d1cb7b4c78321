// Poller by epoll(7).
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "proxy/io/poller.h"
#include "proxy/io/unique_fd.h"

namespace lanyard {

class EpollPoller : public Poller {
 public:
  static absl::StatusOr<std::unique_ptr<EpollPoller>> Create();

  absl::Status Add(int fd, uint32_t events, IoHandler* handler) override;
  void Remove(int fd) override;
  size_t Wait(absl::Span<PollEvent> out, absl::Duration timeout) override;

 private:
  explicit EpollPoller(UniqueFd epoll) : epoll_(std::move(epoll)) {}
  UniqueFd epoll_;
};

}  // namespace lanyard
