#include "identity/cli/admin_client.h"

#include <boost/asio/ip/tcp.hpp>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace lanyard {

absl::StatusOr<AdminAnswer> GetAdminPage(const std::string& address, const std::string& target,
                                         absl::Duration timeout) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon + 1 == address.size()) {
    return absl::InvalidArgumentError(absl::StrCat("'", address, "' is not an address with a port"));
  }
  absl::string_view host = absl::string_view(address).substr(0, colon);
  absl::ConsumePrefix(&host, "[");
  absl::ConsumeSuffix(&host, "]");
  boost::asio::ip::tcp::iostream stream;
  stream.expires_after(absl::ToChronoMicroseconds(timeout));
  stream.connect(std::string(host), address.substr(colon + 1));
  stream << "GET " << target << " HTTP/1.1\r\nHost: " << address << "\r\nConnection: close\r\n\r\n" << std::flush;
  std::string version, line;
  AdminAnswer answer;
  stream >> version >> answer.code;
  if (!stream) {
    const std::string why = stream.error() ? stream.error().message() : "it does not speak HTTP";
    return absl::UnavailableError(why);
  }
  while (std::getline(stream, line) && line != "\r") {
  }
  answer.body.assign(std::istreambuf_iterator<char>(stream), {});
  return answer;
}

}  // namespace lanyard
