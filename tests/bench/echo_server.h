// The server behind the inbound proxy; see wire.h for what it answers. One thread.
#pragma once

#include <string>

namespace lanyard::bench {

// Prints "listening PORT" and serves until standard input ends.
void RunEchoServer(const std::string& address);

}  // namespace lanyard::bench
