#include "identity/config/nearest_name.h"

#include <algorithm>

namespace lanyard {
namespace {

// Optimal string alignment distance, three rows of the table at a time.
size_t Distance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> before(b.size() + 1), previous(b.size() + 1), current(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      current[j] = std::min({replaced, previous[j] + 1, current[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        current[j] = std::min(current[j], before[j - 2] + 1);
      }
    }
    before.swap(previous);
    previous.swap(current);
  }
  return previous[b.size()];
}

}  // namespace

std::string NearestName(absl::string_view typed, const std::vector<std::string>& known) {
  std::string nearest;
  size_t fewest = 0;
  for (const std::string& name : known) {
    const size_t allowed = std::max<size_t>(2, name.size() / 3);
    if (typed.size() > name.size() + allowed) continue;
    const size_t distance = Distance(typed, name);
    // A short name is not near to just any short word.
    if (distance > allowed || distance >= name.size()) continue;
    if (nearest.empty() || distance < fewest) {
      nearest = name;
      fewest = distance;
    }
  }
  return nearest;
}

}  // namespace lanyard
