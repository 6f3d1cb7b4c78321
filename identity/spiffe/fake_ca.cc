#include "identity/spiffe/fake_ca.h"

#include <openssl/asn1.h>
#include <openssl/bn.h>
#include <openssl/digest.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "identity/base/clock.h"
#include "identity/base/random.h"
#include "identity/spiffe/signature_algorithm.h"

namespace lanyard {
namespace {

void Must(bool done, absl::string_view what) {
  if (done) return;
  fprintf(stderr, "fake CA: %.*s failed\n", static_cast<int>(what.size()), what.data());
  ERR_print_errors_fp(stderr);
  abort();
}

template <typename Value>
Value Must(absl::StatusOr<Value> value) {
  Must(value.ok(), value.status().ToString());
  return *std::move(value);
}

std::shared_ptr<EVP_PKEY> Share(EVP_PKEY* key) { return std::shared_ptr<EVP_PKEY>(key, EVP_PKEY_free); }

void SetTimes(X509* x509, const FakeOptions& options, absl::Duration lifetime) {
  const absl::Time now = SystemClock().Now();
  const absl::Time not_before = options.not_before.value_or(now - absl::Hours(1));
  const absl::Time not_after = options.not_after.value_or(now + lifetime);
  Must(ASN1_TIME_set(X509_getm_notBefore(x509), absl::ToTimeT(not_before)) != nullptr, "notBefore");
  Must(ASN1_TIME_set(X509_getm_notAfter(x509), absl::ToTimeT(not_after)) != nullptr, "notAfter");
}

std::string RandomSerial() {
  std::string bytes(15, '\0');
  SystemRandom().Fill(absl::MakeSpan(reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()));
  return "\x01" + bytes;
}

void SetKeyIds(X509* x509, X509* issuer) {
  SetExtension(x509, NID_subject_key_identifier, "hash");
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer == nullptr ? x509 : issuer, x509, nullptr, nullptr, 0);
  bssl::UniquePtr<X509_EXTENSION> extension(
      X509V3_EXT_nconf_nid(nullptr, &context, NID_authority_key_identifier, "keyid"));
  Must(extension && X509_add_ext(x509, extension.get(), -1), "authorityKeyIdentifier");
}

struct Kind {
  bool is_ca;
  std::string uri;
  std::string common_name;
  absl::Duration lifetime;
};

std::string Mint(const Kind& kind, X509* issuer, EVP_PKEY* issuer_key, const FakeOptions& options) {
  bssl::UniquePtr<X509> x509(X509_new());
  Must(x509 && X509_set_version(x509.get(), 2) && X509_set_pubkey(x509.get(), options.key.get()), "X509_new");
  SetSerial(x509.get(), RandomSerial());
  SetTimes(x509.get(), options, kind.lifetime);
  if (!kind.common_name.empty()) SetSubject(x509.get(), kind.common_name);
  Must(X509_set_issuer_name(x509.get(), X509_get_subject_name(issuer == nullptr ? x509.get() : issuer)), "issuer");
  SetExtension(x509.get(), NID_basic_constraints, kind.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  SetExtension(x509.get(), NID_key_usage, kind.is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
  if (!kind.is_ca) SetExtension(x509.get(), NID_ext_key_usage, "serverAuth,clientAuth");
  SetUris(x509.get(), {kind.uri});
  SetKeyIds(x509.get(), issuer);
  if (options.mutate) options.mutate(x509.get());
  EVP_PKEY* signing_key = options.signing_key ? options.signing_key.get() : issuer_key;
  Must(X509_sign(x509.get(), signing_key, options.digest ? options.digest : SignatureDigest(signing_key)), "X509_sign");
  uint8_t* der = nullptr;
  const int size = i2d_X509(x509.get(), &der);
  Must(size > 0, "i2d_X509");
  bssl::UniquePtr<uint8_t> owned(der);
  return std::string(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
}

Certificate Parsed(const std::string& der) {
  return Must(Certificate::Parse(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(der.data()), der.size())));
}

FakeOptions WithKey(FakeOptions options) {
  if (!options.key) options.key = FakeEcKey(NID_X9_62_prime256v1);
  return options;
}

PrivateKey PrivateKeyOf(EVP_PKEY* key) {
  bssl::ScopedCBB cbb;
  Must(CBB_init(cbb.get(), 256) && EVP_marshal_private_key(cbb.get(), key) && CBB_flush(cbb.get()), "marshal");
  return Must(PrivateKey::ParsePkcs8Der(absl::MakeConstSpan(CBB_data(cbb.get()), CBB_len(cbb.get()))));
}

}  // namespace

PrivateKey FakeLeaf::Key() const { return PrivateKeyOf(key.get()); }
X509Svid FakeLeaf::Svid() const { return Must(X509Svid::Create(chain, Key())); }
std::string FakeLeaf::KeyPem() const { return std::string(Key().ExportPkcs8Pem().text()); }

std::string FakeLeaf::ChainPem() const {
  std::string pem;
  for (const Certificate& certificate : chain) pem += certificate.ToPem();
  return pem;
}

FakeCa FakeCa::Root(absl::string_view trust_domain, FakeOptions options) {
  options = WithKey(std::move(options));
  const Kind kind = {true, absl::StrCat("spiffe://", trust_domain), SystemRandom().Hex(8), absl::Hours(24)};
  const std::string der = Mint(kind, nullptr, options.key.get(), options);
  return FakeCa(std::string(trust_domain), {Parsed(der)}, options.key, true);
}

FakeCa FakeCa::Intermediate(FakeOptions options) const {
  options = WithKey(std::move(options));
  const Kind kind = {true, absl::StrCat("spiffe://", trust_domain_), SystemRandom().Hex(8), absl::Hours(24)};
  const std::string der = Mint(kind, certificate().x509(), key_.get(), options);
  std::vector<Certificate> chain = {Parsed(der)};
  if (!is_root_) chain.insert(chain.end(), chain_.begin(), chain_.end());
  return FakeCa(trust_domain_, std::move(chain), options.key, false);
}

std::string FakeCa::LeafDer(absl::string_view id, FakeOptions options) const {
  const Kind kind = {false, std::string(id), "", absl::Hours(1)};
  return Mint(kind, certificate().x509(), key_.get(), WithKey(std::move(options)));
}

FakeLeaf FakeCa::Leaf(absl::string_view id, FakeOptions options) const {
  options = WithKey(std::move(options));
  FakeLeaf leaf = {{Parsed(LeafDer(id, options))}, options.key};
  if (!is_root_) leaf.chain.insert(leaf.chain.end(), chain_.begin(), chain_.end());
  return leaf;
}

X509Bundle FakeCa::Bundle() const {
  return Must(X509Bundle::Create(Must(TrustDomain::Parse(trust_domain_)), {certificate()}));
}

BundleSet FakeCa::Bundles() const {
  BundleSet bundles;
  bundles.Set(Bundle());
  return bundles;
}

SigningAuthority FakeCa::Authority() const { return {certificate(), PrivateKeyOf(key_.get())}; }

std::shared_ptr<EVP_PKEY> FakeEcKey(int curve_nid) {
  bssl::UniquePtr<EC_KEY> ec(EC_KEY_new_by_curve_name(curve_nid));
  std::shared_ptr<EVP_PKEY> key = Share(EVP_PKEY_new());
  Must(ec && EC_KEY_generate_key(ec.get()) && EVP_PKEY_set1_EC_KEY(key.get(), ec.get()), "EC key");
  return key;
}

std::shared_ptr<EVP_PKEY> FakeRsaKey(int bits) {
  bssl::UniquePtr<RSA> rsa(RSA_new());
  bssl::UniquePtr<BIGNUM> exponent(BN_new());
  std::shared_ptr<EVP_PKEY> key = Share(EVP_PKEY_new());
  Must(BN_set_word(exponent.get(), RSA_F4) && RSA_generate_key_ex(rsa.get(), bits, exponent.get(), nullptr) &&
           EVP_PKEY_set1_RSA(key.get(), rsa.get()),
       "RSA key");
  return key;
}

std::shared_ptr<EVP_PKEY> FakeEd25519Key() {
  uint8_t seed[32];
  SystemRandom().Fill(absl::MakeSpan(seed));
  std::shared_ptr<EVP_PKEY> key = Share(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed, sizeof(seed)));
  Must(key != nullptr, "Ed25519 key");
  return key;
}

void SetExtension(X509* certificate, int nid, const std::string& value) {
  for (int at = 0; (at = X509_get_ext_by_NID(certificate, nid, -1)) >= 0;) {
    X509_EXTENSION_free(X509_delete_ext(certificate, at));
  }
  if (value.empty()) return;
  X509V3_CTX context;
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  bssl::UniquePtr<X509_EXTENSION> extension(X509V3_EXT_nconf_nid(nullptr, &context, nid, value.c_str()));
  Must(extension && X509_add_ext(certificate, extension.get(), -1), absl::StrCat("extension ", value));
}

void AddRawExtension(X509* certificate, const std::string& oid, bool critical, absl::string_view der) {
  bssl::UniquePtr<ASN1_OBJECT> object(OBJ_txt2obj(oid.c_str(), 0));
  bssl::UniquePtr<ASN1_OCTET_STRING> value(ASN1_OCTET_STRING_new());
  Must(object && ASN1_OCTET_STRING_set(value.get(), reinterpret_cast<const uint8_t*>(der.data()),
                                       static_cast<int>(der.size())),
       oid);
  bssl::UniquePtr<X509_EXTENSION> extension(
      X509_EXTENSION_create_by_OBJ(nullptr, object.get(), critical ? 1 : 0, value.get()));
  Must(extension && X509_add_ext(certificate, extension.get(), -1), oid);
}

void SetUris(X509* certificate, const std::vector<std::string>& uris) {
  SetExtension(certificate, NID_subject_alt_name, "");
  if (uris.empty()) return;
  bssl::UniquePtr<GENERAL_NAMES> names(GENERAL_NAMES_new());
  for (const std::string& uri : uris) {
    bssl::UniquePtr<GENERAL_NAME> name(GENERAL_NAME_new());
    ASN1_IA5STRING* value = ASN1_IA5STRING_new();
    Must(ASN1_STRING_set(value, uri.data(), static_cast<int>(uri.size())), "URI");
    GENERAL_NAME_set0_value(name.get(), GEN_URI, value);
    Must(bssl::PushToStack(names.get(), std::move(name)), "URI");
  }
  const bool critical = X509_NAME_entry_count(X509_get_subject_name(certificate)) == 0;
  Must(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names.get(), critical, X509V3_ADD_APPEND), "SAN");
}

void SetSubject(X509* certificate, const std::string& common_name) {
  bssl::UniquePtr<X509_NAME> name(X509_NAME_new());
  Must(X509_NAME_add_entry_by_NID(name.get(), NID_commonName, MBSTRING_UTF8,
                                  reinterpret_cast<const uint8_t*>(common_name.data()),
                                  static_cast<int>(common_name.size()), -1, 0) &&
           X509_set_subject_name(certificate, name.get()),
       "subject");
}

void SetSerial(X509* certificate, absl::string_view bytes, bool negative) {
  bssl::UniquePtr<BIGNUM> number(BN_bin2bn(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), nullptr));
  Must(number != nullptr, "serial");
  BN_set_negative(number.get(), negative ? 1 : 0);
  bssl::UniquePtr<ASN1_INTEGER> serial(BN_to_ASN1_INTEGER(number.get(), nullptr));
  Must(serial && X509_set_serialNumber(certificate, serial.get()), "serial");
}

}  // namespace lanyard
