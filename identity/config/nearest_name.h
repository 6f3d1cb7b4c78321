// "Did you mean": the known name nearest to a mistyped one.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace lanyard {

// The name of `known` fewest insertions, deletions, replacements and swaps of neighbours away
// from `typed`; "" if none is within a third of its length (at least 2). The first of equals.
std::string NearestName(absl::string_view typed, const std::vector<std::string>& known);

}  // namespace lanyard
