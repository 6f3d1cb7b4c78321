#include "tests/bench/exchange.h"

#include <vector>

#include "tests/bench/wire.h"

namespace lanyard::bench {

Exchange::Exchange(const sockaddr_in& target, size_t size)
    : message_(size, 'x'), fd_(Connect(target)), started_ns_(NowNs()) {
  message_[0] = kEcho;
}

Exchange::Progress Exchange::Advance() {
  static std::vector<char> scratch(kChunkBytes);
  size_t done = 0;
  while (under_way_ && sent_ < message_.size()) {
    const Io io = WriteSome(fd_.get(), {message_.data() + sent_, message_.size() - sent_}, done);
    if (io == Io::kWait) break;
    if (io != Io::kProgress) return Progress::kFailed;
    sent_ += done;
  }
  for (;;) {
    const Io io = ReadSome(fd_.get(), scratch, done);
    if (io == Io::kWait) return Progress::kWaiting;
    // An end, or bytes nobody asked for: whatever is in between did not keep the stream intact.
    if (io != Io::kProgress || !under_way_ || received_ + done > message_.size()) return Progress::kFailed;
    received_ += done;
    if (received_ < message_.size()) continue;
    under_way_ = false;
    return Progress::kAnswered;
  }
}

Exchange::Progress Exchange::Again() {
  sent_ = received_ = 0;
  under_way_ = true;
  started_ns_ = NowNs();
  size_t done = 0;
  switch (WriteSome(fd_.get(), message_, done)) {
    case Io::kProgress:
      sent_ = done;
      return Progress::kWaiting;
    case Io::kWait:
      return Progress::kWaiting;
    default:
      return Progress::kFailed;
  }
}

}  // namespace lanyard::bench
