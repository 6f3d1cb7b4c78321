#include "identity/authority/ca_keys.h"

#include <openssl/bytestring.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/authority/sealed_file.h"
#include "identity/authority/sealing_key.h"
#include "identity/base/atomic_file.h"
#include "identity/base/logging.h"

namespace lanyard {
namespace {

// Layout: count (2 bytes), then for each authority kind (1), state (1), prepared_at in Unix microseconds (8),
// certificate DER (3-byte length), PKCS#8 key DER (2-byte length; none once retired).
constexpr size_t kFixedSizeBytes = 1 + 1 + 8 + 3 + 2;

absl::Status Malformed() { return absl::DataLossError("the sealed signing keys have a malformed content"); }

bool Encode(CBB* out, const CaAuthority& authority, const Secret& key) {
  CBB child;
  const std::string& der = authority.certificate.der();
  return CBB_add_u8(out, static_cast<uint8_t>(authority.kind)) &&
         CBB_add_u8(out, static_cast<uint8_t>(authority.state)) &&
         CBB_add_u64(out, static_cast<uint64_t>(absl::ToUnixMicros(authority.prepared_at))) &&
         CBB_add_u24_length_prefixed(out, &child) &&
         CBB_add_bytes(&child, reinterpret_cast<const uint8_t*>(der.data()), der.size()) &&
         CBB_add_u16_length_prefixed(out, &child) && CBB_add_bytes(&child, key.bytes().data(), key.bytes().size()) &&
         CBB_flush(out);
}

absl::StatusOr<CaAuthority> Decode(CBS* in) {
  uint8_t kind, state;
  uint64_t prepared_at;
  CBS certificate_der, key_der;
  if (!CBS_get_u8(in, &kind) || !CBS_get_u8(in, &state) || !CBS_get_u64(in, &prepared_at) ||
      !CBS_get_u24_length_prefixed(in, &certificate_der) || !CBS_get_u16_length_prefixed(in, &key_der) || kind > 1 ||
      state > 2) {
    return Malformed();
  }
  absl::StatusOr<Certificate> certificate =
      Certificate::Parse(absl::MakeConstSpan(CBS_data(&certificate_der), CBS_len(&certificate_der)));
  if (!certificate.ok()) return Malformed();
  CaAuthority authority{static_cast<AuthorityKind>(kind), static_cast<AuthorityState>(state),
                        absl::FromUnixMicros(static_cast<int64_t>(prepared_at)), *std::move(certificate), std::nullopt};
  if ((CBS_len(&key_der) == 0) != (authority.state == AuthorityState::kRetired)) return Malformed();
  if (CBS_len(&key_der) == 0) return authority;
  absl::StatusOr<PrivateKey> key =
      PrivateKey::ParsePkcs8Der(absl::MakeConstSpan(CBS_data(&key_der), CBS_len(&key_der)));
  if (!key.ok() || key->public_key_der() != authority.certificate.public_key_der()) return Malformed();
  authority.key = *std::move(key);
  return authority;
}

absl::Status Annotate(const absl::Status& status, const std::string& path) {
  return absl::Status(status.code(), absl::StrCat("the sealed signing keys ", path, " cannot be opened: ",
                                                  status.message(), "; restore both files from the same backup"));
}

}  // namespace

absl::StatusOr<Secret> EncodeCaAuthorities(const std::vector<CaAuthority>& authorities) {
  std::vector<Secret> keys;
  size_t size = 2;
  for (const CaAuthority& authority : authorities) {
    keys.push_back(authority.key ? authority.key->ExportPkcs8Der() : Secret());
    size += kFixedSizeBytes + authority.certificate.der().size() + keys.back().bytes().size();
  }
  // Written straight into memory of the right size: a growing buffer would leave copies of keys behind.
  Secret plaintext(size);
  bssl::ScopedCBB out;
  bool encoded = CBB_init_fixed(out.get(), plaintext.mutable_bytes().data(), size) &&
                 CBB_add_u16(out.get(), static_cast<uint16_t>(authorities.size()));
  for (size_t i = 0; i < authorities.size() && encoded; ++i) encoded = Encode(out.get(), authorities[i], keys[i]);
  if (!encoded || CBB_len(out.get()) != size) return absl::InternalError("the signing keys cannot be encoded");
  return plaintext;
}

absl::StatusOr<std::vector<CaAuthority>> DecodeCaAuthorities(const Secret& plaintext) {
  CBS in;
  CBS_init(&in, plaintext.bytes().data(), plaintext.bytes().size());
  uint16_t count;
  if (!CBS_get_u16(&in, &count)) return Malformed();
  std::vector<CaAuthority> authorities;
  for (uint16_t i = 0; i < count; ++i) {
    absl::StatusOr<CaAuthority> authority = Decode(&in);
    if (!authority.ok()) return authority.status();
    authorities.push_back(*std::move(authority));
  }
  if (CBS_len(&in) != 0) return Malformed();
  return authorities;
}

absl::StatusOr<CaKeys> CaKeys::Open(std::string path, std::string sealing_key_path, TrustDomain trust_domain,
                                    Random& random) {
  const absl::StatusOr<std::string> sealed = ReadFile(path);
  if (!sealed.ok() && !absl::IsNotFound(sealed.status())) return sealed.status();
  absl::StatusOr<Secret> key = ReadSealingKey(sealing_key_path);
  if (absl::IsNotFound(key.status())) {
    if (sealed.ok()) {
      return absl::FailedPreconditionError(absl::StrCat("the sealing key ", sealing_key_path,
                                                        " is gone, and without it ", path,
                                                        " cannot be opened; restore it from a backup"));
    }
    key = CreateSealingKey(sealing_key_path, random);
    if (key.ok()) {
      Log(LogLevel::kWarning,
          "made a new sealing key: back it up, apart from the data; whoever has both can sign for this trust domain, "
          "and "
          "without it the signing keys are lost and every workload must be given a new root",
          {{"sealing_key_file", sealing_key_path}});
    }
  }
  if (!key.ok()) return key.status();
  return CaKeys(std::move(path), std::move(trust_domain), *std::move(key), !sealed.ok(), random);
}

absl::StatusOr<std::vector<CaAuthority>> CaKeys::Load() const {
  const absl::StatusOr<std::string> sealed = ReadFile(path_);
  if (!sealed.ok()) return sealed.status();
  const absl::StatusOr<Secret> plaintext = Unseal(*sealed, sealing_key_, trust_domain_.name());
  if (!plaintext.ok()) return Annotate(plaintext.status(), path_);
  return DecodeCaAuthorities(*plaintext);
}

absl::Status CaKeys::Save(const std::vector<CaAuthority>& authorities) {
  const absl::StatusOr<Secret> plaintext = EncodeCaAuthorities(authorities);
  if (!plaintext.ok()) return plaintext.status();
  const absl::StatusOr<std::string> sealed = Seal(*plaintext, sealing_key_, trust_domain_.name(), *random_);
  if (!sealed.ok()) return sealed.status();
  absl::Status written = WriteFileAtomically(path_, *sealed, 0600);
  if (written.ok()) empty_ = false;
  return written;
}

}  // namespace lanyard
