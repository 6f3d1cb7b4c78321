#include "identity/channel/unidentified_clients.h"

namespace lanyard {

void UnidentifiedClients::Add(uint64_t id, const std::string& source) {
  if (source_of_.emplace(id, source).second) by_source_[source].insert(id);
}

void UnidentifiedClients::Remove(uint64_t id) {
  const auto found = source_of_.find(id);
  if (found == source_of_.end()) return;
  const auto of_source = by_source_.find(found->second);
  of_source->second.erase(id);
  if (of_source->second.empty()) by_source_.erase(of_source);
  source_of_.erase(found);
}

uint64_t UnidentifiedClients::FirstToEnd() const {
  const std::set<uint64_t>* most = nullptr;
  for (const auto& [source, ids] : by_source_) {
    const bool more = most == nullptr || ids.size() > most->size();
    if (more || (ids.size() == most->size() && *ids.begin() < *most->begin())) most = &ids;
  }
  return *most->begin();
}

}  // namespace lanyard
