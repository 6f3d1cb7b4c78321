#include "identity/authority/issuer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"
#include "identity/spiffe/csr.h"

namespace lanyard {

SpiffeId AuthorityId(const TrustDomain& trust_domain) {
  return *SpiffeId::FromParts(trust_domain, "/lanyard/authority");
}

Issuer::Issuer(Hierarchy hierarchy, Permission permission, Lifetimes lifetimes, const Clock& clock, Random& random)
    : hierarchy_(std::move(hierarchy)),
      permission_(std::move(permission)),
      lifetimes_(lifetimes),
      clock_(clock),
      random_(random) {}

absl::StatusOr<std::vector<Certificate>> Issuer::SignKey(const SpiffeId& id, EVP_PKEY* key, absl::Duration lifetime,
                                                         const std::vector<std::string>& dns_names) const {
  const std::optional<SigningAuthority> signer = hierarchy_()->Signer();
  const absl::Time now = clock_.Now();
  if (!signer) return absl::UnavailableError("there is no signing authority yet; try again");
  // Not Unavailable: an agent would take the connection for broken, and could not make another while clocks are wrong.
  if (now < signer->certificate.not_before() || now >= signer->certificate.not_after()) {
    return absl::FailedPreconditionError(absl::StrCat("no signing authority is valid at ",
                                                      absl::FormatTime(now, absl::UTCTimeZone()),
                                                      "; check the authority's clock"));
  }
  absl::StatusOr<Certificate> leaf =
      SignLeaf(*signer, {id, key, now - lifetimes_.backdate, now + lifetime, dns_names}, random_);
  if (!leaf.ok()) return leaf.status();
  Log(LogLevel::kInfo, "issued an X.509-SVID",
      {{"spiffe_id", id.ToString()},
       {"serial", leaf->serial()},
       {"issuer_serial", signer->certificate.serial()},
       {"not_after", absl::FormatTime(leaf->not_after(), absl::UTCTimeZone())}});
  return std::vector<Certificate>{*std::move(leaf), signer->certificate};
}

absl::StatusOr<std::vector<Certificate>> Issuer::SignCsr(const SpiffeId& id, absl::string_view csr_der,
                                                         absl::Duration lifetime,
                                                         const std::vector<std::string>& dns_names) const {
  if (absl::Status permitted = permission_(id); !permitted.ok()) return permitted;
  const absl::StatusOr<Csr> csr =
      Csr::Parse(absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(csr_der.data()), csr_der.size()));
  if (!csr.ok()) return csr.status();
  return SignKey(id, csr->public_key(), lifetime, dns_names);
}

absl::StatusOr<std::vector<Certificate>> Issuer::SignWorkload(const Entry& entry, absl::string_view csr_der) const {
  return SignCsr(entry.spiffe_id(), csr_der, LifetimeOf(entry), entry.dns_names());
}

absl::Duration Issuer::LifetimeOf(const Entry& entry) const {
  return entry.x509_svid_ttl() > absl::ZeroDuration() ? entry.x509_svid_ttl() : lifetimes_.x509_svid;
}

absl::StatusOr<std::vector<Certificate>> Issuer::SignNode(const SpiffeId& agent, absl::string_view csr_der) const {
  return SignCsr(agent, csr_der, lifetimes_.node_svid, {});
}

absl::StatusOr<X509Svid> Issuer::MakeOwnSvid() const {
  absl::StatusOr<PrivateKey> key = PrivateKey::Generate(KeyType::kEcP256);
  if (!key.ok()) return key.status();
  absl::StatusOr<std::vector<Certificate>> chain =
      SignKey(AuthorityId(hierarchy_()->trust_domain()), key->evp(), lifetimes_.node_svid, {});
  if (!chain.ok()) return chain.status();
  return X509Svid::Create(*std::move(chain), *std::move(key));
}

}  // namespace lanyard
