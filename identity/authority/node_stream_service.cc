#include "identity/authority/node_stream_service.h"

#include <mutex>
#include <optional>
#include <utility>

#include "identity/authority/node_state_proto.h"
#include "identity/base/logging.h"
#include "identity/registry/grpc_status.h"

namespace lanyard {
namespace {

using NodeState = authority::v1::NodeState;

class RefusedStream final : public grpc::ServerWriteReactor<NodeState> {
 public:
  explicit RefusedStream(const absl::Status& why) { Finish(ToGrpcStatus(why)); }
  void OnDone() override { delete this; }
};

// gRPC calls On... from its own threads, one at a time; Wake and End come from any. StartWrite and Finish are
// called without the lock: what they run must be free to come back.
class NodeStream final : public grpc::ServerWriteReactor<NodeState>, public NodeWatch {
 public:
  NodeStream(SpiffeId node, std::string serial, NodeStreamParts parts)
      : node_(std::move(node)), serial_(std::move(serial)), parts_(parts), state_(node_) {}

  void Begin() {
    if (absl::Status added = parts_.watches.Add(node_, *this); !added.ok()) return End(added);
    Log(LogLevel::kInfo, "an agent is connected", {{"agent_id", node_.ToString()}});
    connected_ = true;
    Wake();
  }

  void Wake() override {
    if (absl::Status allowed = parts_.mesh.CheckAgent(node_, serial_); !allowed.ok()) return End(allowed);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (finished_ || end_) return;
      if (std::exchange(writing_, true)) {
        stale_ = true;
        return;
      }
    }
    WriteState();
  }

  void End(const absl::Status& why) override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (finished_ || end_) return;
      // Finish must wait for the write that is on its way.
      if (writing_) {
        end_ = why;
        return;
      }
      finished_ = true;
    }
    Finish(ToGrpcStatus(why));
  }

  void OnWriteDone(bool ok) override {
    absl::Status end;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (ok && !end_ && std::exchange(stale_, false)) {
        writing_ = true;
      } else {
        writing_ = false;
        if (!ok && !end_) end_ = absl::CancelledError("the agent is gone");
        if (!end_) return;
        end = *end_;
        if (std::exchange(finished_, true)) return;
      }
    }
    if (end.ok()) return WriteState();
    Finish(ToGrpcStatus(end));
  }

  void OnCancel() override { End(absl::CancelledError("the agent is gone")); }

  void OnDone() override {
    parts_.watches.Remove(node_, *this);
    if (!parts_.watches.IsConnected(node_)) parts_.reports.Drop(node_);
    if (connected_) Log(LogLevel::kInfo, "an agent is disconnected", {{"agent_id", node_.ToString()}});
    delete this;
  }

 private:
  // Only while writing_ is set: nobody else touches state_ then.
  void WriteState() {
    StartWrite(&state_.Update(parts_.registry.snapshot(), *parts_.mesh.snapshot(), parts_.clock.Now()));
  }

  const SpiffeId node_;
  const std::string serial_;
  const NodeStreamParts parts_;
  bool connected_ = false;  // of Begin and OnDone, which never meet
  NodeStateMessage state_;
  std::mutex mutex_;  // guards what follows
  bool writing_ = false;
  bool stale_ = false;  // the state changed after the write in progress was composed
  bool finished_ = false;
  std::optional<absl::Status> end_;
};

}  // namespace

grpc::ServerWriteReactor<NodeState>* NewNodeStream(absl::StatusOr<SpiffeId> node, std::string serial,
                                                   NodeStreamParts parts) {
  if (!node.ok()) return new RefusedStream(node.status());
  auto* stream = new NodeStream(*std::move(node), std::move(serial), parts);
  stream->Begin();
  return stream;
}

}  // namespace lanyard
