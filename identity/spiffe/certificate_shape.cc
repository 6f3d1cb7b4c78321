#include "identity/spiffe/certificate_shape.h"

#include <openssl/bytestring.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace lanyard {
namespace {

using Shape = CertificateShape;

constexpr unsigned Primitive(unsigned number) { return CBS_ASN1_CONTEXT_SPECIFIC | number; }
constexpr unsigned Constructed(unsigned number) { return Primitive(number) | CBS_ASN1_CONSTRUCTED; }

absl::Status NotDer(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(what, " is not DER, or cut short"));
}

absl::Status TooMany(size_t count, absl::string_view what, size_t limit) {
  return absl::InvalidArgumentError(absl::StrCat("it has ", count, " ", what, ": at most ", limit, " are taken"));
}

// BoringSSL reads a list as one without looking at this bit; what was not descended into would not be counted.
bool IsListInDisguise(unsigned tag) {
  return tag == (CBS_ASN1_SEQUENCE & ~CBS_ASN1_CONSTRUCTED) || tag == (CBS_ASN1_SET & ~CBS_ASN1_CONSTRUCTED);
}

// Counts what is in `content`, at any depth, against `left`.
absl::Status CountElements(CBS content, int depth, size_t& left) {
  if (depth > Shape::kMaxDepth) {
    return absl::InvalidArgumentError(absl::StrCat("it is nested more than ", Shape::kMaxDepth, " deep"));
  }
  while (CBS_len(&content) != 0) {
    CBS element;
    unsigned tag;
    if (!CBS_get_any_asn1(&content, &element, &tag) || IsListInDisguise(tag)) return NotDer("it");
    if (left == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("it has more than ", Shape::kMaxElements, " ASN.1 elements: no more are taken"));
    }
    --left;
    if ((tag & CBS_ASN1_CONSTRUCTED) == 0) continue;
    if (absl::Status status = CountElements(element, depth + 1, left); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// How many elements stand in `list` itself. What is not DER ends it: CountElements has refused that.
size_t LengthOf(CBS list) {
  size_t length = 0;
  CBS element;
  for (unsigned tag; CBS_len(&list) != 0 && CBS_get_any_asn1(&list, &element, &tag);) ++length;
  return length;
}

// The attributes of all RDNs of a name.
size_t AttributesOf(CBS name) {
  size_t attributes = 0;
  CBS rdn;
  for (unsigned tag; CBS_len(&name) != 0 && CBS_get_any_asn1(&name, &rdn, &tag);) attributes += LengthOf(rdn);
  return attributes;
}

absl::Status CheckName(CBS name, absl::string_view what) {
  if (CBS_len(&name) > Shape::kMaxNameBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("its ", what, " has ", CBS_len(&name), " bytes: at most ", Shape::kMaxNameBytes, " are taken"));
  }
  const size_t attributes = AttributesOf(name);
  if (attributes > Shape::kMaxNameAttributes) {
    return TooMany(attributes, absl::StrCat("attributes in its ", what), Shape::kMaxNameAttributes);
  }
  return absl::OkStatus();
}

// DistributionPoint is { [0] { fullName [0] | nameRelativeToCRLIssuer [1] }, reasons [1], cRLIssuer [2] }.
absl::Status CheckDistributionPoint(CBS point) {
  CBS element, choice;
  unsigned tag;
  while (CBS_len(&point) != 0) {
    if (!CBS_get_any_asn1(&point, &element, &tag)) return NotDer("a CRL distribution point");
    if (tag == Primitive(1) || tag == Constructed(2)) continue;
    if (tag != Constructed(0) || !CBS_get_any_asn1(&element, &choice, &tag)) {
      return NotDer("a CRL distribution point");
    }
    if (tag != Constructed(0)) {
      return absl::InvalidArgumentError(
          "it has a CRL distribution point relative to an issuer's name (nameRelativeToCRLIssuer): none is taken");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckAlternativeNames(CBS names) {
  const size_t count = LengthOf(names);
  if (count <= Shape::kMaxAlternativeNames) return absl::OkStatus();
  return TooMany(count, "names in subjectAltName", Shape::kMaxAlternativeNames);
}

absl::Status CheckPurposes(CBS purposes) {
  const size_t count = LengthOf(purposes);
  if (count <= Shape::kMaxPurposes) return absl::OkStatus();
  return TooMany(count, "purposes in its extended key usage", Shape::kMaxPurposes);
}

absl::Status CheckDistributionPoints(CBS points) {
  const size_t count = LengthOf(points);
  if (count > Shape::kMaxDistributionPoints) {
    return TooMany(count, "CRL distribution points", Shape::kMaxDistributionPoints);
  }
  CBS point;
  while (CBS_len(&points) != 0) {
    if (!CBS_get_asn1(&points, &point, CBS_ASN1_SEQUENCE)) return NotDer("a CRL distribution point");
    if (absl::Status status = CheckDistributionPoint(point); !status.ok()) return status;
  }
  return absl::OkStatus();
}

// permittedSubtrees [0], excludedSubtrees [1].
absl::Status CheckNameConstraints(CBS constraints) {
  size_t count = 0;
  CBS subtrees;
  for (unsigned tag; CBS_len(&constraints) != 0; count += LengthOf(subtrees)) {
    if (!CBS_get_any_asn1(&constraints, &subtrees, &tag) || (tag != Constructed(0) && tag != Constructed(1))) {
      return NotDer("nameConstraints");
    }
  }
  if (count <= Shape::kMaxNameConstraints) return absl::OkStatus();
  return TooMany(count, "name constraints", Shape::kMaxNameConstraints);
}

// keyIdentifier [0], authorityCertIssuer [1], authorityCertSerialNumber [2]. The names count as elements.
absl::Status CheckAuthorityKeyId(CBS key_id) {
  CBS element;
  for (unsigned tag; CBS_len(&key_id) != 0;) {
    if (!CBS_get_any_asn1(&key_id, &element, &tag) ||
        (tag != Primitive(0) && tag != Constructed(1) && tag != Primitive(2))) {
      return NotDer("authorityKeyIdentifier");
    }
  }
  return absl::OkStatus();
}

// The lists that BoringSSL decodes in every certificate it is asked about (x509v3_cache_extensions), and
// freshestCRL, which is of the same form. Policies and what else there is it leaves alone unless told otherwise; the
// rest of what it decodes holds no list.
struct DecodedExtension {
  absl::string_view oid;
  absl::string_view name;
  absl::Status (*check)(CBS content);
};
constexpr DecodedExtension kDecoded[] = {
    {"\x55\x1d\x11", "subjectAltName", CheckAlternativeNames},
    {"\x55\x1d\x1e", "nameConstraints", CheckNameConstraints},
    {"\x55\x1d\x1f", "cRLDistributionPoints", CheckDistributionPoints},
    {"\x55\x1d\x23", "authorityKeyIdentifier", CheckAuthorityKeyId},
    {"\x55\x1d\x25", "extKeyUsage", CheckPurposes},
    {"\x55\x1d\x2e", "freshestCRL", CheckDistributionPoints},
};

absl::Status CheckExtension(CBS extension, size_t& left) {
  CBS oid, value, content;
  if (!CBS_get_asn1(&extension, &oid, CBS_ASN1_OBJECT) ||
      !CBS_get_optional_asn1(&extension, nullptr, nullptr, CBS_ASN1_BOOLEAN) ||
      !CBS_get_asn1(&extension, &value, CBS_ASN1_OCTETSTRING) || CBS_len(&extension) != 0) {
    return NotDer("an extension");
  }
  const absl::string_view id(reinterpret_cast<const char*>(CBS_data(&oid)), CBS_len(&oid));
  for (const DecodedExtension& decoded : kDecoded) {
    if (id != decoded.oid) continue;
    if (absl::Status status = CountElements(value, 0, left); !status.ok()) return status;
    if (!CBS_get_asn1(&value, &content, CBS_ASN1_SEQUENCE) || CBS_len(&value) != 0) return NotDer(decoded.name);
    return decoded.check(content);
  }
  return absl::OkStatus();
}

absl::Status CheckExtensions(CBS tbs, size_t& left) {
  CBS wrapped, extensions, extension;
  int present = 0;
  if (!CBS_get_optional_asn1(&tbs, &wrapped, &present, Constructed(3))) return NotDer("it");
  if (!present) return absl::OkStatus();
  if (!CBS_get_asn1(&wrapped, &extensions, CBS_ASN1_SEQUENCE)) return NotDer("its list of extensions");
  const size_t count = LengthOf(extensions);
  if (count > Shape::kMaxExtensions) return TooMany(count, "extensions", Shape::kMaxExtensions);
  while (CBS_len(&extensions) != 0) {
    if (!CBS_get_asn1(&extensions, &extension, CBS_ASN1_SEQUENCE)) return NotDer("an extension");
    if (absl::Status status = CheckExtension(extension, left); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckCertificateShape(absl::Span<const uint8_t> der) {
  CBS input, certificate, tbs, issuer, subject;
  CBS_init(&input, der.data(), der.size());
  size_t left = Shape::kMaxElements;
  if (absl::Status status = CountElements(input, 0, left); !status.ok()) return status;
  if (!CBS_get_asn1(&input, &certificate, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1(&certificate, &tbs, CBS_ASN1_SEQUENCE) ||
      !CBS_get_optional_asn1(&tbs, nullptr, nullptr, Constructed(0)) ||    // version
      !CBS_get_asn1(&tbs, nullptr, CBS_ASN1_INTEGER) ||                    // serialNumber
      !CBS_get_asn1(&tbs, nullptr, CBS_ASN1_SEQUENCE) ||                   // signature
      !CBS_get_asn1(&tbs, &issuer, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1(&tbs, nullptr, CBS_ASN1_SEQUENCE) ||                   // validity
      !CBS_get_asn1(&tbs, &subject, CBS_ASN1_SEQUENCE) ||
      !CBS_get_asn1(&tbs, nullptr, CBS_ASN1_SEQUENCE) ||                   // subjectPublicKeyInfo
      !CBS_get_optional_asn1(&tbs, nullptr, nullptr, CBS_ASN1_CONTEXT_SPECIFIC | 1) ||   // issuerUniqueID
      !CBS_get_optional_asn1(&tbs, nullptr, nullptr, CBS_ASN1_CONTEXT_SPECIFIC | 2)) {   // subjectUniqueID
    return absl::InvalidArgumentError("its fields are not those of a certificate");
  }
  if (absl::Status status = CheckName(issuer, "issuer"); !status.ok()) return status;
  if (absl::Status status = CheckName(subject, "subject"); !status.ok()) return status;
  return CheckExtensions(tbs, left);
}

}  // namespace lanyard
