// Things by whom they belong to, and which of them goes when there are too many: the oldest of whoever has most.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/node_hash_map.h"
#include "absl/strings/string_view.h"

namespace lanyard {

// So that nobody who makes many shuts the others out. Borrows the things, which leave before they are gone; for one
// thread. Each call takes logarithmic time.
template <typename Thing>
class Crowd {
 public:
  // It is the youngest from now on, even if it was here before.
  void Enter(Thing* thing, absl::string_view owner) {
    Leave(thing);
    auto found = owners_.find(owner);
    if (found == owners_.end()) found = owners_.try_emplace(std::string(owner)).first;
    Owner& entry = found->second;
    if (entry.things.empty()) {
      entry.name = std::string(owner);
    } else {
      ranks_.erase(RankOf(&entry));
    }
    entry.things.emplace(next_, thing);
    places_.emplace(thing, Place{&entry, next_++});
    ranks_.insert(RankOf(&entry));
  }

  // False: it is not here.
  bool Leave(const Thing* thing) {
    const auto found = places_.find(thing);
    if (found == places_.end()) return false;
    const Place place = found->second;
    places_.erase(found);
    ranks_.erase(RankOf(place.owner));
    place.owner->things.erase(place.number);
    if (place.owner->things.empty()) {
      owners_.erase(owners_.find(place.owner->name));
    } else {
      ranks_.insert(RankOf(place.owner));
    }
    return true;
  }

  size_t size() const { return places_.size(); }
  bool contains(const Thing* thing) const { return places_.contains(thing); }
  size_t CountOf(absl::string_view owner) const {
    const auto found = owners_.find(owner);
    return found == owners_.end() ? 0 : found->second.things.size();
  }
  // What the owner who has most has.
  size_t most() const { return ranks_.empty() ? 0 : ranks_.begin()->count; }
  // Of several who have as many, the oldest of all theirs. Null: nothing is here.
  Thing* OldestOfMost() const {
    return ranks_.empty() ? nullptr : ranks_.begin()->owner->things.begin()->second;
  }

 private:
  struct Owner {
    std::string name;
    std::map<uint64_t, Thing*> things;  // by their age, oldest first
  };
  struct Place {
    Owner* owner;
    uint64_t number;
  };
  struct Rank {
    size_t count;
    uint64_t oldest;  // no two owners have the same
    Owner* owner;
    bool operator<(const Rank& other) const {
      return count != other.count ? count > other.count : oldest < other.oldest;
    }
  };
  static Rank RankOf(Owner* owner) { return {owner->things.size(), owner->things.begin()->first, owner}; }

  absl::node_hash_map<std::string, Owner> owners_;
  absl::flat_hash_map<const Thing*, Place> places_;
  std::set<Rank> ranks_;
  uint64_t next_ = 0;
};

}  // namespace lanyard
