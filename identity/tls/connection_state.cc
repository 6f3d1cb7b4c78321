#include "identity/tls/connection_state.h"

namespace lanyard {
namespace {

void FreeState(void*, void* state, CRYPTO_EX_DATA*, int, long, void*) { delete static_cast<ConnectionState*>(state); }

int StateIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, FreeState);
  return index;
}

}  // namespace

ConnectionState* ConnectionState::Of(const SSL* ssl) {
  return static_cast<ConnectionState*>(SSL_get_ex_data(ssl, StateIndex()));
}

bool ConnectionState::Attach(SSL* ssl, std::unique_ptr<ConnectionState> state) {
  if (!SSL_set_ex_data(ssl, StateIndex(), state.get())) return false;
  state.release();
  return true;
}

}  // namespace lanyard
