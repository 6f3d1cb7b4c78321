#include "proxy/close_reason_names.h"

#include "proxy/connection/close_reason.h"

namespace lanyard {

std::vector<std::string> CloseReasonNames() {
  std::vector<std::string> names;
  for (size_t i = 0; i < kCloseReasonCount; ++i) names.emplace_back(CloseReasonName(static_cast<CloseReason>(i)));
  return names;
}

}  // namespace lanyard
