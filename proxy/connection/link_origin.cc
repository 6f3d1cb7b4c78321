#include "proxy/connection/link_origin.h"

#include <openssl/ssl.h>

#include <memory>
#include <utility>

namespace lanyard {
namespace {

int Index() {
  static const int index =
      SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, [](void*, void* origin, CRYPTO_EX_DATA*, int, long, void*) {
        delete static_cast<LinkOrigin*>(origin);
      });
  return index;
}

}  // namespace

bool SetLinkOrigin(SSL* ssl, LinkOrigin origin) {
  auto owned = std::make_unique<LinkOrigin>(std::move(origin));
  if (SSL_set_ex_data(ssl, Index(), owned.get()) != 1) return false;
  owned.release();
  return true;
}

const LinkOrigin* LinkOriginOf(const SSL* ssl) {
  return ssl == nullptr ? nullptr : static_cast<const LinkOrigin*>(SSL_get_ex_data(ssl, Index()));
}

}  // namespace lanyard
