// /tap: connections as they open and close, to whoever watches, by what they ask for.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "identity/admin/admin_server.h"
#include "identity/policy/policy.h"
#include "proxy/control/control_loop.h"
#include "proxy/mesh/connection_tap.h"
#include "proxy/mesh/observation.h"

namespace lanyard {

// What one watcher wants to see: everything that is not excluded by something it names.
struct TapFilter {
  std::vector<PeerPattern> peers;       // any of them
  std::set<uint16_t> ports;             // of the destination
  std::set<std::string> directions;     // "inbound", "outbound"
  std::set<std::string> reasons;        // close reasons: then nothing that opens is shown
  bool existing = false;                // what is open already, first

  // Of "peer=spiffe%3A%2F%2Ftd%2F%2A&port=80&direction=inbound&reason=banned&existing=1"; each but `existing` may be
  // repeated. InvalidArgument names the mistake.
  static absl::StatusOr<TapFilter> Parse(absl::string_view query);
  bool MatchesRecord(const ConnectionRecord& record) const;
  bool Matches(const ConnectionEvent& event) const;
};

// On the control thread. Borrows the loop and the tap, which outlives it.
class TapPage {
 public:
  static constexpr size_t kMaxWatchers = 8;
  static constexpr size_t kMaxWaitingBytes = 256 << 10;  // of one watcher; more is lost, and it is told how many

  TapPage(ControlLoop& loop, ConnectionTap& tap);
  ~TapPage();

  class Stream;
  // ResourceExhausted above kMaxWatchers. It stops watching when it is destroyed.
  absl::StatusOr<std::shared_ptr<Stream>> Watch(TapFilter filter);
  size_t watchers() const;
  uint64_t lost() const { return lost_; }  // lines, of all watchers

 private:
  void Deliver();

  ConnectionTap& tap_;
  std::vector<std::weak_ptr<Stream>> streams_;
  std::shared_ptr<TapPage*> self_;  // null once this is gone
  uint64_t lost_ = 0;
};

// One watcher. NDJSON: events, and {"event":"lost","count":N} where some did not fit.
class TapPage::Stream : public AdminStream {
 public:
  Stream(std::shared_ptr<TapPage*> page, TapFilter filter) : page_(std::move(page)), filter_(std::move(filter)) {}
  ~Stream() override;

  std::string Take() override;
  void OnMore(std::function<void()> more) override { more_ = std::move(more); }
  const TapFilter& filter() const { return filter_; }

  // What is open already; those that match.
  void AddExisting(const std::vector<ConnectionRecord>& connections);
  // Returns how many did not fit.
  uint64_t Add(const ConnectionTap::Batch& batch);

 private:
  bool Append(const std::string& line);
  void Tell();

  const std::shared_ptr<TapPage*> page_;
  const TapFilter filter_;
  std::function<void()> more_ = [] {};
  std::string waiting_;
  uint64_t lost_ = 0;  // since the last Take
};

}  // namespace lanyard
