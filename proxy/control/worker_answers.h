// The answers of several workers, gathered to one on the control thread.
#pragma once

#include <functional>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "proxy/control/control_loop.h"
#include "proxy/control/worker_handle.h"

namespace lanyard {

// A worker that does not answer in this time is left out.
inline constexpr absl::Duration kWorkerTimeout = absl::Seconds(2);

template <typename Record>
using AskWorker = void (WorkerHandle::*)(std::function<void(std::vector<Record>)>);

// On the control thread. Asks every worker; calls `done` once, on the control thread: `whole` is false when one of them
// did not answer in `timeout`. Not called when the loop stops before. Borrows loop and workers.
template <typename Record>
void GatherAnswers(ControlLoop& loop, const std::vector<WorkerHandle*>& workers, absl::Duration timeout,
                   AskWorker<Record> ask, std::function<void(bool whole, const std::vector<Record>&)> done) {
  struct Gathering {
    size_t missing = 0;
    std::vector<Record> records;
    std::function<void(bool, const std::vector<Record>&)> done;  // empty once called

    void Finish(bool whole) {
      if (done == nullptr) return;
      std::exchange(done, nullptr)(whole, records);
    }
  };
  auto gathering = std::make_shared<Gathering>();
  gathering->missing = workers.size();
  gathering->done = std::move(done);
  for (WorkerHandle* worker : workers) {
    (worker->*ask)([gathering, &loop](std::vector<Record> records) {
      loop.Post([gathering, records = std::move(records)]() mutable {
        gathering->records.insert(gathering->records.end(), std::make_move_iterator(records.begin()),
                                  std::make_move_iterator(records.end()));
        if (--gathering->missing == 0) gathering->Finish(true);
      });
    });
  }
  loop.After(timeout, [gathering] { gathering->Finish(false); });
}

}  // namespace lanyard
