#include "identity/base/backoff.h"

#include <algorithm>

namespace lanyard {

absl::Duration Backoff::Next() {
  ceiling_ = ceiling_ == absl::ZeroDuration() ? options_.initial : ceiling_ * options_.factor;
  ceiling_ = std::min(ceiling_, options_.max);
  return ceiling_ * (0.5 + 0.5 * random_.Uniform());
}

}  // namespace lanyard
