#include "proxy/control/identity_files.h"

#include <sys/stat.h>

#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "identity/base/atomic_file.h"
#include "identity/base/secret.h"
#include "identity/spiffe/usable_bundle.h"

namespace lanyard {
namespace {

constexpr size_t kMaxFileSizeBytes = 1 << 20;

absl::Status Annotate(const absl::Status& status, const std::string& path) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

absl::StatusOr<UsableBundle> ReadBundle(const TrustDomain& trust_domain, const std::string& path) {
  const absl::StatusOr<std::string> pem = ReadFile(path, kMaxFileSizeBytes);
  if (!pem.ok()) return pem.status();
  absl::StatusOr<UsableBundle> bundle = ReadUsableBundlePem(trust_domain, *pem);
  if (!bundle.ok()) return Annotate(bundle.status(), path);
  return bundle;
}

absl::StatusOr<X509Svid> ReadSvid(const IdentityFiles& files) {
  const absl::StatusOr<std::string> chain = ReadFile(files.certificate, kMaxFileSizeBytes);
  if (!chain.ok()) return chain.status();
  absl::StatusOr<std::string> key = ReadFile(files.key, kMaxFileSizeBytes);
  if (!key.ok()) return key.status();
  const absl::Cleanup forget = [&key] { Cleanse({reinterpret_cast<uint8_t*>(key->data()), key->size()}); };
  absl::StatusOr<X509Svid> svid = X509Svid::ParsePem(*chain, *key);
  if (!svid.ok()) return Annotate(svid.status(), absl::StrCat(files.certificate, " with ", files.key));
  return svid;
}

}  // namespace

std::vector<std::string> IdentityFiles::Paths() const {
  std::vector<std::string> paths = {certificate, key, bundle};
  for (const auto& [trust_domain, path] : federated_bundles) paths.push_back(path);
  return paths;
}

absl::StatusOr<WorkloadIdentity> ReadIdentityFiles(const IdentityFiles& files) {
  absl::StatusOr<X509Svid> svid = ReadSvid(files);
  if (!svid.ok()) return svid.status();
  WorkloadIdentity identity;
  const auto add = [&identity](UsableBundle read) {
    identity.bundles.Set(std::move(read.bundle));
    identity.left_out.insert(identity.left_out.end(), read.left_out.begin(), read.left_out.end());
  };
  for (const auto& [trust_domain, path] : files.federated_bundles) {
    absl::StatusOr<UsableBundle> bundle = ReadBundle(trust_domain, path);
    if (bundle.ok()) {
      add(*std::move(bundle));
    } else if (absl::IsFailedPrecondition(bundle.status())) {
      // Certificates that another trust domain made must not cost this workload its identity. A file that is missing or
      // half written is a matter of this node: what is in force stays until it is whole.
      identity.left_out.push_back(std::string(bundle.status().message()));
    } else {
      return bundle.status();
    }
  }
  // Last: nothing may stand in for the bundle of the SVID's own trust domain.
  absl::StatusOr<UsableBundle> own = ReadBundle(svid->id().trust_domain(), files.bundle);
  if (!own.ok()) return own.status();
  add(*std::move(own));
  identity.svids.push_back(*std::move(svid));
  return identity;
}

bool KeyReadableByOthers(const IdentityFiles& files) {
  struct stat status;
  return stat(files.key.c_str(), &status) == 0 && (status.st_mode & S_IROTH) != 0;
}

}  // namespace lanyard
