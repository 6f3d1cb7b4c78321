// Which signature algorithms count, and which one a key of ours signs with.
#pragma once

#include <openssl/base.h>

namespace lanyard {

// True for RSA (PKCS#1 and PSS), ECDSA with SHA-256, SHA-384 or SHA-512, and Ed25519.
// MD5, SHA-1, SHA-224 and everything unknown are not strong.
bool IsStrongSignature(const X509_ALGOR* algorithm);

// The digest to sign with: SHA-384 for P-384, none (null) for Ed25519, else SHA-256.
const EVP_MD* SignatureDigest(EVP_PKEY* key);

}  // namespace lanyard
