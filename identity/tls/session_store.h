// The sessions a ClientSessionCache holds; a connection keeps a weak reference to it, for the tickets
// that its server sends. Private to identity/tls; not thread-safe.
#pragma once

#include <list>
#include <string>

#include <openssl/ssl.h>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace lanyard {

class SessionStore {
 public:
  SessionStore(size_t max_sessions, size_t max_sessions_per_key)
      : max_sessions_(max_sessions), max_sessions_per_key_(max_sessions_per_key) {}

  // The newest session of `key` whose server is still valid at `now`, which is removed: a ticket is used once
  // (RFC 8446 C.4). Null if there is none.
  bssl::UniquePtr<SSL_SESSION> Take(const std::string& key, absl::Time now);
  // Drops the key's oldest, then the store's oldest, where a limit is reached.
  void Put(const std::string& key, bssl::UniquePtr<SSL_SESSION> session, absl::Time not_after);
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string key;
    bssl::UniquePtr<SSL_SESSION> session;
    absl::Time not_after;
  };
  using Entries = std::list<Entry>;
  void Remove(Entries::iterator entry);

  const size_t max_sessions_;
  const size_t max_sessions_per_key_;
  Entries entries_;                                                             // oldest first
  absl::flat_hash_map<std::string, std::list<Entries::iterator>> by_key_;      // oldest first
};

}  // namespace lanyard
