// Stream over a TCP socket.
#pragma once

#include <memory>
#include <string>

#include "proxy/io/address.h"
#include "proxy/io/event_loop.h"
#include "proxy/io/own_sockets.h"
#include "proxy/io/socket.h"
#include "proxy/io/stream.h"
#include "proxy/io/unique_fd.h"

namespace lanyard {

// Registered once with the loop, edge-triggered: a read that came back short, or a write that did, waits
// for the kernel's next word, so that a request costs one wait, one read and one write.
class TcpStream : public Stream, private IoHandler {
 public:
  // A connected, non-blocking socket, as accept4 gives it.
  static std::unique_ptr<TcpStream> Accepted(EventLoop* loop, UniqueFd fd);
  // Likewise one that another process had (and passed on so that it would be reset if it got lost, ResetOnClose);
  // `shut`: its other side was told that nothing more comes.
  static std::unique_ptr<TcpStream> Inherited(EventLoop* loop, UniqueFd fd, bool shut);
  // Never null: what fails at once is told by Open. `own` (null: nobody) is told while it is open.
  static std::unique_ptr<TcpStream> Dialling(EventLoop* loop, const SocketAddress& destination,
                                             OwnSockets* own = nullptr, uint8_t hops = 1);
  // Likewise, from the address of `source`, with a port that the kernel chooses (DialFrom of socket.h).
  static std::unique_ptr<TcpStream> DiallingFrom(EventLoop* loop, const SocketAddress& source,
                                                 const SocketAddress& destination, OwnSockets* own, uint8_t hops);
  ~TcpStream() override;

  IoResult Open() override;
  IoResult Read(absl::Span<uint8_t> into) override;
  IoResult Write(absl::Span<const uint8_t> from) override;
  IoResult Flush() override;
  IoResult ShutdownWrite() override;
  void Reset() override;
  UniqueFd ReleaseFd() override;
  StreamError error() const override { return error_; }
  std::string error_text() const override;

 private:
  TcpStream(EventLoop* loop, UniqueFd fd, bool connected);
  static std::unique_ptr<TcpStream> Of(EventLoop* loop, Dialled dialled, const SocketAddress& destination,
                                       OwnSockets* own, uint8_t hops);
  void OnIo(uint32_t events) override;
  void Register();
  IoResult Fail(int error_number);

  EventLoop* loop_;
  UniqueFd fd_;
  OwnSockets::Dialled dialled_;
  int error_number_ = 0;
  StreamError error_ = StreamError::kNone;
  bool connected_;
  bool readable_ = false;   // unknown counts as true: trying costs a call, waiting for nothing a stall
  bool writable_ = true;
  bool end_seen_ = false;   // the kernel announced FIN or RST: a short read is not the last word
  bool shut_ = false;
};

}  // namespace lanyard
