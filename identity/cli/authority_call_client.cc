#include "identity/cli/authority_call_client.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/strip.h"

namespace lanyard {
namespace {

// Rules and bans of a large mesh are listed in one answer.
constexpr int kMaxAnswerSizeBytes = 256 << 20;

// gRPC tells of an absent, refused and dead socket in the same words; the file system knows better.
std::string WhyUnreachable(const std::string& path) {
  struct stat facts;
  if (stat(path.c_str(), &facts) != 0) return strerror(errno);
  if (!S_ISSOCK(facts.st_mode)) return "not a socket";
  if (access(path.c_str(), W_OK) != 0) return strerror(errno);
  return "nobody answers";
}

}  // namespace

AuthorityConnection ConnectToAuthority(const std::string& socket_path, absl::Duration timeout) {
  // What people write as an address elsewhere means the same path here.
  absl::string_view path = socket_path;
  if (!absl::ConsumePrefix(&path, "unix://")) absl::ConsumePrefix(&path, "unix:");
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxAnswerSizeBytes);
  return {std::string(path), timeout,
          grpc::CreateCustomChannel(absl::StrCat("unix:", path), grpc::InsecureChannelCredentials(), arguments)};
}

absl::Status ExplainAuthorityError(const AuthorityConnection& connection, const grpc::Status& status) {
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  if (code == absl::StatusCode::kUnavailable) {
    return absl::UnavailableError(
        absl::StrCat("the authority cannot be reached at ", connection.path, " (", WhyUnreachable(connection.path),
                     "): start lanyard-authority, name its socket with --authority-socket, or run this as its user"));
  }
  if (code == absl::StatusCode::kDeadlineExceeded) {
    return absl::DeadlineExceededError(absl::StrCat("the authority at ", connection.path, " did not answer within ",
                                                    absl::FormatDuration(connection.timeout),
                                                    ": see its log, or raise --timeout"));
  }
  return absl::Status(code, status.error_message());
}

}  // namespace lanyard
