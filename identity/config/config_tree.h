// A YAML document as a plain tree that remembers its lines. The only user of the YAML library.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "identity/config/config_problems.h"

namespace lanyard {

struct ConfigNode {
  struct Entry;
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  int line = 1;
  std::string text;      // of a scalar
  bool quoted = false;   // the scalar stands in quotes, or is a block
  std::vector<ConfigNode> items;      // of a list
  std::vector<Entry> entries;         // of a map, in order, duplicates kept
};

// Not a std::pair, which may not hold a type that is still incomplete.
struct ConfigNode::Entry {
  std::string key;
  ConfigNode value;
};

// Parses one document; an empty one is kNull. Adds to `problems` what YAML allows and a
// configuration does not: aliases, tags, keys that are not plain text, nesting below
// `depth_limit`, a second document; and what YAML itself forbids, with line and column. The
// tree is then what could be read.
ConfigNode ParseConfigTree(absl::string_view text, int depth_limit, ConfigProblems& problems);

// "a list", "a map", "empty", or "\"text\"" cut to a readable length.
std::string Describe(const ConfigNode& node);

}  // namespace lanyard
