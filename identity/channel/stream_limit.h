// Holds one connection's client to what an HTTP/2 client may ask of a server, by the heads of the frames that pass
// (RFC 9113 sections 4.1 and 5.1): a number of open streams; header blocks with an end; no more streams that are reset
// before they are answered, and no more frames that carry nothing, than an honest client sends. gRPC advertises a
// number of streams, but holds to it only who acknowledged its SETTINGS, which a hostile client never does; a stream
// whose request stays away is known to nobody else; and what never becomes a request (CVE-2023-33953, CVE-2023-44487)
// costs it time and memory that none of its own limits know. Private to identity/channel.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace lanyard {

// Not thread-safe. Pure: sees bytes, moves none.
class StreamLimit {
 public:
  // HEADERS and the CONTINUATION frames behind it: with each of them gRPC reads what is incomplete again from its
  // start. What an honest client has to say (8 KB at most, or its call is refused) is in one frame, or two.
  static constexpr uint32_t kMaxHeaderBlockBytes = 16 << 10;
  static constexpr int kMaxHeaderBlockFrames = 8;
  // Of one frame that carries no data (RFC 9113 section 6.5.2: as SETTINGS_MAX_FRAME_SIZE is at first). Data may come
  // in longer ones: gRPC agrees on more as it learns the bandwidth, and holds the client to that itself.
  static constexpr uint32_t kMaxFrameBytes = 16 << 10;
  // At once, and what is added each second: streams that the client resets before the server has begun to answer ...
  static constexpr double kMaxResets = 200, kResetsPerSecond = 20;
  // ... and frames that are neither call nor data: PING, SETTINGS, PRIORITY, empty DATA, what is not known, RST_STREAM
  // and HEADERS of streams that are not open. Not WINDOW_UPDATE, which is never answered.
  static constexpr double kMaxBareFrames = 200, kBareFramesPerSecond = 20;
  // Honest clients send such frames for what they are sent (to measure, to acknowledge, to end a stream) and for the
  // calls they make: so many more for each call, and for each of the server's frames that is no acknowledgement itself.
  static constexpr double kBareFramesForOne = 2, kMaxBareFramesSaved = 1000;

  // What several connections may have open together. Used on one thread; outlives the limits that borrow it.
  struct Share {
    size_t max_open;
    size_t open = 0;
  };

  // `share` may be null.
  StreamLimit(size_t max_open, Share* share) : max_open_(max_open), share_(share) {}
  ~StreamLimit();   // gives back to the share what is open
  StreamLimit(const StreamLimit&) = delete;

  // The next bytes on their way to the server, in pieces of any size; `now` is monotonic. ResourceExhausted: with these
  // the client goes beyond a limit, which the message names; the connection is to be ended.
  absl::Status FromClient(absl::Span<const char> bytes, absl::Duration now);
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
  // So many at once; what was taken comes back with time.
  class Allowance {
   public:
    Allowance(double size, double per_second) : size_(size), per_second_(per_second), left_(size) {}
    // False: there is none left.
    bool Take(absl::Duration now);
    void Add(double more, double most);

   private:
    const double size_, per_second_;
    double left_;
    absl::Duration last_ = absl::ZeroDuration();
  };

  absl::Status Admit(const Head& head, absl::Duration now);
  absl::Status AdmitHeaderBlock(const Head& head);
  absl::Status AdmitReset(const Head& head, absl::Duration now);
  absl::Status AdmitBare(absl::Duration now);
  absl::Status Open(uint32_t stream);
  void Close(uint32_t stream);

  const size_t max_open_;
  Share* const share_;
  Heads client_{24};   // RFC 9113 section 3.4: "PRI * HTTP/2.0..."
  Heads server_{0};
  absl::flat_hash_map<uint32_t, bool> open_;   // and whether the server has begun to answer
  uint32_t last_ = 0;   // streams are opened in ascending order
  uint64_t block_bytes_ = 0;   // of the last header block
  int block_frames_ = 0;
  Allowance resets_{kMaxResets, kResetsPerSecond};
  Allowance bare_{kMaxBareFrames, kBareFramesPerSecond};
};

}  // namespace lanyard
