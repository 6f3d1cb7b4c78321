#include "identity/agent/sealed_file.h"

#include <openssl/aead.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "identity/base/atomic_file.h"

namespace lanyard {
namespace {

constexpr size_t kKeySizeBytes = 32;
constexpr size_t kNonceSizeBytes = 12;
constexpr size_t kTagSizeBytes = 16;
constexpr size_t kSealedSizeLimitBytes = 256 << 20;
// Stands before the nonce, so that a later format is told apart.
constexpr absl::string_view kMagic = "lanyard-sealed-1";

const uint8_t* Data(absl::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); }

bssl::ScopedEVP_AEAD_CTX& Init(bssl::ScopedEVP_AEAD_CTX& context, const Secret& key, bool& ok) {
  ok = key.bytes().size() == kKeySizeBytes &&
       EVP_AEAD_CTX_init(context.get(), EVP_aead_aes_256_gcm(), key.bytes().data(), kKeySizeBytes, kTagSizeBytes,
                         nullptr) == 1;
  return context;
}

}  // namespace

absl::StatusOr<Secret> LoadOrCreateSealingKey(const std::string& path, Random& random) {
  absl::StatusOr<std::string> read = ReadFile(path, kKeySizeBytes + 1);
  if (read.ok()) {
    Secret key = Secret::CopyOf(*read);
    Cleanse({reinterpret_cast<uint8_t*>(read->data()), read->size()});
    if (key.bytes().size() == kKeySizeBytes) return key;
    return absl::DataLossError(absl::StrCat(path, " is not a sealing key of ", kKeySizeBytes,
                                            " bytes; remove it and the agent attests again"));
  }
  if (!absl::IsNotFound(read.status())) return read.status();
  Secret key(kKeySizeBytes);
  random.Fill(key.mutable_bytes());
  const absl::Status written = WriteFileAtomically(path, key.text(), 0600);
  if (!written.ok()) return written;
  return key;
}

std::string SealedFile::Name() const { return path_.substr(path_.rfind('/') + 1); }

absl::StatusOr<Secret> SealedFile::Read() const {
  const absl::StatusOr<std::string> sealed = ReadFile(path_, kSealedSizeLimitBytes);
  if (!sealed.ok()) return sealed.status();
  const size_t head = kMagic.size() + kNonceSizeBytes;
  if (sealed->size() < head + kTagSizeBytes || !absl::StartsWith(*sealed, kMagic)) {
    return absl::DataLossError(absl::StrCat(path_, " is not a sealed file"));
  }
  bool ok = false;
  bssl::ScopedEVP_AEAD_CTX context;
  Init(context, key_, ok);
  Secret content(sealed->size() - head);
  size_t size = 0;
  const std::string name = Name();
  ok = ok && EVP_AEAD_CTX_open(context.get(), content.mutable_bytes().data(), &size, content.bytes().size(),
                               Data(*sealed) + kMagic.size(), kNonceSizeBytes, Data(*sealed) + head,
                               sealed->size() - head, Data(name), name.size()) == 1;
  if (!ok) return absl::DataLossError(absl::StrCat(path_, " is damaged, or was sealed under another key"));
  return Secret::CopyOf(content.bytes().first(size));
}

absl::Status SealedFile::Write(absl::Span<const uint8_t> content) const {
  bool ok = false;
  bssl::ScopedEVP_AEAD_CTX context;
  Init(context, key_, ok);
  const size_t head = kMagic.size() + kNonceSizeBytes;
  std::string sealed(head + content.size() + kTagSizeBytes, '\0');
  kMagic.copy(sealed.data(), kMagic.size());
  uint8_t* bytes = reinterpret_cast<uint8_t*>(sealed.data());
  random_.Fill({bytes + kMagic.size(), kNonceSizeBytes});
  size_t size = 0;
  const std::string name = Name();
  ok = ok && EVP_AEAD_CTX_seal(context.get(), bytes + head, &size, sealed.size() - head, bytes + kMagic.size(),
                               kNonceSizeBytes, content.data(), content.size(), Data(name), name.size()) == 1;
  if (!ok) return absl::InternalError(absl::StrCat("cannot seal ", path_));
  sealed.resize(head + size);
  return WriteFileAtomically(path_, sealed, 0600);
}

}  // namespace lanyard
