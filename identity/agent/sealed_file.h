// A file that only this data_dir's key opens: AES-256-GCM, replaced in one step, mode 0600.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "identity/base/random.h"
#include "identity/base/secret.h"

namespace lanyard {

// 32 random bytes in a file of mode 0600, made on first use. Sealing under a key that lies in the same folder detects
// damage and keeps private keys out of copies of the sealed files alone; the folder's mode keeps other users out.
absl::StatusOr<Secret> LoadOrCreateSealingKey(const std::string& path, Random& random);

// Thread-compatible. The file's name is authenticated with its content: one cannot stand in for another.
class SealedFile {
 public:
  // `key` is 32 bytes; borrowed, as `random` is.
  SealedFile(std::string path, const Secret& key, Random& random)
      : path_(std::move(path)), key_(key), random_(random) {}

  const std::string& path() const { return path_; }

  // NotFound; DataLoss when it was damaged, or sealed under another key or name.
  absl::StatusOr<Secret> Read() const;
  absl::Status Write(absl::Span<const uint8_t> content) const;

 private:
  std::string Name() const;

  std::string path_;
  const Secret& key_;
  Random& random_;
};

}  // namespace lanyard
