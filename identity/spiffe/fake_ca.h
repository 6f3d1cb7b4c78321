// Certificates for tests, minted in memory: right ones by default, and any wrong one through a
// mutator that sees the certificate just before it is signed. Not built on issue.h, which
// refuses to make wrong ones.
//
//   FakeCa root = FakeCa::Root("example.org");
//   FakeCa intermediate = root.Intermediate();
//   FakeLeaf good = intermediate.Leaf("spiffe://example.org/web");
//   FakeLeaf two = intermediate.Leaf("spiffe://example.org/web", {.mutate = [](X509* x) {
//     SetUris(x, {"spiffe://example.org/web", "spiffe://example.org/db"}); }});
//   VerifySvid(good.chain, root.Bundles(), absl::Now());
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <openssl/base.h>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "identity/spiffe/bundle.h"
#include "identity/spiffe/certificate.h"
#include "identity/spiffe/issue.h"
#include "identity/spiffe/private_key.h"
#include "identity/spiffe/svid.h"

namespace lanyard {

// Everything here aborts the test on failure.
struct FakeOptions {
  // Defaults: an hour before the machine's time, an hour (leaf) or a day (CA) after it.
  std::optional<absl::Time> not_before = {};
  std::optional<absl::Time> not_after = {};
  // The new certificate's key; default: a fresh P-256.
  std::shared_ptr<EVP_PKEY> key = {};
  // Default: SHA-256, none for Ed25519.
  const EVP_MD* digest = nullptr;
  // Signs instead of the issuer's own key.
  std::shared_ptr<EVP_PKEY> signing_key = {};
  // Runs last before signing; every field and extension is set.
  std::function<void(X509*)> mutate = {};
};

struct FakeLeaf {
  std::vector<Certificate> chain;   // leaf, then intermediates; no root
  std::shared_ptr<EVP_PKEY> key;

  PrivateKey Key() const;
  X509Svid Svid() const;
  std::string ChainPem() const;
  std::string KeyPem() const;
};

// Immutable, cheap to copy.
class FakeCa {
 public:
  static FakeCa Root(absl::string_view trust_domain, FakeOptions options = {});
  FakeCa Intermediate(FakeOptions options = {}) const;
  FakeLeaf Leaf(absl::string_view id, FakeOptions options = {}) const;
  // For what Certificate::Parse refuses.
  std::string LeafDer(absl::string_view id, FakeOptions options = {}) const;

  const Certificate& certificate() const { return chain_.front(); }
  const std::shared_ptr<EVP_PKEY>& key() const { return key_; }
  // This certificate as the only authority of its trust domain.
  X509Bundle Bundle() const;
  BundleSet Bundles() const;
  // To hand to issue.h.
  SigningAuthority Authority() const;

 private:
  FakeCa(std::string trust_domain, std::vector<Certificate> chain, std::shared_ptr<EVP_PKEY> key, bool is_root)
      : trust_domain_(std::move(trust_domain)), chain_(std::move(chain)), key_(std::move(key)), is_root_(is_root) {}
  std::string trust_domain_;
  std::vector<Certificate> chain_;  // this one first, up to but without the root (unless it is the root)
  std::shared_ptr<EVP_PKEY> key_;
  bool is_root_;
};

// Keys of any strength.
std::shared_ptr<EVP_PKEY> FakeEcKey(int curve_nid);
std::shared_ptr<EVP_PKEY> FakeRsaKey(int bits);
std::shared_ptr<EVP_PKEY> FakeEd25519Key();

// For mutators. Replaces the extension `nid` by `value` in OpenSSL's configuration syntax
// ("critical,CA:TRUE,pathlen:0", "critical,digitalSignature"); "" removes it.
void SetExtension(X509* certificate, int nid, const std::string& value);
// Adds an extension whatever is there already; `der` is the value's raw content.
void AddRawExtension(X509* certificate, const std::string& oid, bool critical, absl::string_view der);
// Replaces subjectAltName by these URIs, byte for byte; none removes it.
void SetUris(X509* certificate, const std::vector<std::string>& uris);
void SetSubject(X509* certificate, const std::string& common_name);
// `bytes` big-endian, taken as given.
void SetSerial(X509* certificate, absl::string_view bytes, bool negative = false);

}  // namespace lanyard
