#include "identity/admin/admin_server.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <list>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace lanyard {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;

constexpr absl::Duration kAcceptRetry = absl::Milliseconds(200);

// "10.0.0.1", "[::1]", "::1".
absl::StatusOr<asio::ip::address> AddressOf(absl::string_view text) {
  absl::string_view inner = text;
  if (absl::ConsumePrefix(&inner, "[") && !absl::ConsumeSuffix(&inner, "]")) {
    return absl::InvalidArgumentError("a bracket is not closed");
  }
  error_code error;
  const asio::ip::address address = asio::ip::make_address(std::string(inner), error);
  if (error) return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not an IP address"));
  return address;
}

absl::StatusOr<tcp::endpoint> EndpointOf(const std::string& text) {
  const size_t colon = text.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(text.substr(colon + 1), &port) || port < 0 || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not an address with a port"));
  }
  const absl::StatusOr<asio::ip::address> address = AddressOf(absl::string_view(text).substr(0, colon));
  if (!address.ok()) return address.status();
  return tcp::endpoint(*address, static_cast<uint16_t>(port));
}

std::string TextOf(const tcp::endpoint& endpoint) {
  const std::string address = endpoint.address().to_string();
  const bool v6 = endpoint.address().is_v6();
  return absl::StrCat(v6 ? "[" : "", address, v6 ? "]" : "", ":", endpoint.port());
}

int StatusOfParseError(const error_code& error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) return 431;
  if (error == http::error::body_limit || error == http::error::unexpected_body) return 413;
  return 400;
}

bool IsParseError(const error_code& error) {
  return error.category() == make_error_code(http::error::end_of_stream).category() &&
         error != http::error::end_of_stream && error != http::error::partial_message;
}

}  // namespace

bool IsDirectHost(absl::string_view host) {
  const size_t colon = host.rfind(':');
  const bool has_port = colon != absl::string_view::npos && host.find(']', colon) == absl::string_view::npos;
  const absl::string_view name = has_port ? host.substr(0, colon) : host;
  if (name.empty()) return false;
  return absl::EqualsIgnoreCase(name, "localhost") || AddressOf(name).ok();
}

class AdminSession;

struct AdminServer::State : std::enable_shared_from_this<State> {
  State(asio::io_context& context, Options options)
      : context(context), options(std::move(options)), acceptor(context), retry(context) {}

  absl::Status Listen();
  absl::Status Adopt(int listening);
  void Accept();
  void Admit(tcp::socket socket);
  void Remove(AdminSession* session);

  asio::io_context& context;
  const Options options;
  tcp::acceptor acceptor;
  asio::steady_timer retry;
  std::list<std::shared_ptr<AdminSession>> sessions;  // oldest first
};

// One connection: reads a request whole, asks the handler, writes, reads the next. Requests that
// arrive in one go (pipelining) are answered one after the other.
class AdminSession : public std::enable_shared_from_this<AdminSession> {
 public:
  AdminSession(std::shared_ptr<AdminServer::State> server, tcp::socket socket)
      : server_(std::move(server)), stream_(std::move(socket)), buffer_(server_->options.max_header_bytes * 2) {}

  bool waiting_for_request() const { return waiting_for_request_; }

  void Read() {
    waiting_for_request_ = true;
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(server_->options.max_header_bytes));
    ExpiresSoon();
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](const error_code& error, size_t) { self->OnRead(error); });
  }

  void Close() {
    body_ = nullptr;
    stream_.close();
  }

 private:
  void ExpiresSoon() { stream_.expires_after(absl::ToChronoNanoseconds(server_->options.timeout)); }

  void OnRead(const error_code& error) {
    waiting_for_request_ = false;
    if (error && !IsParseError(error)) return server_->Remove(this);
    const http::request<http::empty_body>& request = parser_->get();
    keep_alive_ = !error && parser_->keep_alive();
    head_only_ = request.method() == http::verb::head;
    version_ = error ? 11 : request.version();
    if (error) return Write({StatusOfParseError(error), AdminResponse().content_type, error.message() + "\n"});
    if (request.method() != http::verb::get && !head_only_) {
      return Write({405, AdminResponse().content_type, "only GET and HEAD\n"});
    }
    const auto host = request.find(http::field::host);
    // A browser always sends Host; HTTP/1.0 tools may not.
    const bool direct =
        host == request.end() ? version_ == 10 : IsDirectHost({host->value().data(), host->value().size()});
    if (!direct)
      return Write({403, AdminResponse().content_type, "the Host header must be an IP address or localhost\n"});
    const absl::string_view target(request.target().data(), request.target().size());
    const size_t mark = std::min(target.find('?'), target.size());
    const absl::string_view query = absl::StripPrefix(target.substr(mark), "?");
    server_->options.handler({std::string(target.substr(0, mark)), std::string(query)}, Responder());
  }

  AdminServer::Respond Responder() {
    return [weak = weak_from_this(), context = &server_->context](AdminResponse response) {
      asio::post(*context, [weak, response = std::move(response)]() mutable {
        if (const std::shared_ptr<AdminSession> self = weak.lock()) self->Write(std::move(response));
      });
    };
  }

  void Write(AdminResponse response) {
    if (response.stream != nullptr) return WriteStream(std::move(response));
    response_ = {};
    response_.version(version_);
    response_.result(static_cast<unsigned>(response.status));
    response_.set(http::field::content_type, response.content_type);
    response_.set(http::field::cache_control, "no-store");
    response_.set("X-Content-Type-Options", "nosniff");
    if (response.status == 405) response_.set(http::field::allow, "GET, HEAD");
    response_.keep_alive(keep_alive_);
    response_.body() = std::move(response.body);
    response_.prepare_payload();
    serializer_.emplace(response_);
    ExpiresSoon();
    const auto done = [self = shared_from_this()](const error_code& error, size_t) { self->OnWritten(error); };
    if (head_only_) {
      http::async_write_header(stream_, *serializer_, done);
    } else {
      http::async_write(stream_, *serializer_, done);
    }
  }

  void OnWritten(const error_code& error) {
    response_.body() = std::string();
    if (!error && keep_alive_) return Read();
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    server_->Remove(this);
  }

  // A stream has the connection for itself, and until its reader leaves.
  void WriteStream(AdminResponse response) {
    if (version_ != 11) {
      return Write({400, AdminResponse().content_type, "this page has no end: ask for it by HTTP/1.1\n"});
    }
    body_ = head_only_ ? nullptr : std::move(response.stream);
    stream_head_ = {};
    stream_head_.version(version_);
    stream_head_.result(static_cast<unsigned>(response.status));
    stream_head_.set(http::field::content_type, response.content_type);
    stream_head_.set(http::field::cache_control, "no-store");
    stream_head_.set("X-Content-Type-Options", "nosniff");
    stream_head_.keep_alive(false);
    stream_head_.chunked(true);
    stream_serializer_.emplace(stream_head_);
    ExpiresSoon();
    const auto begin = [self = shared_from_this()](const error_code& error, size_t) { self->BeginStream(error); };
    http::async_write_header(stream_, *stream_serializer_, begin);
  }

  void BeginStream(const error_code& error) {
    if (error || body_ == nullptr) return EndStream();
    WatchForItsEnd();
    body_->OnMore([weak = weak_from_this()] {
      if (const std::shared_ptr<AdminSession> self = weak.lock()) self->WritePart();
    });
    WritePart();
  }

  void WritePart() {
    if (part_under_way_ || body_ == nullptr) return;
    part_ = body_->Take();
    if (part_.empty()) return;
    part_under_way_ = true;
    stream_.expires_after(absl::ToChronoNanoseconds(server_->options.stream_timeout));
    asio::async_write(stream_, http::make_chunk(asio::buffer(part_)),
                      [self = shared_from_this()](const error_code& error, size_t) {
                        self->part_under_way_ = false;
                        if (error) return self->EndStream();
                        self->WritePart();
                      });
  }

  // Whoever reads a stream has nothing more to say; what is read is the end.
  void WatchForItsEnd() {
    stream_.socket().async_read_some(asio::buffer(ignored_),
                                     [self = shared_from_this()](const error_code&, size_t) { self->EndStream(); });
  }

  void EndStream() {
    body_ = nullptr;
    stream_.close();
    server_->Remove(this);
  }

  const std::shared_ptr<AdminServer::State> server_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::empty_body>> parser_;
  http::response<http::string_body> response_;
  std::optional<http::response_serializer<http::string_body>> serializer_;
  http::response<http::empty_body> stream_head_;
  std::optional<http::response_serializer<http::empty_body>> stream_serializer_;
  std::shared_ptr<AdminStream> body_;
  std::string part_;
  std::array<char, 64> ignored_;
  bool part_under_way_ = false;
  unsigned version_ = 11;
  bool waiting_for_request_ = false;
  bool keep_alive_ = false;
  bool head_only_ = false;
};

absl::Status AdminServer::State::Listen() {
  const absl::StatusOr<tcp::endpoint> endpoint = EndpointOf(options.address);
  if (!endpoint.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("admin.address: ", endpoint.status().message()));
  }
  error_code error;
  acceptor.open(endpoint->protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(*endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("cannot listen on admin.address ", options.address, ": ",
                                             error.message(), "; stop what uses it, or choose another"));
}

absl::Status AdminServer::State::Adopt(int listening) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  error_code error(asio::error::bad_descriptor);
  const int own = fcntl(listening, F_DUPFD_CLOEXEC, 0);
  if (own >= 0 && getsockname(own, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    acceptor.assign(address.ss_family == AF_INET6 ? tcp::v6() : tcp::v4(), own, error);
  }
  if (!error) return absl::OkStatus();
  if (own >= 0) close(own);
  return absl::UnavailableError(absl::StrCat("cannot take over what listens on ", options.address, ": ",
                                             error.message()));
}

void AdminServer::State::Accept() {
  acceptor.async_accept([weak = weak_from_this()](const error_code& error, tcp::socket socket) {
    const std::shared_ptr<State> self = weak.lock();
    if (self == nullptr || error == asio::error::operation_aborted) return;
    if (!error) {
      self->Admit(std::move(socket));
      return self->Accept();
    }
    // Out of descriptors, most likely: trying again at once would only burn time.
    self->retry.expires_after(absl::ToChronoNanoseconds(kAcceptRetry));
    self->retry.async_wait([weak](const error_code& cancelled) {
      const std::shared_ptr<State> again = weak.lock();
      if (!cancelled && again != nullptr) again->Accept();
    });
  });
}

void AdminServer::State::Admit(tcp::socket socket) {
  if (sessions.size() >= options.max_connections) {
    const auto oldest = std::find_if(sessions.begin(), sessions.end(),
                                     [](const auto& session) { return session->waiting_for_request(); });
    if (oldest == sessions.end()) return;
    const std::shared_ptr<AdminSession> evicted = *oldest;
    sessions.erase(oldest);
    evicted->Close();
  }
  sessions.push_back(std::make_shared<AdminSession>(shared_from_this(), std::move(socket)));
  sessions.back()->Read();
}

void AdminServer::State::Remove(AdminSession* session) {
  sessions.remove_if([session](const auto& held) { return held.get() == session; });
}

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Create(asio::io_context& context, Options options) {
  auto state = std::make_shared<State>(context, std::move(options));
  if (const absl::Status status = state->Listen(); !status.ok()) return status;
  state->Accept();
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(state)));
}

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Adopt(asio::io_context& context, Options options,
                                                                int listening) {
  auto state = std::make_shared<State>(context, std::move(options));
  if (const absl::Status status = state->Adopt(listening); !status.ok()) return status;
  state->Accept();
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(state)));
}

AdminServer::AdminServer(std::shared_ptr<State> state) : state_(std::move(state)) {}

AdminServer::~AdminServer() {
  // Sessions hold the state, and pending operations hold sessions: closing ends both.
  error_code ignored;
  state_->acceptor.close(ignored);
  for (const auto& session : state_->sessions) session->Close();
  state_->sessions.clear();
}

std::string AdminServer::address() const { return TextOf(state_->acceptor.local_endpoint()); }

bool AdminServer::is_loopback() const { return state_->acceptor.local_endpoint().address().is_loopback(); }

int AdminServer::listening() const { return state_->acceptor.native_handle(); }

// The socket lives on in the other process, so that closing it would not take it out of our epoll set: release does.
void AdminServer::Leave() {
  error_code error;
  const int fd = state_->acceptor.release(error);
  if (!error) close(fd);
}

}  // namespace lanyard
