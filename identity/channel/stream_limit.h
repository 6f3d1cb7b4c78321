// Holds one connection's client to a number of open HTTP/2 streams, by the heads of the frames that pass (RFC 9113
// sections 4.1 and 5.1). gRPC advertises such a number, but holds to it only who acknowledged its SETTINGS, which a
// hostile client never does; and a stream whose request stays away is known to nobody else. Private to
// identity/channel.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/types/span.h"

namespace lanyard {

// Not thread-safe. Pure: sees bytes, moves none.
class StreamLimit {
 public:
  // What several connections may have open together. Used on one thread; outlives the limits that borrow it.
  struct Share {
    size_t max_open;
    size_t open = 0;
  };

  // `share` may be null.
  StreamLimit(size_t max_open, Share* share) : max_open_(max_open), share_(share) {}
  ~StreamLimit();   // gives back to the share what is open
  StreamLimit(const StreamLimit&) = delete;

  // The next bytes on their way to the server, in pieces of any size. ResourceExhausted: with these the client has more
  // streams open than it may; the connection is to be ended.
  absl::Status FromClient(absl::Span<const char> bytes);
  // Likewise to the client.
  void FromServer(absl::Span<const char> bytes);

  size_t open() const { return open_.size(); }

 private:
  // Nine bytes before each frame.
  struct Head {
    uint32_t length;
    uint8_t type, flags;
    uint32_t stream;
  };
  class Heads {
   public:
    explicit Heads(size_t preface_bytes) : skip_bytes_(preface_bytes) {}
    // The next head that `bytes` completes, which are then what follows it; false: there is none.
    bool Next(absl::Span<const char>& bytes, Head& head);

   private:
    static constexpr size_t kSizeBytes = 9;
    size_t skip_bytes_;   // until the next head
    uint8_t bytes_[kSizeBytes] = {};
    size_t have_bytes_ = 0;
  };
  void Open(uint32_t stream);
  void Close(uint32_t stream);

  const size_t max_open_;
  Share* const share_;
  Heads client_{24};   // RFC 9113 section 3.4: "PRI * HTTP/2.0..."
  Heads server_{0};
  absl::flat_hash_set<uint32_t> open_;
  uint32_t last_ = 0;   // streams are opened in ascending order
};

}  // namespace lanyard
