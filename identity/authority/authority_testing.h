// For tests: the parts of an authority without its servers, on fakes, with a hierarchy that signs.
#pragma once

#include <stdlib.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "identity/authority/ca_rotation.h"
#include "identity/authority/issuer.h"
#include "identity/authority/node_attestation.h"
#include "identity/authority/node_watches.h"
#include "identity/base/fake_clock.h"
#include "identity/base/fake_random.h"
#include "identity/registry/fake_store.h"
#include "identity/registry/mesh_registry.h"
#include "identity/registry/mesh_reports.h"
#include "identity/registry/registry.h"
#include "identity/spiffe/csr.h"
#include "identity/spiffe/private_key.h"
#include "identity/spiffe/verify.h"

namespace lanyard {

// A new folder below the test's own.
inline std::string NewTestFolder() {
  const char* parent = getenv("TEST_TMPDIR");
  std::string folder = std::string(parent == nullptr ? "." : parent) + "/authority.XXXXXX";
  EXPECT_NE(mkdtemp(folder.data()), nullptr);
  return folder;
}

struct AuthorityParts {
  explicit AuthorityParts(CaLifetimes lifetimes = {}, Issuer::Lifetimes svids = {}) : lifetimes(lifetimes) {
    registry = *Registry::Open(trust_domain, {.max_x509_svid_ttl = lifetimes.LongestLeaf()}, store, clock, random);
    registry->SetOnChange([this] { watches.WakeAll(); });
    mesh = *MeshRegistry::Open(trust_domain, store, clock);
    mesh->SetOnChange([this] { watches.WakeAll(); });
    rotation = *CaRotation::Open(*OpenKeys(), lifetimes, *registry, clock, random);
    EXPECT_TRUE(rotation->Step().ok());
    issuer =
        std::make_unique<Issuer>([this] { return rotation->current(); },
                                 [this](const SpiffeId& id) { return mesh->CheckIssuing(id); }, svids, clock, random);
    attestation = std::make_unique<NodeAttestation>(*registry, *mesh, *issuer);
  }

  absl::StatusOr<CaKeys> OpenKeys() {
    return CaKeys::Open(folder + "/authorities.sealed", folder + "/sealing.key", trust_domain, random);
  }
  BundleSet Bundles() const {
    BundleSet bundles;
    bundles.Set(registry->snapshot()->bundle);
    return bundles;
  }
  absl::StatusOr<VerifiedSvid> Verify(const std::vector<Certificate>& chain) const {
    return VerifySvid(chain, Bundles(), clock.Now());
  }
  // A node that has attested, as its connection would prove it.
  VerifiedSvid AttestedNode(const std::string& name) {
    const auto token = registry->CreateJoinToken(name, absl::ZeroDuration());
    const auto chain = attestation->Attest(token->text, *Csr::Create(*PrivateKey::Generate(KeyType::kEcP256)));
    EXPECT_TRUE(chain.ok()) << chain.status();
    return *Verify(*chain);
  }
  Entry CreateEntry(const std::string& path, const std::string& parent = "",
                    absl::Duration ttl = absl::ZeroDuration()) {
    EntryFields fields;
    fields.spiffe_id = trust_domain.IdString() + path;
    fields.parent_id = parent;
    fields.selectors = {"unix:uid:1000"};
    fields.x509_svid_ttl = ttl;
    const auto entry = registry->CreateEntry(fields);
    EXPECT_TRUE(entry.ok()) << entry.status();
    return *entry;
  }

  const TrustDomain trust_domain = *TrustDomain::Parse("example.org");
  const CaLifetimes lifetimes;
  const std::string folder = NewTestFolder();
  FakeClock clock;
  FakeRandom random;
  FakeStore store;
  NodeWatches watches;
  MeshReports reports;
  std::unique_ptr<Registry> registry;
  std::unique_ptr<MeshRegistry> mesh;
  std::unique_ptr<CaRotation> rotation;
  std::unique_ptr<Issuer> issuer;
  std::unique_ptr<NodeAttestation> attestation;
};

inline std::string NewCsr() { return *Csr::Create(*PrivateKey::Generate(KeyType::kEcP256)); }

}  // namespace lanyard
