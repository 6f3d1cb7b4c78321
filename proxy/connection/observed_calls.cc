#include "proxy/connection/observed_calls.h"

#include "absl/strings/str_cat.h"

namespace lanyard {

void ObservedCalls::Add(const ObservedCall& call, absl::Time now) {
  key_.clear();
  // The same caller may be let in by another rule, or as another workload, after a change: that is another call.
  absl::StrAppend(&key_, call.direction, " ", call.peer_id, " ", call.destination, " ", call.port, " ",
                  call.allowed ? "allowed" : call.close_reason, " ");
  absl::StrAppend(&key_, call.local_id, " ", call.rule);
  const auto known = by_key_.find(key_);
  if (known != by_key_.end()) {
    calls_.splice(calls_.begin(), calls_, known->second);
  } else {
    if (calls_.size() >= max_calls_) {
      by_key_.erase(calls_.back().key);
      calls_.pop_back();
      forgotten_.Add();
    }
    calls_.push_front(call);
    calls_.front().key = key_;
    by_key_.emplace(key_, calls_.begin());
  }
  ++calls_.front().count;
  calls_.front().last_seen = now;
}

}  // namespace lanyard
