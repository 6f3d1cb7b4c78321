// Whatever the bytes: parsing and verifying a chain never crashes, and no chain is accepted that
// the bundle's key did not sign.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "identity/base/clock.h"
#include "identity/spiffe/fake_ca.h"
#include "identity/spiffe/svid.h"
#include "identity/spiffe/verify.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const lanyard::FakeCa* const root = new lanyard::FakeCa(lanyard::FakeCa::Root("example.org"));
  static const lanyard::BundleSet* const bundles = new lanyard::BundleSet(root->Bundles());
  static const lanyard::FakeCa* const intermediate = new lanyard::FakeCa(root->Intermediate());
  static const absl::Time now = lanyard::SystemClock().Now();
  const auto chain = lanyard::Certificate::ParseConcatenatedDer(absl::MakeConstSpan(data, size));
  if (!chain.ok()) {
    if (!absl::IsInvalidArgument(chain.status())) abort();
    return 0;
  }
  std::string der;
  for (const lanyard::Certificate& certificate : *chain) {
    der += certificate.der();
    const auto from_pem = lanyard::Certificate::ParsePem(certificate.ToPem());
    if (!from_pem.ok() || !(from_pem->front() == certificate)) abort();
  }
  if (der != std::string(reinterpret_cast<const char*>(data), size)) abort();
  // The root's key is new in every process: no input can hold its signature.
  if (lanyard::VerifySvid(*chain, *bundles, now).ok()) abort();
  // The same with issuers of ours to build paths from.
  std::vector<lanyard::Certificate> longer = *chain;
  longer.push_back(intermediate->certificate());
  longer.push_back(root->certificate());
  if (lanyard::VerifySvid(longer, *bundles, now).ok()) abort();
  return 0;
}
