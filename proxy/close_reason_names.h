// What a connection can close for, as the admin address names it.
#pragma once

#include <string>
#include <vector>

namespace lanyard {

// In the order of CloseReason.
std::vector<std::string> CloseReasonNames();

}  // namespace lanyard
