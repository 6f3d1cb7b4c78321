#include "identity/cli/admin_client.h"

#include <boost/asio/ip/tcp.hpp>
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace lanyard {
namespace {

using Stream = boost::asio::ip::tcp::iostream;

// More would be no proxy of ours.
constexpr size_t kMaxHeadLineBytes = 8 << 10;
constexpr int kMaxHeadLines = 100;
constexpr size_t kMaxPageBytes = 64 << 20;
constexpr uint64_t kMaxChunkBytes = 16 << 20;
constexpr size_t kMaxLineBytes = 1 << 20;  // of a page that goes on

struct AnswerHead {
  int code = 0;
  bool chunked = false;
};

// Without its line break. False at the end, or where the line is longer than a line can be.
bool ReadLine(Stream& stream, std::string& line) {
  line.clear();
  for (int c = stream.get(); c != Stream::traits_type::eof(); c = stream.get()) {
    if (c == '\n') return true;
    if (line.size() == kMaxHeadLineBytes) return false;
    line.push_back(static_cast<char>(c));
  }
  return false;
}

// "HTTP/1.1 200 OK"; 0 where it is none.
int CodeOf(absl::string_view status_line) {
  const std::vector<absl::string_view> words = absl::StrSplit(absl::StripAsciiWhitespace(status_line), ' ');
  int code = 0;
  const bool is_http = words.size() >= 2 && absl::StartsWith(words[0], "HTTP/1.") && absl::SimpleAtoi(words[1], &code);
  return is_http ? code : 0;
}

// Why reading stopped before its end.
absl::Status Broken(const Stream& stream, absl::string_view otherwise) {
  if (stream.error() && stream.error() != boost::asio::error::eof) {
    return absl::UnavailableError(stream.error().message());
  }
  return absl::UnavailableError(otherwise);
}

absl::StatusOr<AnswerHead> Ask(Stream& stream, const std::string& address, const std::string& target,
                               absl::Duration timeout) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon + 1 == address.size()) {
    return absl::InvalidArgumentError(absl::StrCat("'", address, "' is no address with a port; write 127.0.0.1:15000"));
  }
  absl::string_view host = absl::string_view(address).substr(0, colon);
  absl::ConsumePrefix(&host, "[");
  absl::ConsumeSuffix(&host, "]");
  stream.expires_after(absl::ToChronoMicroseconds(timeout));
  stream.connect(std::string(host), address.substr(colon + 1));
  stream << "GET " << target << " HTTP/1.1\r\nHost: " << address << "\r\nConnection: close\r\n\r\n" << std::flush;
  AnswerHead head;
  std::string line;
  if (ReadLine(stream, line)) head.code = CodeOf(line);
  if (head.code == 0) return Broken(stream, "it does not speak HTTP");
  for (int lines = 0; lines < kMaxHeadLines && ReadLine(stream, line); ++lines) {
    if (line == "\r") return head;
    if (absl::EqualsIgnoreCase(absl::StripAsciiWhitespace(line), "Transfer-Encoding: chunked")) head.chunked = true;
  }
  return Broken(stream, "the head of its answer has no end");
}

// RFC 9112 section 7.1. False at the end, or where it is none.
bool ReadChunk(Stream& stream, std::string& chunk) {
  std::string line;
  uint64_t size = 0;
  if (!ReadLine(stream, line) || !absl::SimpleHexAtoi(absl::StripAsciiWhitespace(line), &size)) return false;
  if (size == 0 || size > kMaxChunkBytes) return false;
  chunk.resize(size);
  if (!stream.read(chunk.data(), static_cast<std::streamsize>(size))) return false;
  return ReadLine(stream, line);
}

// Of a page that may be anybody's.
absl::string_view FirstLine(absl::string_view page) {
  constexpr size_t kMaxShownBytes = 300;
  const absl::string_view text = absl::StripAsciiWhitespace(page);
  return text.substr(0, std::min(text.find('\n'), kMaxShownBytes));
}

absl::StatusOr<std::string> ReadPage(Stream& stream) {
  std::string page;
  char part[16 << 10];
  do {
    stream.read(part, sizeof(part));
    page.append(part, static_cast<size_t>(stream.gcount()));
    if (page.size() > kMaxPageBytes) {
      return absl::ResourceExhaustedError(absl::StrCat("its answer is larger than ", kMaxPageBytes, " bytes"));
    }
  } while (stream);
  if (stream.error() && stream.error() != boost::asio::error::eof) return Broken(stream, "");
  return page;
}

}  // namespace

absl::StatusOr<AdminAnswer> GetAdminPage(const std::string& address, const std::string& target,
                                         absl::Duration timeout) {
  Stream stream;
  const absl::StatusOr<AnswerHead> head = Ask(stream, address, target, timeout);
  if (!head.ok()) return head.status();
  absl::StatusOr<std::string> page = ReadPage(stream);
  if (!page.ok()) return page.status();
  return AdminAnswer{head->code, *std::move(page)};
}

absl::Status StreamAdminPage(const std::string& address, const std::string& target, absl::Duration timeout,
                             const std::function<bool(absl::string_view line)>& on_line) {
  Stream stream;
  const absl::StatusOr<AnswerHead> head = Ask(stream, address, target, timeout);
  if (!head.ok()) return head.status();
  if (head->code != 200 || !head->chunked) {
    const absl::StatusOr<std::string> said = ReadPage(stream);
    if (!said.ok()) return said.status();
    const std::string answer = absl::StrCat("it answered ", head->code, " ", FirstLine(*said));
    if (head->code == 400) return absl::InvalidArgumentError(answer);
    return absl::FailedPreconditionError(absl::StrCat(answer, " (is this a proxy's admin address?)"));
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
    if (rest.size() > kMaxLineBytes) {
      return absl::ResourceExhaustedError(absl::StrCat("a line of its answer has more than ", kMaxLineBytes, " bytes"));
    }
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
