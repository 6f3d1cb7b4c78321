// Two machines against each other: every order of events of small worlds, and random walks through large ones.
#include <algorithm>
#include <cstdint>
#include <deque>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "proxy/link/stream_machine_world_testing.h"

namespace lanyard {
namespace {

// Splitmix64: the same seed, the same walk.
class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed) {}
  size_t Roll(size_t sides) {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % sides;
  }

 private:
  uint64_t state_;
};

using Kind = MachineWorld::Action::Kind;

bool IsFault(Kind kind) {
  return kind == Kind::kAbort || kind == Kind::kAbandon || kind == Kind::kDetach || kind == Kind::kBreak ||
         kind == Kind::kEnd || kind == Kind::kRefuse;
}

struct Walked {
  MachineWorld world;
  std::string trace;
};

// Faults and ends are rare, or no walk would come far.
Walked Walk(const WorldBounds& bounds, uint64_t seed) {
  Dice dice(seed);
  Walked walked{MachineWorld(bounds), ""};
  for (;;) {
    const std::vector<MachineWorld::Action> possible = walked.world.Possible();
    if (possible.empty()) break;
    MachineWorld::Action action = possible[dice.Roll(possible.size())];
    bool only_faults = true;
    for (const MachineWorld::Action& each : possible) only_faults = only_faults && IsFault(each.kind);
    while (IsFault(action.kind) && !only_faults && dice.Roll(40) != 0) action = possible[dice.Roll(possible.size())];
    walked.trace += MachineWorld::Describe(action) + "; ";
    walked.world.Do(action);
  }
  walked.world.CheckEnd();
  return walked;
}

TEST(StreamMachineWalk, EveryOrderOfEventsKeepsThePromises) {
  const std::pair<const char*, WorldBounds> worlds[] = {
      {"a carry-over", {.opener_writes = 2, .acceptor_writes = 2, .carry_overs = 1}},
      {"two carry-overs", {.opener_writes = 1, .acceptor_writes = 1, .carry_overs = 2, .pipe_frames = 1}},
      {"links that break", {.opener_writes = 1, .acceptor_writes = 1, .carry_overs = 1, .breaks = 1}},
      {"the next link breaks before the switch",
       {.opener_writes = 1, .acceptor_writes = 1, .carry_overs = 2, .breaks = 1, .breaks_before_switch = true,
        .pipe_frames = 1}},
      {"both links break", {.opener_writes = 1, .acceptor_writes = 0, .carry_overs = 1, .breaks = 2, .pipe_frames = 1}},
      {"aborts", {.opener_writes = 1, .acceptor_writes = 1, .carry_overs = 1, .aborts = 1, .may_refuse = true}},
      {"both abort", {.opener_writes = 1, .acceptor_writes = 1, .carry_overs = 0, .aborts = 2, .may_refuse = true}},
      {"abandons", {.opener_writes = 1, .acceptor_writes = 1, .carry_overs = 1, .abandons = 2}},
      {"given up and tried again",
       {.opener_writes = 1, .acceptor_writes = 1, .carry_overs = 2, .detaches = 1, .pipe_frames = 1}},
  };
  for (const auto& [name, bounds] : worlds) {
    std::unordered_set<std::string> seen;
    std::deque<std::pair<MachineWorld, std::string>> todo;
    todo.emplace_back(MachineWorld(bounds), "");
    size_t ends = 0;
    int most_carried = 0, after_detach = 0;
    while (!todo.empty()) {
      auto [world, trace] = std::move(todo.back());
      todo.pop_back();
      const std::vector<MachineWorld::Action> possible = world.Possible();
      if (possible.empty()) {
        ++ends;
        world.CheckEnd();
        most_carried = std::max(most_carried, world.carried());
        after_detach = std::max(after_detach, world.carried_after_detach());
        ASSERT_EQ(world.problem(), "") << name << ": " << trace;
        for (const size_t side : {0, 1}) {
          ASSERT_TRUE(!bounds.breaks_before_switch || world.machine(side).failure() == StreamMachine::Failure::kNone)
              << name << ": " << trace;
        }
      }
      for (const MachineWorld::Action& action : possible) {
        MachineWorld next = world;
        next.Do(action);
        if (!seen.insert(next.Key()).second) continue;
        todo.emplace_back(std::move(next), trace + MachineWorld::Describe(action) + "; ");
      }
      ASSERT_LT(seen.size(), 4000000u) << name << ": no longer small";
    }
    EXPECT_EQ(most_carried, bounds.carry_overs) << name;
    EXPECT_GE(after_detach, bounds.detaches) << name << ": one that was given up is no hindrance";
    RecordProperty(name, std::to_string(seen.size()) + " states, " + std::to_string(ends) + " ends");
  }
}

TEST(StreamMachineWalk, RandomWalksWithoutFaultsEndWellHoweverOftenCarriedOver) {
  int carried = 0;
  for (uint64_t seed = 1; seed <= 3000; ++seed) {
    const Walked walked = Walk({.opener_writes = 60, .acceptor_writes = 60, .carry_overs = 12, .pipe_frames = 8}, seed);
    ASSERT_EQ(walked.world.problem(), "") << "seed " << seed << ": " << walked.trace;
    for (const size_t side : {0, 1}) {
      ASSERT_EQ(walked.world.machine(side).failure(), StreamMachine::Failure::kNone)
          << "seed " << seed << ": " << walked.trace;
    }
    carried += walked.world.carried();
  }
  EXPECT_GT(carried, 6000) << "the walks do not reach what they are for";
}

TEST(StreamMachineWalk, RandomWalksWithEveryFaultKeepThePromises) {
  int carried = 0;
  for (uint64_t seed = 1; seed <= 10000; ++seed) {
    const Walked walked = Walk({.opener_writes = 30,
                                .acceptor_writes = 30,
                                .carry_overs = 6,
                                .breaks = static_cast<int>(seed % 4),
                                .aborts = static_cast<int>(seed / 4 % 3),
                                .abandons = static_cast<int>(seed / 12 % 2),
                                .detaches = static_cast<int>(seed / 24 % 3),
                                .may_refuse = seed % 7 == 0,
                                .pipe_frames = 1 + seed % 5},
                               seed);
    ASSERT_EQ(walked.world.problem(), "") << "seed " << seed << ": " << walked.trace;
    carried += walked.world.carried();
  }
  EXPECT_GT(carried, 4000) << "the walks do not reach what they are for";
}

}  // namespace
}  // namespace lanyard
