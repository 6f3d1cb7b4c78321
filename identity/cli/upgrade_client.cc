#include "identity/cli/upgrade_client.h"

#include <boost/asio/local/stream_protocol.hpp>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

using Local = boost::asio::local::stream_protocol;

// Beyond what the proxy itself waits for its successor.
constexpr absl::Duration kGrace = absl::Seconds(30);
constexpr size_t kMaxPathBytes = 107;

}  // namespace

absl::StatusOr<pid_t> UpgradeProxy(const std::string& socket, const UpgradeOrder& order) {
  if (socket.empty() || socket.size() > kMaxPathBytes) {
    return absl::InvalidArgumentError(absl::StrCat("'", socket, "' cannot be a socket's path"));
  }
  const nlohmann::ordered_json request = {{"binary", order.binary},
                                          {"config", order.config},
                                          {"timeout_ms", absl::ToInt64Milliseconds(order.timeout)}};
  Local::iostream stream;
  stream.expires_after(absl::ToChronoMicroseconds(order.timeout + kGrace));
  stream.connect(Local::endpoint(socket));
  stream << request.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n" << std::flush;
  std::string line;
  std::getline(stream, line);
  if (line.empty()) {
    const std::string why = stream.error() ? stream.error().message() : "it hung up";
    return absl::UnavailableError(absl::StrCat("no proxy takes orders at ", socket, ": ", why,
                                               "; only its own user and root may give any"));
  }
  const auto answer = nlohmann::json::parse(line, nullptr, false);
  if (answer.is_object() && answer.contains("pid") && answer["pid"].is_number_integer()) {
    return answer["pid"].get<pid_t>();
  }
  const bool said = answer.is_object() && answer.contains("error") && answer["error"].is_string();
  return absl::FailedPreconditionError(
      absl::StrCat("not upgraded, the proxy goes on as it was: ",
                   said ? answer["error"].get<std::string>() : "its answer makes no sense"));
}

absl::StatusOr<std::string> UpgradeSocketOf(const std::string& page) {
  const auto answer = nlohmann::json::parse(page, nullptr, false);
  if (!answer.is_object() || !answer.contains("socket")) {
    return absl::FailedPreconditionError("the proxy does not know what an upgrade is: restart it with the new version");
  }
  if (!answer["socket"].is_string()) {
    return absl::FailedPreconditionError(
        "the proxy has no socket for this: set upgrade.socket in its configuration (or RuntimeDirectory= in its unit), "
        "and restart it once");
  }
  return answer["socket"].get<std::string>();
}

}  // namespace lanyard
