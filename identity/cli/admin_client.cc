#include "identity/cli/admin_client.h"

#include <boost/asio/ip/tcp.hpp>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace lanyard {
namespace {

using Stream = boost::asio::ip::tcp::iostream;

// More in one part would be no proxy of ours.
constexpr uint64_t kMaxChunkBytes = 16 << 20;

struct AnswerHead {
  int code = 0;
  bool chunked = false;
};

absl::StatusOr<AnswerHead> Ask(Stream& stream, const std::string& address, const std::string& target,
                               absl::Duration timeout) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon + 1 == address.size()) {
    return absl::InvalidArgumentError(absl::StrCat("'", address, "' is not an address with a port"));
  }
  absl::string_view host = absl::string_view(address).substr(0, colon);
  absl::ConsumePrefix(&host, "[");
  absl::ConsumeSuffix(&host, "]");
  stream.expires_after(absl::ToChronoMicroseconds(timeout));
  stream.connect(std::string(host), address.substr(colon + 1));
  stream << "GET " << target << " HTTP/1.1\r\nHost: " << address << "\r\nConnection: close\r\n\r\n" << std::flush;
  std::string version, line;
  AnswerHead head;
  stream >> version >> head.code;
  if (!stream) {
    const std::string why = stream.error() ? stream.error().message() : "it does not speak HTTP";
    return absl::UnavailableError(why);
  }
  while (std::getline(stream, line) && line != "\r") {
    if (absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(line), "Transfer-Encoding: chunked")) head.chunked = true;
  }
  return head;
}

// RFC 9112 section 7.1. False at the end, or where it is none.
bool ReadChunk(Stream& stream, std::string& chunk) {
  std::string line;
  uint64_t size = 0;
  if (!std::getline(stream, line) || !absl::SimpleHexAtoi(absl::StripAsciiWhitespace(line), &size)) return false;
  if (size == 0 || size > kMaxChunkBytes) return false;
  chunk.resize(size);
  if (!stream.read(chunk.data(), static_cast<std::streamsize>(size))) return false;
  return static_cast<bool>(std::getline(stream, line));
}

}  // namespace

absl::StatusOr<AdminAnswer> GetAdminPage(const std::string& address, const std::string& target,
                                         absl::Duration timeout) {
  Stream stream;
  const absl::StatusOr<AnswerHead> head = Ask(stream, address, target, timeout);
  if (!head.ok()) return head.status();
  AdminAnswer answer{head->code, {}};
  answer.body.assign(std::istreambuf_iterator<char>(stream), {});
  return answer;
}

absl::Status StreamAdminPage(const std::string& address, const std::string& target, absl::Duration timeout,
                             const std::function<bool(absl::string_view line)>& on_line) {
  Stream stream;
  const absl::StatusOr<AnswerHead> head = Ask(stream, address, target, timeout);
  if (!head.ok()) return head.status();
  if (head->code != 200 || !head->chunked) {
    const std::string said(std::istreambuf_iterator<char>(stream), {});
    return absl::FailedPreconditionError(
        absl::StrCat("it answered ", head->code, " ", absl::StripAsciiWhitespace(said)));
  }
  stream.expires_at(std::chrono::steady_clock::time_point::max());
  std::string chunk, rest;
  while (ReadChunk(stream, chunk)) {
    rest += chunk;
    size_t begin = 0, end;
    while ((end = rest.find('\n', begin)) != std::string::npos) {
      if (!on_line(absl::string_view(rest).substr(begin, end - begin))) return absl::OkStatus();
      begin = end + 1;
    }
    rest.erase(0, begin);
  }
  return absl::UnavailableError("the proxy ended the connection");
}

std::string QueryEscaped(absl::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      escaped.push_back(c);
    } else {
      absl::StrAppendFormat(&escaped, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return escaped;
}

}  // namespace lanyard
