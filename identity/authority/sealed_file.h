// Bytes at rest under AES-256-GCM. Format, version 1:
//   "LANYARD-SEALED\0" (15 bytes) | version (1 byte) | nonce (12 bytes) | ciphertext and tag (16 bytes)
// Everything before the ciphertext, and a context (the trust domain), is authenticated with it.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "identity/base/random.h"
#include "identity/base/secret.h"

namespace lanyard {

inline constexpr size_t kSealingKeySizeBytes = 32;

// `key` is kSealingKeySizeBytes. The nonce is drawn at random: safe for 2^32 sealings under one key.
absl::StatusOr<std::string> Seal(const Secret& plaintext, const Secret& key, absl::string_view context, Random& random);

// DataLoss when `sealed` is no such file, is cut short, was altered, or was sealed under another key or
// context: which of these, cannot be told. FailedPrecondition for a newer version.
absl::StatusOr<Secret> Unseal(absl::string_view sealed, const Secret& key, absl::string_view context);

}  // namespace lanyard
