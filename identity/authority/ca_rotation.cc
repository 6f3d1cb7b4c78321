#include "identity/authority/ca_rotation.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "identity/base/logging.h"

namespace lanyard {
namespace {

// A registry row that the sealed file does not know: the file is older than the registry.
void WarnOfLostAuthorities(const RegistrySnapshot& registry, const std::vector<CaAuthority>& sealed, absl::Time now) {
  for (const AuthorityRecord& record : registry.authorities) {
    const bool known = std::any_of(sealed.begin(), sealed.end(), [&](const CaAuthority& authority) {
      return authority.certificate == record.certificate;
    });
    if (known || now >= record.certificate.not_after()) continue;
    // It is not published: only the sealed file can vouch for a root.
    Log(LogLevel::kError,
        "a signing authority of the registry is missing in the sealed keys, as after restoring an old "
        "backup: what it signed is no longer trusted",
        {{"kind", AuthorityKindName(record.kind)}, {"serial", record.certificate.serial()}});
  }
}

void LogEvent(const CaEvent& event) {
  const std::string not_after = absl::FormatTime(event.not_after, absl::UTCTimeZone());
  const std::initializer_list<LogField> fields = {
      {"kind", AuthorityKindName(event.kind)}, {"serial", event.serial}, {"not_after", not_after}};
  switch (event.what) {
    case CaEvent::What::kPrepared:
      return Log(LogLevel::kInfo, "prepared a signing authority", fields);
    case CaEvent::What::kActivated:
      return Log(LogLevel::kInfo, "activated a signing authority", fields);
    case CaEvent::What::kRetired:
      return Log(LogLevel::kInfo, "retired a signing authority", fields);
    case CaEvent::What::kExpired:
      return Log(LogLevel::kInfo, "a signing authority has expired", fields);
    case CaEvent::What::kDiscarded:
      return Log(LogLevel::kWarning,
                 "discarded a signing authority that was made while the clock was ahead, or is set back now", fields);
  }
}

// The very first root is news; one that replaces a hierarchy that ended unattended is an alarm.
void LogUnannounced(const std::vector<CaEvent>& events, bool first_start) {
  for (const CaEvent& event : events) {
    if (!event.unannounced) continue;
    if (first_start) {
      Log(LogLevel::kInfo, "made the first root of the trust domain", {{"serial", event.serial}});
    } else {
      Log(LogLevel::kError,
          "the signing hierarchy had expired while the authority was down: a NEW ROOT signs at once, and workloads "
          "trust "
          "it only when the new bundle has reached them",
          {{"serial", event.serial}});
    }
  }
}

}  // namespace

CaRotation::CaRotation(CaKeys keys, CaHierarchy hierarchy, Registry& registry, const Clock& clock, Random& random)
    : keys_(std::move(keys)),
      registry_(registry),
      clock_(clock),
      random_(random),
      current_(std::make_shared<const CaHierarchy>(std::move(hierarchy))) {}

absl::StatusOr<std::unique_ptr<CaRotation>> CaRotation::Open(CaKeys keys, CaLifetimes lifetimes, Registry& registry,
                                                             const Clock& clock, Random& random) {
  std::vector<CaAuthority> authorities;
  if (keys.empty()) {
    for (const AuthorityRecord& record : registry.snapshot()->authorities) {
      if (record.kind != AuthorityKind::kRoot || clock.Now() >= record.certificate.not_after()) continue;
      return absl::FailedPreconditionError(absl::StrCat(
          "the sealed signing keys are gone although root ", record.certificate.serial(),
          " is valid; restore them from a backup, or empty the data directory to begin a new trust domain"));
    }
  } else {
    absl::StatusOr<std::vector<CaAuthority>> loaded = keys.Load();
    if (!loaded.ok()) return loaded.status();
    authorities = *std::move(loaded);
    WarnOfLostAuthorities(*registry.snapshot(), authorities, clock.Now());
  }
  CaHierarchy hierarchy(registry.trust_domain(), lifetimes, std::move(authorities));
  return std::unique_ptr<CaRotation>(new CaRotation(std::move(keys), std::move(hierarchy), registry, clock, random));
}

absl::StatusOr<absl::Time> CaRotation::Step() {
  const absl::Time now = clock_.Now();
  auto next = std::make_shared<CaHierarchy>(*current());
  const absl::StatusOr<std::vector<CaEvent>> events = next->Advance(now, random_);
  if (!events.ok()) return events.status();
  if (!events->empty()) {
    const bool first_start = keys_.empty();
    if (absl::Status saved = keys_.Save(next->authorities()); !saved.ok()) return saved;
    for (const CaEvent& event : *events) LogEvent(event);
    LogUnannounced(*events, first_start);
  }
  // Without events too: after a crash between the two, the rows are behind the file.
  if (absl::Status published = registry_.PublishAuthorities(next->Records()); !published.ok()) {
    return published;
  }
  const absl::Time change = next->NextChange(now);
  std::lock_guard<std::mutex> lock(mutex_);
  current_ = std::move(next);
  return change;
}

std::shared_ptr<const CaHierarchy> CaRotation::current() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return current_;
}

}  // namespace lanyard
