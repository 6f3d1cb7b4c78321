// A listening socket on a loop: accepts in bounded turns, and waits out a lack of descriptors.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "proxy/io/address.h"
#include "proxy/io/event_loop.h"
#include "proxy/io/unique_fd.h"

namespace lanyard {

// Belongs to the loop's thread.
class Listener : private IoHandler {
 public:
  // Accepted in one turn at most; the rest waits in the kernel's queue, behind the open connections' turn.
  static constexpr int kAcceptsPerTurn = 32;
  // Without descriptors (EMFILE, ENFILE, no memory) accepting pauses this long; callers wait in the queue.
  static constexpr absl::Duration kPause = absl::Milliseconds(50);

  struct Events {
    std::function<void(UniqueFd fd, const SocketAddress& source)> on_accept;
    std::function<void(int error_number)> on_pause;  // each time accepting has to pause
  };

  // Binds and listens; accepts nothing yet.
  static absl::StatusOr<std::unique_ptr<Listener>> Bind(EventLoop* loop, const SocketAddress& address);
  // A socket that listens already, as the process before this one opened it. Callers may wait in it.
  static absl::StatusOr<std::unique_ptr<Listener>> Adopt(EventLoop* loop, UniqueFd fd);
  ~Listener();

  const SocketAddress& address() const { return address_; }  // with the port the kernel chose
  int fd() const { return fd_.get(); }
  // As MakeTransparent of socket.h, for what is accepted from now on.
  absl::Status MakeTransparent();
  bool IsTransparent() const;
  absl::Status Start(Events events);
  // Accepts those who wait in the queue already, then closes the socket: new callers are refused.
  void Drain();
  // Closes the socket at once: callers in the queue are reset, unless another process has it too.
  void Close();

 private:
  Listener(EventLoop* loop, UniqueFd fd, SocketAddress address);
  void OnIo(uint32_t events) override;
  absl::Status Resume();
  void Pause(int error_number);
  void Accept(int most);

  EventLoop* loop_;
  UniqueFd fd_;
  SocketAddress address_;
  Events events_;
  Timer pause_;
};

}  // namespace lanyard
