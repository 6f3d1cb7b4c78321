#include "proxy/io/resolver.h"

#include <netdb.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

absl::Status NotADestination(absl::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is not a destination; write 10.0.0.1:80, [fd00::1]:80 or name:80"));
}

bool IsHostName(absl::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  bool letter = false;
  for (char c : host) {
    const bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    letter |= alpha;
    if (!alpha && !(c >= '0' && c <= '9') && c != '.' && c != '-' && c != '_') return false;
  }
  return letter;
}

absl::StatusOr<std::vector<SocketAddress>> LookUp(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::NotFoundError(absl::StrCat("the name ", host, " was not resolved: ", gai_strerror(error)));
  }
  std::vector<SocketAddress> addresses;
  for (addrinfo* each = found; each != nullptr; each = each->ai_next) {
    sockaddr_storage storage{};
    std::copy_n(reinterpret_cast<const char*>(each->ai_addr), each->ai_addrlen, reinterpret_cast<char*>(&storage));
    addresses.push_back(SocketAddress::FromSockaddr(storage));
  }
  freeaddrinfo(found);
  if (addresses.empty()) return absl::NotFoundError(absl::StrCat("the name ", host, " has no address"));
  return addresses;
}

}  // namespace

absl::StatusOr<Destination> Destination::Parse(absl::string_view text) {
  Destination destination;
  destination.text_ = std::string(text);
  absl::StatusOr<SocketAddress> numeric = SocketAddress::Parse(text);
  if (numeric.ok() && !text.empty() && text.front() != ':') {
    if (numeric->port() == 0) return NotADestination(text);
    destination.numeric_.push_back(*numeric);
    destination.host_ = numeric->HostString();
    destination.port_ = numeric->port();
    return destination;
  }
  const size_t colon = text.rfind(':');
  int port = 0;
  if (colon == absl::string_view::npos || !IsHostName(text.substr(0, colon)) ||
      !absl::SimpleAtoi(text.substr(colon + 1), &port) || port <= 0 || port > 65535) {
    return NotADestination(text);
  }
  destination.host_ = std::string(text.substr(0, colon));
  destination.port_ = static_cast<uint16_t>(port);
  return destination;
}

// Shared with the thread, which may outlive the resolver inside a lookup that hangs.
struct Resolver::State {
  struct Question {
    std::string host;
    uint16_t port;
    Answer answer;
  };
  std::mutex mutex;
  std::condition_variable wake;
  std::deque<Question> questions;
  EventLoop* loop = nullptr;  // null once the resolver is gone
  bool started = false;

  static void Run(const std::shared_ptr<State>& state);
};

void Resolver::State::Run(const std::shared_ptr<State>& state) {
  for (;;) {
    std::unique_lock<std::mutex> lock(state->mutex);
    state->wake.wait(lock, [&] { return state->loop == nullptr || !state->questions.empty(); });
    if (state->loop == nullptr) return;
    Question question = std::move(state->questions.front());
    state->questions.pop_front();
    lock.unlock();
    auto addresses = LookUp(question.host, question.port);
    lock.lock();
    if (state->loop == nullptr) return;
    state->loop->Post([answer = std::move(question.answer), addresses = std::move(addresses)] { answer(addresses); });
  }
}

Resolver::Resolver(EventLoop* loop) : state_(std::make_shared<State>()) { state_->loop = loop; }

Resolver::~Resolver() {
  std::lock_guard<std::mutex> lock(state_->mutex);
  state_->loop = nullptr;
  state_->questions.clear();
  state_->wake.notify_all();
}

void Resolver::Resolve(const Destination& destination, Answer answer) {
  std::lock_guard<std::mutex> lock(state_->mutex);
  if (destination.is_numeric()) {
    return state_->loop->Post([answer = std::move(answer), addresses = destination.numeric()] { answer(addresses); });
  }
  if (state_->questions.size() >= kMaxWaiting) {
    return state_->loop->Post([answer = std::move(answer)] {
      answer(absl::ResourceExhaustedError("too many names wait to be resolved; is the name server reachable?"));
    });
  }
  state_->questions.push_back({destination.host(), destination.port(), std::move(answer)});
  if (!std::exchange(state_->started, true)) std::thread(&State::Run, state_).detach();
  state_->wake.notify_one();
}

}  // namespace lanyard
