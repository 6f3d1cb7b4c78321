#include "identity/registry/records.h"

namespace lanyard {

absl::string_view AuthorityKindName(AuthorityKind kind) {
  return kind == AuthorityKind::kRoot ? "root" : "intermediate";
}

absl::string_view AuthorityStateName(AuthorityState state) {
  switch (state) {
    case AuthorityState::kPrepared:
      return "prepared";
    case AuthorityState::kActive:
      return "active";
    case AuthorityState::kRetired:
      return "retired";
  }
  return "retired";
}

std::optional<AuthorityKind> AuthorityKindFromName(absl::string_view name) {
  for (AuthorityKind kind : {AuthorityKind::kRoot, AuthorityKind::kIntermediate}) {
    if (AuthorityKindName(kind) == name) return kind;
  }
  return std::nullopt;
}

std::optional<AuthorityState> AuthorityStateFromName(absl::string_view name) {
  for (AuthorityState state : {AuthorityState::kPrepared, AuthorityState::kActive, AuthorityState::kRetired}) {
    if (AuthorityStateName(state) == name) return state;
  }
  return std::nullopt;
}

}  // namespace lanyard
