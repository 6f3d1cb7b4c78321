#include "identity/workload/endpoint_address.h"

#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(EndpointAddressTest, ReadsWhatTheStandardAllows) {
  EXPECT_EQ(*GrpcTargetOf("unix:///run/agent.sock"), "unix:/run/agent.sock");
  EXPECT_EQ(*GrpcTargetOf("unix:/run/agent.sock"), "unix:/run/agent.sock");
  EXPECT_EQ(*GrpcTargetOf("tcp://127.0.0.1:8000"), "ipv4:127.0.0.1:8000");
  EXPECT_EQ(*GrpcTargetOf("tcp://[::1]:8000"), "ipv6:[::1]:8000");
}

TEST(EndpointAddressTest, RefusesEverythingElse) {
  for (const char* uri :
       {"", "/run/agent.sock", "unix:", "unix://", "unix://run/agent.sock", "unix:run/agent.sock",
        "unix:////run/agent.sock", "unix:///run/agent.sock?x=y", "unix:///run/agent.sock#x", "unix:///run/%61",
        "unix://host/run/agent.sock", "tcp://127.0.0.1", "tcp://127.0.0.1:", "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:65536", "tcp://127.0.0.1:8000/", "tcp://127.0.0.1:8000/foo", "tcp://localhost:8000",
        "tcp://::1:8000", "tcp://[::1]", "tcp://user@127.0.0.1:8000", "http://127.0.0.1:8000",
        "UNIX:///run/agent.sock"}) {
    const auto target = GrpcTargetOf(uri);
    EXPECT_TRUE(absl::IsInvalidArgument(target.status())) << uri << " -> " << *target;
  }
}

}  // namespace
}  // namespace lanyard
