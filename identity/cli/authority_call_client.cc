#include "identity/cli/authority_call_client.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/strip.h"
#include "identity/base/clock.h"

namespace lanyard {
namespace {

// Rules and bans of a large mesh are listed in one answer.
constexpr int kMaxAnswerSizeBytes = 256 << 20;
// A socket on the same machine costs nothing to try. (gRPC's least backoff is also the time that one attempt has, so
// it stays as it is: a busy authority may take longer than this to answer.)
constexpr int kReconnectMs = 100;
constexpr char kNobody[] = "nobody answers";

// gRPC tells of an absent, refused and dead socket in the same words; the file system knows better.
std::string WhyUnreachable(const std::string& path) {
  struct stat facts;
  if (stat(path.c_str(), &facts) != 0) return strerror(errno);
  if (!S_ISSOCK(facts.st_mode)) return "not a socket";
  if (access(path.c_str(), W_OK) != 0) return strerror(errno);
  return kNobody;
}

}  // namespace

AuthorityConnection ConnectToAuthority(const std::string& socket_path, absl::Duration timeout, absl::Duration wait) {
  // What people write as an address elsewhere means the same path here.
  absl::string_view path = socket_path;
  if (!absl::ConsumePrefix(&path, "unix://")) absl::ConsumePrefix(&path, "unix:");
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxAnswerSizeBytes);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kReconnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kReconnectMs);
  return {std::string(path), timeout, wait,
          grpc::CreateCustomChannel(absl::StrCat("unix:", path), grpc::InsecureChannelCredentials(), arguments)};
}

void SetPatience(const AuthorityConnection& connection, grpc::ClientContext& context) {
  context.set_deadline(absl::ToChronoTime(SystemClock().Now() + connection.wait + connection.timeout));
  context.set_wait_for_ready(connection.wait > absl::ZeroDuration());
}

absl::Status ExplainAuthorityError(const AuthorityConnection& connection, const grpc::Status& status) {
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  const bool waited_in_vain = code == absl::StatusCode::kDeadlineExceeded &&
                              connection.wait > absl::ZeroDuration() && WhyUnreachable(connection.path) != kNobody;
  if (code == absl::StatusCode::kUnavailable || waited_in_vain) {
    return absl::UnavailableError(
        absl::StrCat("the authority cannot be reached at ", connection.path, " (", WhyUnreachable(connection.path),
                     "): start lanyard-authority (--wait 10s waits for it), name its socket with --authority-socket, "
                     "or run this as its user"));
  }
  if (code == absl::StatusCode::kDeadlineExceeded) {
    return absl::DeadlineExceededError(absl::StrCat("the authority at ", connection.path, " did not answer within ",
                                                    absl::FormatDuration(connection.timeout),
                                                    ": see its log, or raise --timeout"));
  }
  return absl::Status(code, status.error_message());
}

}  // namespace lanyard
