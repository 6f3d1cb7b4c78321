// The version of the command line.
#pragma once

namespace lanyard {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace lanyard
