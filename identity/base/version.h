// The release this source tree makes; every binary's `version`.
#pragma once

namespace lanyard {

inline constexpr char kVersion[] = "0.1.0";

}  // namespace lanyard
