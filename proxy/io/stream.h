// A byte stream both ways that never blocks: TCP, TLS over another stream, or a fake.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "proxy/io/unique_fd.h"

namespace lanyard {

enum class IoStatus : uint8_t {
  kOk,
  kWouldBlock,  // call again after the observer was told
  kEnd,         // Read only: the other side finished sending, and said so properly
  kError,       // the stream is dead; see error()
};

struct IoResult {
  constexpr IoResult(IoStatus of, size_t size_of = 0, bool is_drained = false)
      : status(of), drained(is_drained), size_bytes(size_of) {}

  IoStatus status;
  bool drained;       // Read, with kOk: trying again before the observer is told would block
  size_t size_bytes;  // with kOk: how much was read or taken
};

// Why a stream died.
enum class StreamError : uint8_t {
  kNone,
  kReset,               // by the other side
  kRefused,             // nobody listens there
  kTimedOut,            // the kernel gave up
  kUnreachable,
  kNoDescriptors,
  kTruncated,           // TLS: ended without close_notify
  kPeerAlert,           // TLS: the peer sent a fatal alert
  kNoSharedProtocol,    // TLS: likewise, for want of an ALPN name that it knows (RFC 7301 section 3.2)
  kNoPeerCertificate,   // TLS, server: the client showed none
  kPeerNotVerified,     // TLS: the peer's SVID was refused; PeerVerificationError says why
  kProtocol,            // TLS: not TLS 1.3, garbage, a record that does not decrypt
  kMeshRefused,         // mesh protocol: the far proxy refused the stream
  kMeshProtocol,        // mesh protocol: the far proxy broke it
  kCarryOverFailed,     // mesh protocol: a link failed while the stream was being carried over to it
  kCarryOverTimedOut,   // mesh protocol: the far proxy did not finish carrying it over
  kOther,
};
absl::string_view StreamErrorName(StreamError error);

class StreamObserver {
 public:
  // Something may be possible that was not: try again what would have blocked. May come without
  // cause. The stream may be destroyed from within.
  virtual void OnReady() = 0;

 protected:
  ~StreamObserver() = default;
};

// Belongs to one loop's thread. Destroying it closes it: with bytes still to be sent they are
// handed to the kernel's care, as close(2) does.
class Stream {
 public:
  virtual ~Stream() = default;

  // Connecting, or shaking hands: kOk once bytes can flow, then for ever.
  virtual IoResult Open() = 0;
  virtual IoResult Read(absl::Span<uint8_t> into) = 0;
  // May take a part. What it took is sent without further calls, but see Flush. After kWouldBlock the next
  // call must start with the same bytes.
  virtual IoResult Write(absl::Span<const uint8_t> from) = 0;
  // kOk once everything that was taken has been handed to the kernel.
  virtual IoResult Flush() = 0;
  // Flushes, then tells the other side that nothing more comes; reading goes on. kOk once
  // told; to be called again after kWouldBlock. Idempotent.
  virtual IoResult ShutdownWrite() = 0;
  // Ends both directions at once, so that the other side sees an error, never a clean end. Nothing
  // may be called after it but error() and the destructor.
  virtual void Reset() = 0;

  virtual StreamError error() const = 0;
  virtual std::string error_text() const = 0;  // one phrase for a log

  // Gives up its socket, to be wrapped anew on another thread; only the destructor may follow. Invalid where there is
  // none, or bytes of it are held here.
  virtual UniqueFd ReleaseFd() { return UniqueFd(); }

  // Null: tell nobody. Borrowed.
  void set_observer(StreamObserver* observer) { observer_ = observer; }

 protected:
  StreamObserver* observer_ = nullptr;
};

}  // namespace lanyard
