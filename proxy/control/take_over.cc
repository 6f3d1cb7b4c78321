#include "proxy/control/take_over.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace lanyard {
namespace {

absl::Status GivenUp() {
  return absl::UnavailableError("the proxy before this one has given the upgrade up, or ended");
}

// What a message of the passage has room for, in whole lines.
std::string Shortened(absl::string_view why) {
  constexpr size_t kMaxBytes = Passage::kMaxMessageBytes - 256;
  if (why.size() <= kMaxBytes) return std::string(why);
  absl::string_view kept = why.substr(0, kMaxBytes);
  kept = kept.substr(0, kept.rfind('\n'));
  return absl::StrCat(kept, "\n  ... and ", why.size() - kept.size(),
                      " bytes more: `lanyard-proxy run --check-config` shows all");
}

}  // namespace

absl::StatusOr<std::unique_ptr<TakeOver>> TakeOver::Receive(Passage passage) {
  std::unique_ptr<TakeOver> take_over(new TakeOver(std::move(passage)));
  if (absl::Status received = take_over->ReceiveSockets(); !received.ok()) {
    take_over->Failed(received);
    return received;
  }
  return take_over;
}

absl::Status TakeOver::ReceiveSockets() {
  absl::StatusOr<Passage::Message> message = passage_.Receive(kTimeout);
  if (!message.ok()) {
    return absl::Status(message.status().code(), absl::StrCat("--take-over: ", message.status().message()));
  }
  if (message->text != kHandOverGreeting) {
    return absl::FailedPreconditionError(
        "the proxy before this one hands over in a way that this version does not know: restart it instead");
  }
  while (true) {
    message = passage_.Receive(kTimeout);
    if (!message.ok()) return message.status();
    if (message->text == "end") return absl::OkStatus();
    if (absl::Status added = Add(*std::move(message)); !added.ok()) return added;
  }
}

absl::Status TakeOver::Add(Passage::Message message) {
  const std::vector<std::string> parts = absl::StrSplit(message.text, '\n');
  const uint64_t cookie = SocketCookie(message.fd.get());
  if (parts.size() != 4 || parts[0] != "socket" || cookie == 0) {
    return absl::InvalidArgumentError("the proxy before this one passed what is no socket");
  }
  const bool known = std::any_of(sockets_.begin(), sockets_.end(),
                                 [&](const Socket& socket) { return SocketCookie(socket.fd.get()) == cookie; });
  if (known) return absl::OkStatus();
  if (sockets_.size() >= kMaxSockets) return absl::ResourceExhaustedError("too many sockets are passed");
  sockets_.push_back({parts[1], parts[2], parts[3], std::move(message.fd)});
  return absl::OkStatus();
}

std::vector<UniqueFd> TakeOver::Take(absl::string_view kind, absl::string_view name, absl::string_view address) {
  const bool chosen = absl::EndsWith(address, ":0");
  std::vector<UniqueFd> taken;
  for (Socket& socket : sockets_) {
    if (!socket.fd.valid() || socket.kind != kind || socket.address != address) continue;
    if (!chosen || socket.name == name) taken.push_back(std::move(socket.fd));
  }
  return taken;
}

absl::Status TakeOver::Wait(absl::string_view why) {
  if (last_wait_ != why) {
    last_wait_ = std::string(why);
    if (!passage_.Send(absl::StrCat("waiting\n", Shortened(why))).ok()) return GivenUp();
  }
  return absl::IsDeadlineExceeded(passage_.Receive(absl::ZeroDuration()).status()) ? absl::OkStatus() : GivenUp();
}

absl::Status TakeOver::Ready() {
  if (!passage_.Send("ready").ok()) return GivenUp();
  const absl::StatusOr<Passage::Message> answer = passage_.Receive(kTimeout);
  return answer.ok() && answer->text == "go" ? absl::OkStatus() : GivenUp();
}

std::vector<std::vector<UniqueFd>> DealSockets(std::vector<UniqueFd> sockets, size_t workers) {
  if (sockets.empty()) return {};
  const size_t count = sockets.size();
  while (sockets.size() < workers) {
    sockets.emplace_back(fcntl(sockets[sockets.size() % count].get(), F_DUPFD_CLOEXEC, 0));
  }
  std::vector<std::vector<UniqueFd>> dealt(workers);
  for (size_t i = 0; i < sockets.size(); ++i) dealt[i % workers].push_back(std::move(sockets[i]));
  return dealt;
}

void TakeOver::Serving() { passage_.Send("serving").IgnoreError(); }

void TakeOver::Failed(const absl::Status& why) {
  passage_.Send(absl::StrCat("failed\n", Shortened(why.message()))).IgnoreError();
}

}  // namespace lanyard
