// The connections to a server of which nobody knows yet whose they are, and which of them goes first when there are too
// many. Private to identity/channel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>

namespace lanyard {

// Not thread-safe. Pure. Connections are numbered by age; a source is as SourceOf (endpoint.h) says it.
class UnidentifiedClients {
 public:
  void Add(uint64_t id, const std::string& source);
  void Remove(uint64_t id);   // harmless for one that is not among them

  size_t size() const { return source_of_.size(); }
  bool empty() const { return source_of_.empty(); }
  // The oldest, as the one that has taken longest is the least likely to be honest; but of the source that has most:
  // who renews his connections all the time, and so has none that is old, pushes out his own. Where several have as
  // many, the oldest of all theirs. There must be one. Takes as long as there are sources.
  uint64_t FirstToEnd() const;

 private:
  std::map<uint64_t, std::string> source_of_;
  std::map<std::string, std::set<uint64_t>> by_source_;   // none is empty
};

}  // namespace lanyard
