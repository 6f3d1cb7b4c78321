// What the registry keeps beside entries: nodes, join tokens, and the public side of the signing authorities.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "identity/spiffe/certificate.h"
#include "identity/spiffe/spiffe_id.h"

namespace lanyard {

// A node that proved itself; its agent.
struct Node {
  SpiffeId id;
  std::string attestation;  // "join_token"
  absl::Time attested_at;
  std::string svid_serial;  // of the newest node SVID
  absl::Time svid_expires_at;
  // Of the SVID it was attested with last, to the second: one that begins earlier is of a life before, and may be
  // stolen. Earlier where one that was renewed began so, by a clock that had been set back.
  absl::Time min_not_before = absl::UnixEpoch();

  friend bool operator==(const Node&, const Node&) = default;
};

// The token's text is never kept, only its SHA-256 (32 raw bytes).
struct JoinToken {
  std::string hash;
  SpiffeId agent_id;  // who may be made of it
  absl::Time created_at;
  absl::Time expires_at;
  std::optional<absl::Time> used_at;

  friend bool operator==(const JoinToken&, const JoinToken&) = default;
};

enum class AuthorityKind { kRoot, kIntermediate };
enum class AuthorityState { kPrepared, kActive, kRetired };

// "root", "intermediate"; "prepared", "active", "retired".
absl::string_view AuthorityKindName(AuthorityKind kind);
absl::string_view AuthorityStateName(AuthorityState state);
std::optional<AuthorityKind> AuthorityKindFromName(absl::string_view name);
std::optional<AuthorityState> AuthorityStateFromName(absl::string_view name);

// A signing authority as everybody may see it.
struct AuthorityRecord {
  AuthorityKind kind;
  AuthorityState state;
  Certificate certificate;

  friend bool operator==(const AuthorityRecord&, const AuthorityRecord&) = default;
};

}  // namespace lanyard
