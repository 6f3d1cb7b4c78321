// The signing authorities with their keys, as one sealed file.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "identity/authority/ca_hierarchy.h"
#include "identity/base/random.h"
#include "identity/base/secret.h"
#include "identity/spiffe/trust_domain.h"

namespace lanyard {

// Not thread-safe; one owner. Borrows `random`.
class CaKeys {
 public:
  // Reads the sealing key, or makes both it and the promise of a new `path` on a first start (neither file
  // exists). FailedPrecondition when only the sealed file is there: without its key it is lost.
  static absl::StatusOr<CaKeys> Open(std::string path, std::string sealing_key_path, TrustDomain trust_domain,
                                     Random& random);

  // True until the first Save.
  bool empty() const { return empty_; }
  absl::StatusOr<std::vector<CaAuthority>> Load() const;
  // Durable on return; on failure the old content stands.
  absl::Status Save(const std::vector<CaAuthority>& authorities);

 private:
  CaKeys(std::string path, TrustDomain trust_domain, Secret sealing_key, bool empty, Random& random)
      : path_(std::move(path)),
        trust_domain_(std::move(trust_domain)),
        sealing_key_(std::move(sealing_key)),
        empty_(empty),
        random_(&random) {}
  std::string path_;
  TrustDomain trust_domain_;
  Secret sealing_key_;
  bool empty_;
  Random* random_;
};

// The plaintext: for CaKeys and its tests.
absl::StatusOr<Secret> EncodeCaAuthorities(const std::vector<CaAuthority>& authorities);
absl::StatusOr<std::vector<CaAuthority>> DecodeCaAuthorities(const Secret& plaintext);

}  // namespace lanyard
