#include "identity/agent/authority_dialer.h"

#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "identity/base/atomic_file.h"
#include "identity/base/logging.h"
#include "identity/base/secret.h"
#include "identity/channel/client.h"
#include "identity/channel/insecure_server_chain.h"
#include "identity/spiffe/verify.h"
#include "identity/tls/tls_context.h"

namespace lanyard {
namespace {

constexpr size_t kTokenSizeLimitBytes = 4096;

// gRPC is HTTP/2. Tickets would save little on one connection an hour.
TlsContext::Options ChannelTls() { return {.alpn = {"h2"}, .alpn_required = true, .session_resumption = false}; }

void CleanseText(std::string& text) { Cleanse({reinterpret_cast<uint8_t*>(text.data()), text.size()}); }

}  // namespace

absl::StatusOr<std::string> ReadJoinToken(const std::string& inline_token, const std::string& file) {
  if (file.empty()) {
    if (!inline_token.empty()) return inline_token;
    return absl::FailedPreconditionError(
        "this node has no valid SVID and no join token; make one with `lanyard token create` and write it to "
        "attestation.join_token_file");
  }
  absl::StatusOr<std::string> content = ReadFile(file, kTokenSizeLimitBytes);
  if (!content.ok()) {
    return absl::Status(content.status().code(),
                        absl::StrCat("attestation.join_token_file: ", content.status().message(),
                                     "; make one with `lanyard token create --write`"));
  }
  std::string token(absl::StripAsciiWhitespace(*content));
  CleanseText(*content);
  if (token.empty()) return absl::FailedPreconditionError(absl::StrCat("attestation.join_token_file: ", file,
                                                                       " is empty; make one with `lanyard token create "
                                                                       "--write`"));
  return token;
}

AuthorityDialer::AuthorityDialer(Options options, const Clock& clock)
    : options_(std::move(options)),
      authority_id_(*SpiffeId::FromParts(options_.trust_domain, "/lanyard/authority")),
      clock_(clock),
      cache_(std::make_shared<VerifyCache>()) {}

absl::StatusOr<std::shared_ptr<AuthorityClient>> AuthorityDialer::Connect(
    std::shared_ptr<const TlsContext> context) const {
  const SpiffeId expected = authority_id_;
  absl::StatusOr<std::unique_ptr<ChannelClient>> dialled =
      ChannelClient::Dial({.address = options_.address,
                           .expect_server = [expected](const SpiffeId& server) { return server == expected; },
                           .timeout = options_.timeout},
                          std::move(context));
  if (absl::IsUnauthenticated(dialled.status())) {
    return absl::UnauthenticatedError(
        absl::StrCat(dialled.status().message(), "; see that authority.address is the authority of ",
                     options_.trust_domain.name(),
                     ", and that authority.bundle_file is what its `lanyard bundle show` prints"));
  }
  if (!dialled.ok()) return dialled.status();
  std::shared_ptr<ChannelClient> connection = *std::move(dialled);
  std::shared_ptr<grpc::Channel> channel = connection->channel();
  return NewAuthorityClient(std::move(channel), std::move(connection), options_.trust_domain);
}

absl::StatusOr<std::shared_ptr<AuthorityClient>> AuthorityDialer::Dial(const NodeIdentity& node) const {
  absl::StatusOr<std::shared_ptr<const TlsContext>> context =
      TlsContext::Create(node.svid, node.bundles, cache_, clock_, ChannelTls());
  if (!context.ok()) return context.status();
  return Connect(*std::move(context));
}

absl::StatusOr<std::vector<Certificate>> AuthorityDialer::ReadBundleFile() const {
  if (options_.insecure_trust_on_first_use) return std::vector<Certificate>();
  const absl::StatusOr<std::string> pem = ReadFile(options_.bundle_file);
  if (!pem.ok()) {
    return absl::Status(pem.status().code(), absl::StrCat("authority.bundle_file: ", pem.status().message()));
  }
  absl::StatusOr<X509Bundle> bundle = X509Bundle::ParsePem(options_.trust_domain, *pem);
  if (bundle.ok()) return bundle->authorities();
  return absl::InvalidArgumentError(absl::StrCat("authority.bundle_file: ", options_.bundle_file, ": ",
                                                 bundle.status().message(),
                                                 "; write into it what `lanyard bundle show` prints"));
}

absl::StatusOr<BundleSet> AuthorityDialer::FirstBundles(const BundleSet* known,
                                                        std::vector<Certificate>* shown) const {
  BundleSet bundles;
  const X509Bundle* const known_bundle = known == nullptr ? nullptr : known->Find(options_.trust_domain);
  if (!options_.insecure_trust_on_first_use || known_bundle != nullptr) {
    absl::StatusOr<std::vector<Certificate>> authorities = ReadBundleFile();
    if (!authorities.ok()) return authorities.status();
    // The file may be older than what the authority told since.
    if (known_bundle != nullptr) {
      authorities->insert(authorities->end(), known_bundle->authorities().begin(), known_bundle->authorities().end());
    }
    absl::StatusOr<X509Bundle> bundle = X509Bundle::Create(options_.trust_domain, *std::move(authorities));
    if (!bundle.ok()) return bundle.status();
    bundles.Set(*std::move(bundle));
    return bundles;
  }
  absl::StatusOr<std::vector<Certificate>> chain = InsecureServerChain(options_.address, options_.timeout);
  if (!chain.ok()) return chain.status();
  // The root if the server sends it, otherwise the intermediate nearest to it.
  absl::StatusOr<X509Bundle> bundle = X509Bundle::Create(options_.trust_domain, {chain->back()});
  if (!bundle.ok()) {
    return absl::UnauthenticatedError(absl::StrCat("what answers at ", options_.address, " cannot be trusted on first ",
                                                   "use: ", bundle.status().message()));
  }
  Log(LogLevel::kWarning,
      "trusting on first use: whoever answered now is taken for the authority; compare with `lanyard check` there",
      {{"address", options_.address},
       {"serial", chain->back().serial()},
       {"sha256", absl::BytesToHexString(chain->back().fingerprint())}});
  bundles.Set(*std::move(bundle));
  *shown = *std::move(chain);
  return bundles;
}

absl::StatusOr<AuthorityClient::NodeGrant> AuthorityDialer::Attest(const std::string& csr_der,
                                                                   const BundleSet* known) const {
  absl::StatusOr<std::string> token = ReadJoinToken(options_.join_token, options_.join_token_file);
  if (!token.ok()) return token.status();
  std::vector<Certificate> shown;
  absl::StatusOr<BundleSet> bundles = FirstBundles(known, &shown);
  if (!bundles.ok()) return bundles.status();
  absl::StatusOr<std::shared_ptr<const TlsContext>> context =
      TlsContext::CreateAnonymousClient(*std::move(bundles), cache_, clock_, ChannelTls());
  if (!context.ok()) return context.status();
  absl::StatusOr<std::shared_ptr<AuthorityClient>> client = Connect(*std::move(context));
  if (!client.ok()) return client.status();
  absl::StatusOr<AuthorityClient::NodeGrant> grant = (*client)->Attest(*token, csr_der, options_.timeout);
  CleanseText(*token);
  if (!grant.ok() || shown.empty()) return grant;
  const auto verified = VerifySvid(shown, grant->bundles, clock_.Now());
  if (verified.ok() && verified->id == authority_id_) return grant;
  return absl::PermissionDeniedError(
      absl::StrCat("the bundle that the authority gave does not vouch for the certificate it had shown: ",
                   verified.status().message()));
}

}  // namespace lanyard
