#include "identity/policy/observed_proto.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

// Of a repeated message: its tag and its length, at most.
constexpr size_t kFrameBytes = 4;

bool IsPrintable(const std::string& text) {
  return text.size() <= kMaxObservedTextBytes &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) { return absl::ascii_isprint(c); });
}

absl::Status Check(const mesh::v1::ObservedCall& call) {
  const std::pair<const char*, const std::string*> ids[] = {{"local_id", &call.local_id()},
                                                            {"peer_id", &call.peer_id()}};
  for (const auto& [name, id] : ids) {
    if (id == &call.peer_id() && id->empty()) continue;
    if (const auto parsed = SpiffeId::Parse(*id); !parsed.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ": ", parsed.status().message()));
    }
  }
  if (!IsPrintable(call.destination()) || !IsPrintable(call.rule())) {
    return absl::InvalidArgumentError(absl::StrCat("destination or rule is not plain text of at most ",
                                                   kMaxObservedTextBytes, " bytes"));
  }
  if (call.port() > 65535) return absl::InvalidArgumentError(absl::StrCat("port is ", call.port(), ": at most 65535"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ObservedTuple> ObservedTupleFromProto(const mesh::v1::ObservedCall& call) {
  if (const absl::Status good = Check(call); !good.ok()) return good;
  ObservedTuple tuple;
  tuple.inbound = call.inbound();
  tuple.local_id = call.local_id();
  tuple.peer_id = call.peer_id();
  tuple.destination = call.destination();
  tuple.port = static_cast<uint16_t>(call.port());
  tuple.captured = true;
  tuple.allowed = call.allowed();
  tuple.rule = call.rule();
  tuple.count = call.count();
  tuple.last_seen = absl::FromUnixSeconds(call.last_seen_unix());
  return tuple;
}

mesh::v1::ObservedCall ToProto(const ObservedTuple& tuple) {
  mesh::v1::ObservedCall call;
  call.set_inbound(tuple.inbound);
  call.set_local_id(tuple.local_id);
  call.set_peer_id(tuple.peer_id);
  call.set_destination(tuple.destination);
  call.set_port(tuple.port);
  call.set_allowed(tuple.allowed);
  call.set_rule(tuple.rule);
  call.set_count(tuple.count);
  call.set_last_seen_unix(absl::ToUnixSeconds(tuple.last_seen));
  return call;
}

void KeepOwnCalls(absl::FunctionRef<bool(const SpiffeId&)> is_own, mesh::v1::Observed& observed) {
  google::protobuf::RepeatedPtrField<mesh::v1::ObservedCall> all;
  all.Swap(observed.mutable_calls());
  size_t size_bytes = 0;
  uint64_t left_out = 0;
  for (mesh::v1::ObservedCall& call : all) {
    const size_t with_this_bytes = size_bytes + call.ByteSizeLong() + kFrameBytes;
    if (observed.calls_size() >= kMaxObservedCalls || with_this_bytes > kMaxObservedBytes || !Check(call).ok() ||
        !is_own(*SpiffeId::Parse(call.local_id()))) {
      ++left_out;
      continue;
    }
    size_bytes = with_this_bytes;
    observed.add_calls()->Swap(&call);
  }
  observed.set_left_out(observed.left_out() + left_out);
}

}  // namespace lanyard
