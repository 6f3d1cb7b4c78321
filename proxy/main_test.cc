// The command line of lanyard-proxy, by its real binary.
#include <signal.h>

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "identity/base/atomic_file.h"
#include "proxy/process_testing.h"

namespace lanyard {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr char kGood[] = R"(
identity: {files: {certificate: svid.pem, key: key.pem, bundle: bundle.pem}}
admin: {disabled: true}
log: {format: json}
listeners: [{name: in, inbound: {address: "127.0.0.1:0", destination: "127.0.0.1:80", peers: ["spiffe://td/*"]}}]
)";

std::string ConfigFile(const std::string& name, const std::string& text) {
  const std::string path = testing::TempDir() + "/" + name;
  EXPECT_TRUE(WriteFileAtomically(path, text, 0600).ok());
  return path;
}

TEST(CommandLine, HelpShowsExamplesAndEndsWell) {
  for (const char* flag : {"--help", "-h", "help"}) {
    ProxyProcess proxy({flag});
    EXPECT_EQ(proxy.AwaitExit(), 0);
    EXPECT_THAT(proxy.Output(), HasSubstr("examples:"));
  }
}

TEST(CommandLine, VersionIsOneLine) {
  ProxyProcess proxy({"version"});
  EXPECT_EQ(proxy.AwaitExit(), 0);
  EXPECT_THAT(proxy.Output(), testing::MatchesRegex("lanyard-proxy [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(CommandLine, WhatIsUnknownIsAnErrorOfItsOwnCode) {
  const std::vector<std::vector<std::string>> wrong = {
      {}, {"serve"}, {"run"}, {"run", "--config"}, {"run", "--config", "x", "--verbose"}, {"version", "now"}};
  for (const std::vector<std::string>& arguments : wrong) {
    ProxyProcess proxy(arguments);
    EXPECT_EQ(proxy.AwaitExit(), 2) << testing::PrintToString(arguments);
    EXPECT_THAT(proxy.Output(), HasSubstr("see lanyard-proxy --help"));
  }
}

TEST(CommandLine, CheckConfigSaysOkAndStartsNothing) {
  ProxyProcess proxy({"run", "--config", ConfigFile("good.yaml", kGood), "--check-config"});
  EXPECT_EQ(proxy.AwaitExit(), 0);
  EXPECT_EQ(proxy.Output(), "ok\n");
}

TEST(CommandLine, EveryMistakeIsReportedWithOrWithoutCheckConfig) {
  const std::string path =
      ConfigFile("bad.yaml", std::string(kGood) + "workers: -1\nlimit: {}\ndrain_deadline: soon\n");
  ProxyProcess check({"run", "--config=" + path, "--check-config"}), run({"run", "--config", path});
  for (ProxyProcess* proxy : {&check, &run}) {
    EXPECT_EQ(proxy->AwaitExit(), 1);
    EXPECT_THAT(proxy->Output(), StartsWith("lanyard-proxy: " + path + ": 3 mistakes"));
    EXPECT_THAT(proxy->Output(), HasSubstr("workers:"));
    EXPECT_THAT(proxy->Output(), HasSubstr("limit:"));
    EXPECT_THAT(proxy->Output(), HasSubstr("drain_deadline:"));
  }
}

TEST(CommandLine, AMissingFileIsNamed) {
  ProxyProcess proxy({"run", "--config", "/nonexistent/proxy.yaml"});
  EXPECT_EQ(proxy.AwaitExit(), 1);
  EXPECT_THAT(proxy.Output(), HasSubstr("/nonexistent/proxy.yaml"));
}

TEST(CommandLine, SigtermWhileWaitingForTheFirstIdentityEndsWell) {
  ProxyProcess proxy({"run", "--config", ConfigFile("waiting.yaml", kGood)});
  EXPECT_NE(proxy.AwaitLine({"\"waiting for an identity\""}), "");
  proxy.Signal(SIGTERM);
  EXPECT_EQ(proxy.AwaitExit(), 0);
}

}  // namespace
}  // namespace lanyard
