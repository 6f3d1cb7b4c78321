#include "proxy/control/kept_view.h"

#include <openssl/sha.h>
#include <sys/types.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "identity/base/atomic_file.h"
#include "proxy/control/mesh_view_proto.h"

namespace lanyard {
namespace {

constexpr absl::string_view kForm = "lanyard-view 1 ";
constexpr mode_t kMode = 0600;

std::string HeaderOf(absl::string_view view_bytes) {
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(view_bytes.data()), view_bytes.size(), digest);
  const absl::string_view text(reinterpret_cast<const char*>(digest), sizeof(digest));
  return absl::StrCat(kForm, absl::BytesToHexString(text), "\n");
}

}  // namespace

std::string EncodeKeptView(absl::string_view view_bytes) { return absl::StrCat(HeaderOf(view_bytes), view_bytes); }

absl::StatusOr<std::shared_ptr<const MeshUpdate>> DecodeKeptView(absl::string_view file) {
  const size_t line = file.find('\n');
  if (line == absl::string_view::npos || !absl::StartsWith(file, kForm)) {
    return absl::DataLossError("it is not in the form this version of the proxy writes");
  }
  const absl::string_view bytes = file.substr(line + 1);
  if (file.substr(0, line + 1) != HeaderOf(bytes)) return absl::DataLossError("its bytes are not those that were kept");
  return ParseView(bytes);
}

absl::Status WriteKeptView(const std::string& path, const MeshUpdate& view) {
  std::error_code ignored;  // the write says what is wrong
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  // Whatever the umask is, what was written here is to be read again.
  if (std::filesystem::create_directories(folder, ignored)) {
    std::filesystem::permissions(folder, std::filesystem::perms::owner_all, ignored);
  }
  return WriteFileAtomically(path, EncodeKeptView(view.bytes), kMode);
}

absl::StatusOr<std::shared_ptr<const MeshUpdate>> ReadKeptView(const std::string& path) {
  // What is in it decides who may call: as private as the configuration itself.
  const absl::StatusOr<std::string> file = ReadOwnFile(path, kMaxViewBytes + 1024);
  if (!file.ok()) return file.status();
  auto view = DecodeKeptView(*file);
  if (!view.ok()) return absl::Status(view.status().code(), absl::StrCat(path, ": ", view.status().message()));
  return view;
}

}  // namespace lanyard
