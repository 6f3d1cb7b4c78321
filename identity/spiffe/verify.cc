#include "identity/spiffe/verify.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "identity/spiffe/authority_uri.h"
#include "identity/spiffe/private_key.h"
#include "identity/spiffe/quoted.h"
#include "identity/spiffe/svid.h"

namespace lanyard {
namespace {

// Borrowed certificates, leaf first, anchor last.
using Path = std::vector<const Certificate*>;

// X509_STORE_CTX demands a store, but building one of the bundle for each verification costs
// more than a signature check; the anchors go in as a stack and the store stays empty.
X509_STORE* EmptyStore() {
  static X509_STORE* const store = X509_STORE_new();
  return store;
}

bssl::UniquePtr<STACK_OF(X509)> StackOf(absl::Span<const Certificate> certificates) {
  bssl::UniquePtr<STACK_OF(X509)> stack(sk_X509_new_null());
  if (!stack) return nullptr;
  for (const Certificate& certificate : certificates) {
    if (!bssl::PushToStack(stack.get(), bssl::UpRef(certificate.x509()))) return nullptr;
  }
  return stack;
}

std::string NameOf(const Certificate& certificate, size_t position) {
  return absl::StrCat("certificate ", position, " of the path (serial ", certificate.serial(), ")");
}

absl::Status CheckValidity(const Certificate& certificate, absl::string_view name, absl::Time now) {
  if (now < certificate.not_before()) {
    return SvidError(SvidDefect::kNotYetValid, absl::StrCat(name, " is not valid before ",
                                                            absl::FormatTime(certificate.not_before(),
                                                                             absl::UTCTimeZone())));
  }
  if (now >= certificate.not_after()) {
    return SvidError(SvidDefect::kExpired, absl::StrCat(name, " expired at ",
                                                        absl::FormatTime(certificate.not_after(),
                                                                         absl::UTCTimeZone())));
  }
  return absl::OkStatus();
}

absl::Status CheckKeyStrength(const Certificate& certificate, absl::string_view name) {
  bssl::UniquePtr<EVP_PKEY> key(X509_get_pubkey(certificate.x509()));
  if (!key) {
    ERR_clear_error();
    return SvidError(SvidDefect::kWeakKey, absl::StrCat(name, " has a key that cannot be read"));
  }
  const absl::Status strength = CheckPublicKeyStrength(key.get());
  if (strength.ok()) return strength;
  return SvidError(SvidDefect::kWeakKey, absl::StrCat(name, ": ", strength.message()));
}

// What RFC 5280 and X509-SVID 3.2 ask of a certificate that signs. `below` counts the
// intermediates between it and the leaf that are not self-issued.
absl::Status CheckSigning(const Certificate& authority, absl::string_view name, long below) {
  const auto untrusted = [&](absl::string_view why) {
    return SvidError(SvidDefect::kUntrusted, absl::StrCat(name, " ", why));
  };
  if (!authority.is_ca()) return untrusted("signs but is not a CA (basicConstraints cA)");
  if (authority.has_key_usage() && !authority.key_usage_cert_sign()) return untrusted("signs without keyCertSign");
  if (authority.path_length() >= 0 && below > authority.path_length()) {
    return untrusted(absl::StrCat("allows ", authority.path_length(), " intermediates below it, not ", below));
  }
  if (X509_get_extension_flags(authority.x509()) & EXFLAG_CRITICAL) {
    return untrusted("has an unknown critical extension");
  }
  const std::string* uri = UnfitAuthorityUri(authority);
  return uri == nullptr ? absl::OkStatus() : untrusted(absl::StrCat("signs but carries the SPIFFE ID ", Quoted(*uri)));
}

// BoringSSL counts these as known, and processes them only where policies are asked for, which costs more than a
// handshake may (CVE-2023-0464). What is critical and not processed must be refused (RFC 5280 4.2).
bool HasCriticalPolicyRule(const Certificate& certificate) {
  for (const int nid : {NID_policy_constraints, NID_policy_mappings, NID_inhibit_any_policy}) {
    const int at = X509_get_ext_by_NID(certificate.x509(), nid, -1);
    if (at >= 0 && X509_EXTENSION_get_critical(X509_get_ext(certificate.x509(), at))) return true;
  }
  return false;
}

// BoringSSL has checked signatures and names. It does not check the anchor's own constraints,
// nor for weak digests and keys.
absl::Status CheckPath(const Path& path, absl::Time now) {
  long below = 0;
  for (size_t i = 0; i < path.size(); ++i) {
    const Certificate& certificate = *path[i];
    const std::string name = NameOf(certificate, i);
    if (absl::Status status = CheckValidity(certificate, name, now); !status.ok()) return status;
    if (absl::Status status = CheckKeyStrength(certificate, name); !status.ok()) return status;
    if (i + 1 < path.size() && !certificate.has_strong_signature()) {
      return SvidError(SvidDefect::kUntrusted, absl::StrCat(name, " is signed by a weak or unknown algorithm"));
    }
    if (HasCriticalPolicyRule(certificate)) {
      return SvidError(SvidDefect::kUntrusted,
                       absl::StrCat(name, " has a critical rule on certificate policies, which are not processed"));
    }
    if (i == 0) continue;
    if (absl::Status status = CheckSigning(certificate, name, below); !status.ok()) return status;
    if (!certificate.self_issued()) ++below;
  }
  return absl::OkStatus();
}

absl::Status PathError(X509_STORE_CTX* context) {
  const int error = X509_STORE_CTX_get_error(context);
  ERR_clear_error();
  SvidDefect defect = SvidDefect::kUntrusted;
  if (error == X509_V_ERR_CERT_HAS_EXPIRED) defect = SvidDefect::kExpired;
  if (error == X509_V_ERR_CERT_NOT_YET_VALID) defect = SvidDefect::kNotYetValid;
  return SvidError(defect, absl::StrCat("no valid path leads to the bundle: ", X509_verify_cert_error_string(error),
                                        " (certificate ", X509_STORE_CTX_get_error_depth(context), " of the path)"));
}

// BoringSSL's path in our values: every certificate on it came from `chain` or `authorities`.
absl::StatusOr<Path> PathOf(X509_STORE_CTX* context, absl::Span<const Certificate> chain,
                            absl::Span<const Certificate> authorities) {
  Path path;
  for (const X509* x509 : X509_STORE_CTX_get0_chain(context)) {
    const auto same = [&](const Certificate& certificate) { return certificate.x509() == x509; };
    const auto sent = std::find_if(chain.begin(), chain.end(), same);
    const auto trusted = std::find_if(authorities.begin(), authorities.end(), same);
    if (trusted != authorities.end()) {
      path.push_back(&*trusted);
    } else if (sent != chain.end()) {
      path.push_back(&*sent);
    } else {
      return SvidError(SvidDefect::kUntrusted, "the path holds a certificate of unknown origin");
    }
  }
  return path;
}

// A path from the first of `chain` through `intermediates`, which are of `chain` too.
absl::StatusOr<Path> FindPathThrough(STACK_OF(X509)* intermediates, absl::Span<const Certificate> chain,
                                     absl::Span<const Certificate> authorities, absl::Time now) {
  bssl::UniquePtr<X509_STORE_CTX> context(X509_STORE_CTX_new());
  const bssl::UniquePtr<STACK_OF(X509)> trusted = StackOf(authorities);
  if (!context || !intermediates || !trusted ||
      !X509_STORE_CTX_init(context.get(), EmptyStore(), chain.front().x509(), intermediates)) {
    return SvidError(SvidDefect::kUntrusted, "there is no memory to verify the chain");
  }
  X509_STORE_CTX_trusted_stack(context.get(), trusted.get());
  X509_VERIFY_PARAM* parameters = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_flags(parameters, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
  X509_VERIFY_PARAM_set_time(parameters, absl::ToTimeT(now));
  X509_VERIFY_PARAM_set_depth(parameters, kMaxPathLength - 1);
  if (X509_verify_cert(context.get()) != 1) return PathError(context.get());
  absl::StatusOr<Path> path = PathOf(context.get(), chain, authorities);
  if (!path.ok()) return path.status();
  if (absl::Status status = CheckPath(*path, now); !status.ok()) return status;
  return path;
}

absl::StatusOr<Path> FindPath(absl::Span<const Certificate> chain, absl::Span<const Certificate> authorities,
                              absl::Time now) {
  return FindPathThrough(StackOf(chain.subspan(1)).get(), chain, authorities, now);
}

// BoringSSL follows the first authority whose name fits and does not come back. That is wrong
// only where two authorities share a name, or one stands above another.
bool NeedsEachAlone(absl::Span<const Certificate> authorities) {
  for (size_t i = 0; i < authorities.size(); ++i) {
    if (!authorities[i].self_issued()) return authorities.size() > 1;
    for (size_t j = 0; j < i; ++j) {
      if (X509_NAME_cmp(X509_get_subject_name(authorities[i].x509()),
                        X509_get_subject_name(authorities[j].x509())) == 0) {
        return true;
      }
    }
  }
  return false;
}

bool SomeShareAName(absl::Span<const Certificate> certificates) {
  for (size_t i = 0; i < certificates.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (X509_NAME_cmp(X509_get_subject_name(certificates[i].x509()),
                        X509_get_subject_name(certificates[j].x509())) == 0 &&
          !(certificates[i] == certificates[j])) {
        return true;
      }
    }
  }
  return false;
}

// Other ways through what the peer sent, where certificates share a name: an intermediate that two authorities signed,
// or one and its renewal. BoringSSL takes the first that fits and does not come back (RFC 4158 2.4).
class OtherPaths {
 public:
  OtherPaths(absl::Span<const Certificate> chain, absl::Span<const Certificate> authorities, absl::Time now)
      : chain_(chain), authorities_(authorities), now_(now) {}

  std::optional<Path> Find() {
    Extend(chain_.front());
    return std::move(found_);
  }

 private:
  static constexpr int kMaxTries = 8;    // each checks signatures
  static constexpr int kMaxSteps = 64;   // each compares names

  bool Done() const { return found_ || tries_ == kMaxTries || steps_ == kMaxSteps; }

  static bool MayHaveIssued(const Certificate& issuer, const Certificate& subject) {
    return X509_check_issued(issuer.x509(), subject.x509()) == X509_V_OK;
  }

  void Try() {
    ++tries_;
    bssl::UniquePtr<STACK_OF(X509)> stack(sk_X509_new_null());
    for (const Certificate* certificate : intermediates_) {
      if (!stack || !bssl::PushToStack(stack.get(), bssl::UpRef(certificate->x509()))) return;
    }
    absl::StatusOr<Path> path = FindPathThrough(stack.get(), chain_, authorities_, now_);
    if (path.ok()) found_ = *std::move(path);
  }

  void Extend(const Certificate& last) {
    ++steps_;
    if (std::any_of(authorities_.begin(), authorities_.end(),
                    [&](const Certificate& authority) { return MayHaveIssued(authority, last); })) {
      Try();
    }
    // A leaf and an anchor stand at the ends.
    if (intermediates_.size() + 2 >= kMaxPathLength) return;
    for (const Certificate& issuer : chain_.subspan(1)) {
      if (Done()) return;
      if (std::find(intermediates_.begin(), intermediates_.end(), &issuer) != intermediates_.end()) continue;
      if (!MayHaveIssued(issuer, last)) continue;
      intermediates_.push_back(&issuer);
      Extend(issuer);
      intermediates_.pop_back();
    }
  }

  const absl::Span<const Certificate> chain_, authorities_;
  const absl::Time now_;
  std::vector<const Certificate*> intermediates_;   // of the path that is being tried
  std::optional<Path> found_;
  int tries_ = 0, steps_ = 0;
};

absl::StatusOr<Path> FindAnyPath(absl::Span<const Certificate> chain, absl::Span<const Certificate> authorities,
                                 absl::Time now) {
  absl::StatusOr<Path> path = FindPath(chain, authorities, now);
  if (path.ok()) return path;
  for (size_t i = 0; NeedsEachAlone(authorities) && i < authorities.size(); ++i) {
    absl::StatusOr<Path> alone = FindPath(chain, authorities.subspan(i, 1), now);
    if (alone.ok()) return alone;
  }
  if (!SomeShareAName(chain.subspan(1))) return path;
  std::optional<Path> other = OtherPaths(chain, authorities, now).Find();
  if (other) return *std::move(other);
  return path;
}

absl::StatusOr<Path> VerifyChain(absl::Span<const Certificate> chain, const SpiffeId& id, const BundleSet& bundles,
                                 absl::Time now) {
  const X509Bundle* bundle = bundles.Find(id.trust_domain());
  if (bundle == nullptr || bundle->authorities().empty()) {
    return SvidError(SvidDefect::kUnknownTrustDomain,
                     absl::StrCat("there is no bundle for the trust domain ", id.trust_domain().name()));
  }
  if (absl::Status status = CheckValidity(chain.front(), "it", now); !status.ok()) return status;
  if (absl::Status status = CheckKeyStrength(chain.front(), "it"); !status.ok()) return status;
  return FindAnyPath(chain, bundle->authorities(), now);
}

}  // namespace

absl::StatusOr<VerifiedSvid> VerifySvid(absl::Span<const Certificate> chain, const BundleSet& bundles, absl::Time now) {
  if (chain.empty()) return SvidError(SvidDefect::kMalformed, "the peer sent no certificate");
  if (chain.size() > Certificate::kMaxChainLength) {
    return SvidError(SvidDefect::kMalformed, absl::StrCat("the peer sent ", chain.size(), " certificates"));
  }
  absl::StatusOr<SpiffeId> id = LeafSpiffeId(chain.front());
  if (!id.ok()) return id.status();
  const absl::StatusOr<Path> path = VerifyChain(chain, *id, bundles, now);
  if (!path.ok()) {
    return SvidError(DefectOf(path.status()),
                     absl::StrCat("the SVID of ", id->ToString(), " is refused: ", path.status().message()));
  }
  VerifiedSvid verified = {*std::move(id), chain.front().serial(), chain.front().not_after(),
                           chain.front().not_before(), chain.front().not_after()};
  for (const Certificate* certificate : *path) {
    verified.not_before = std::max(verified.not_before, certificate->not_before());
    verified.not_after = std::min(verified.not_after, certificate->not_after());
  }
  return verified;
}

}  // namespace lanyard
