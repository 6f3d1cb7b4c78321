#include "identity/spiffe/signature_algorithm.h"

#include <openssl/asn1.h>
#include <openssl/bytestring.h>
#include <openssl/digest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/nid.h>
#include <openssl/obj.h>
#include <openssl/x509.h>

namespace lanyard {
namespace {

bool IsStrongDigest(int nid) { return nid == NID_sha256 || nid == NID_sha384 || nid == NID_sha512; }

// RSASSA-PSS-params (RFC 4055 3.1): an absent hashAlgorithm means SHA-1.
bool IsStrongPss(int parameter_type, const void* parameter) {
  if (parameter_type != V_ASN1_SEQUENCE) return false;
  const auto* encoded = static_cast<const ASN1_STRING*>(parameter);
  CBS der, params, tagged, algorithm, oid;
  CBS_init(&der, ASN1_STRING_get0_data(encoded), static_cast<size_t>(ASN1_STRING_length(encoded)));
  return CBS_get_asn1(&der, &params, CBS_ASN1_SEQUENCE) &&
         CBS_get_asn1(&params, &tagged, CBS_ASN1_CONTEXT_SPECIFIC | CBS_ASN1_CONSTRUCTED | 0) &&
         CBS_get_asn1(&tagged, &algorithm, CBS_ASN1_SEQUENCE) && CBS_get_asn1(&algorithm, &oid, CBS_ASN1_OBJECT) &&
         IsStrongDigest(OBJ_cbs2nid(&oid));
}

}  // namespace

bool IsStrongSignature(const X509_ALGOR* algorithm) {
  const ASN1_OBJECT* oid = nullptr;
  int parameter_type = 0;
  const void* parameter = nullptr;
  X509_ALGOR_get0(&oid, &parameter_type, &parameter, algorithm);
  const int nid = OBJ_obj2nid(oid);
  if (nid == NID_ED25519) return true;
  if (nid == NID_rsassaPss) return IsStrongPss(parameter_type, parameter);
  int digest_nid = NID_undef, key_nid = NID_undef;
  return OBJ_find_sigid_algs(nid, &digest_nid, &key_nid) && IsStrongDigest(digest_nid);
}

const EVP_MD* SignatureDigest(EVP_PKEY* key) {
  if (EVP_PKEY_id(key) == EVP_PKEY_ED25519) return nullptr;
  const EC_KEY* ec = EVP_PKEY_id(key) == EVP_PKEY_EC ? EVP_PKEY_get0_EC_KEY(key) : nullptr;
  const bool p384 = ec != nullptr && EC_GROUP_get_curve_name(EC_KEY_get0_group(ec)) == NID_secp384r1;
  return p384 ? EVP_sha384() : EVP_sha256();
}

}  // namespace lanyard
