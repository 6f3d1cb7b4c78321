#include "identity/spiffe/usable_bundle.h"

#include <openssl/bio.h>
#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/pem.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/spiffe/certificate.h"
#include "identity/spiffe/crypto_error.h"

namespace lanyard {
namespace {

class Selection {
 public:
  explicit Selection(const TrustDomain& trust_domain) : trust_domain_(trust_domain) {}

  void Add(absl::Span<const uint8_t> der) {
    if (++read_ > UsableBundle::kMaxRead) return;
    if (absl::Status taken = Take(der); !taken.ok()) {
      left_out_.push_back(absl::StrCat("authority ", read_, " in the bundle of ", trust_domain_.name(), ": ",
                                       taken.message()));
    }
  }

  absl::StatusOr<UsableBundle> Finish() {
    if (read_ > UsableBundle::kMaxRead) {
      left_out_.push_back(absl::StrCat(read_ - UsableBundle::kMaxRead, " authorities in the bundle of ",
                                       trust_domain_.name(), ": only ", UsableBundle::kMaxRead, " are looked at"));
    }
    if (usable_.empty() && !left_out_.empty()) return absl::FailedPreconditionError(left_out_.front());
    absl::StatusOr<X509Bundle> bundle = X509Bundle::Create(trust_domain_, std::move(usable_));
    if (!bundle.ok()) return bundle.status();
    return UsableBundle{*std::move(bundle), std::move(left_out_)};
  }

 private:
  absl::Status Take(absl::Span<const uint8_t> der) {
    absl::StatusOr<Certificate> certificate = Certificate::Parse(der);
    if (!certificate.ok()) return certificate.status();
    if (std::find(usable_.begin(), usable_.end(), *certificate) != usable_.end()) return absl::OkStatus();
    // Each alone: what a bundle asks of an authority does not depend on the others.
    if (const auto alone = X509Bundle::Create(trust_domain_, {*certificate}); !alone.ok()) return alone.status();
    if (usable_.size() == X509Bundle::kMaxAuthorities) {
      return absl::ResourceExhaustedError(absl::StrCat("at most ", X509Bundle::kMaxAuthorities, " are taken"));
    }
    usable_.push_back(*std::move(certificate));
    return absl::OkStatus();
  }

  const TrustDomain& trust_domain_;
  size_t read_ = 0;
  std::vector<Certificate> usable_;
  std::vector<std::string> left_out_;
};

}  // namespace

absl::StatusOr<UsableBundle> ReadUsableBundleDer(const TrustDomain& trust_domain, absl::Span<const uint8_t> der) {
  Selection selection(trust_domain);
  CBS input, element;
  CBS_init(&input, der.data(), der.size());
  while (CBS_len(&input) != 0) {
    if (!CBS_get_asn1_element(&input, &element, CBS_ASN1_SEQUENCE)) {
      return absl::InvalidArgumentError(absl::StrCat("the bundle of ", trust_domain.name(),
                                                     " is not concatenated DER, or cut short"));
    }
    selection.Add(absl::MakeConstSpan(CBS_data(&element), CBS_len(&element)));
  }
  return selection.Finish();
}

absl::StatusOr<UsableBundle> ReadUsableBundlePem(const TrustDomain& trust_domain, absl::string_view pem) {
  Selection selection(trust_domain);
  bool any = false;
  bssl::UniquePtr<BIO> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  char* name = nullptr;
  char* header = nullptr;
  uint8_t* data = nullptr;
  for (long size = 0; bio && PEM_read_bio(bio.get(), &name, &header, &data, &size);) {
    const bssl::UniquePtr<char> owned_name(name), owned_header(header);
    const bssl::UniquePtr<uint8_t> owned_data(data);
    if (absl::string_view(name) != "CERTIFICATE") continue;
    any = true;
    selection.Add(absl::MakeConstSpan(data, static_cast<size_t>(size)));
    ERR_clear_error();
  }
  // The end of the text shows as "no start line"; anything else is a block that is broken.
  const uint32_t error = ERR_peek_last_error();
  const bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (!at_end) return CryptoError(absl::StatusCode::kInvalidArgument, "a PEM block cannot be read");
  ERR_clear_error();
  if (!any) return absl::InvalidArgumentError("there is no CERTIFICATE block in the PEM");
  return selection.Finish();
}

}  // namespace lanyard
