// lanyard-bench-load: the client and the server of the benchmark. See README.md.
//
//   lanyard-bench-load server --listen 127.0.0.1:0
//   lanyard-bench-load aead
//   lanyard-bench-load requests|connections|storm|bulk-up|bulk-down|idle --target ADDRESS [--KEY VALUE ...]
#include <sys/prctl.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>

#include "tests/bench/echo_server.h"
#include "tests/bench/load.h"
#include "tests/bench/sockets.h"

namespace lanyard::bench {
namespace {

using Flags = std::map<std::string, std::string>;

Flags ReadFlags(int argc, char** argv) {
  Flags flags;
  for (int i = 2; i < argc; i += 2) {
    const std::string name = argv[i];
    if (name.rfind("--", 0) != 0 || i + 1 == argc) Die("\"" + name + "\" is not --NAME followed by a value");
    flags[name.substr(2)] = argv[i + 1];
  }
  return flags;
}

LoadOptions ReadLoadOptions(const Flags& flags) {
  LoadOptions options;
  const std::map<std::string, std::function<void(const std::string&)>> known = {
      {"target", [&](const std::string& value) { options.target = ParseAddress(value); }},
      {"connections", [&](const std::string& value) { options.connections = strtoull(value.c_str(), nullptr, 10); }},
      {"size", [&](const std::string& value) { options.size_bytes = strtoull(value.c_str(), nullptr, 10); }},
      {"seconds", [&](const std::string& value) { options.seconds = atof(value.c_str()); }},
      {"count", [&](const std::string& value) { options.count = strtoull(value.c_str(), nullptr, 10); }},
      {"rate", [&](const std::string& value) { options.rate = strtoull(value.c_str(), nullptr, 10); }},
      {"bytes", [&](const std::string& value) { options.total_bytes = strtoull(value.c_str(), nullptr, 10); }},
      {"timeout", [&](const std::string& value) { options.timeout_s = atof(value.c_str()); }},
  };
  for (const auto& [name, value] : flags) {
    const auto found = known.find(name);
    if (found == known.end()) Die("there is no flag --" + name);
    found->second(value);
  }
  if (options.target.sin_port == 0) Die("--target ADDRESS:PORT is missing");
  if (options.connections == 0 || options.size_bytes == 0) Die("--connections and --size must be at least 1");
  return options;
}

void Run(const std::string& mode, const Flags& flags) {
  if (mode == "server") {
    const auto listen = flags.find("listen");
    return RunEchoServer(listen == flags.end() ? "127.0.0.1:0" : listen->second);
  }
  if (mode == "aead") return RunAead();
  const std::map<std::string, void (*)(const LoadOptions&)> loads = {
      {"requests", RunRequests}, {"connections", RunNewConnections}, {"storm", RunStorm},
      {"bulk-up", RunBulkUp},    {"bulk-down", RunBulkDown},         {"idle", RunIdle},
  };
  const auto load = loads.find(mode);
  if (load == loads.end()) {
    Die("\"" + mode + "\" is not server, aead, requests, connections, storm, bulk-up, bulk-down or idle");
  }
  load->second(ReadLoadOptions(flags));
}

}  // namespace
}  // namespace lanyard::bench

int main(int argc, char** argv) {
  if (argc < 2) lanyard::bench::Die("the first argument says what to do: server, requests, connections, ...");
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // never outlives the benchmark
  lanyard::bench::Run(argv[1], lanyard::bench::ReadFlags(argc, argv));
  return 0;
}
