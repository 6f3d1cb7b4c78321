#include "identity/config/checks.h"

#include <stdlib.h>

#include <string>

#include "gtest/gtest.h"
#include "identity/base/atomic_file.h"

namespace lanyard {
namespace {

bool Takes(absl::string_view text, AddressUse use) { return ParseConfigAddress(text, use).ok(); }

TEST(ParseConfigAddress, SplitsHostAndPort) {
  const auto v4 = ParseConfigAddress("127.0.0.1:8080", AddressUse::kListen);
  ASSERT_TRUE(v4.ok()) << v4.status();
  EXPECT_EQ(v4->host, "127.0.0.1");
  EXPECT_EQ(v4->port, 8080);
  EXPECT_EQ(ParseConfigAddress("[::1]:0", AddressUse::kListenTcp)->host, "::1");
  EXPECT_EQ(ParseConfigAddress(":7443", AddressUse::kListen)->host, "");
  EXPECT_EQ(ParseConfigAddress("authority.example.org:7443", AddressUse::kDial)->host, "authority.example.org");
  EXPECT_EQ(ParseConfigAddress("unix:///run/a.sock", AddressUse::kDial)->unix_path, "/run/a.sock");
  EXPECT_EQ(ParseConfigAddress("unix:/run/a.sock", AddressUse::kListen)->unix_path, "/run/a.sock");
}

TEST(ParseConfigAddress, UseDecides) {
  EXPECT_FALSE(Takes("localhost:80", AddressUse::kListen));
  EXPECT_TRUE(Takes("localhost:80", AddressUse::kDialTcp));
  EXPECT_FALSE(Takes(":80", AddressUse::kDial));
  EXPECT_FALSE(Takes("10.0.0.1:0", AddressUse::kDial));
  EXPECT_TRUE(Takes("10.0.0.1:0", AddressUse::kListen));
  EXPECT_FALSE(Takes("unix:///a", AddressUse::kListenTcp));
  EXPECT_FALSE(Takes("unix:///a", AddressUse::kDialTcp));
}

TEST(ParseConfigAddress, RefusesWhatIsNoAddress) {
  for (absl::string_view text :
       {"", "80", "host", "host:", "host:http", "host:65536", "host:-1", "host:+1", "host: 1", "::1:80", "[::1]",
        "[::1]80", "[1.2.3.4]:80", "[fe80::zz]:80", "300.1.1.1:80", "1.2.3:80", "-host:80", "host.:80", "a..b:80",
        "ho st:80", "http://host:80", "unix://", "unix:///", "unix://run/a.sock", "unix:a.sock"}) {
    EXPECT_FALSE(Takes(text, AddressUse::kDial)) << text;
  }
  EXPECT_FALSE(Takes("unix:///" + std::string(107, 'x'), AddressUse::kListen));
  EXPECT_TRUE(Takes("unix:///" + std::string(106, 'x'), AddressUse::kListen));
}

TEST(Checks, AddTheMistakeUnderItsPath) {
  ConfigProblems problems;
  EXPECT_TRUE(CheckAddress(problems, "a", "10.0.0.1:80", AddressUse::kListen));
  EXPECT_TRUE(CheckAdminAddress(problems, "a", ""));
  EXPECT_TRUE(CheckAdminAddress(problems, "a", "127.0.0.1:7444"));
  EXPECT_TRUE(CheckRequired(problems, "b", "x", "a name"));
  EXPECT_TRUE(CheckTrustDomain(problems, "c", "example.org"));
  EXPECT_TRUE(CheckWorkloadId(problems, "d", "spiffe://example.org/web"));
  EXPECT_TRUE(CheckDuration(problems, "e", absl::Seconds(1), absl::Seconds(1), absl::Seconds(1)));
  EXPECT_TRUE(problems.empty());
  EXPECT_FALSE(CheckAddress(problems, "a", "80", AddressUse::kListen));
  EXPECT_FALSE(CheckRequired(problems, "b", "", "a name"));
  EXPECT_FALSE(CheckTrustDomain(problems, "c", "Example.org"));
  EXPECT_FALSE(CheckWorkloadId(problems, "d", "spiffe://example.org"));
  EXPECT_FALSE(CheckWorkloadId(problems, "f", "example.org/web"));
  EXPECT_FALSE(CheckDuration(problems, "e", absl::Seconds(2), absl::ZeroDuration(), absl::Seconds(1)));
  EXPECT_FALSE(CheckAdminAddress(problems, "g", ":7444"));
  std::string paths;
  for (const ConfigProblem& problem : problems.all()) paths += problem.path;
  EXPECT_EQ(paths, "abcdfeg");
  EXPECT_EQ(problems.all()[1].message, "it is required: write a name");
  EXPECT_EQ(problems.all()[5].message, "2s is out of range: write 0 to 1s");
}

TEST(CheckReadableFile, LooksAtTheFileSystem) {
  const std::string folder = getenv("TEST_TMPDIR");
  const std::string file = folder + "/readable";
  ASSERT_TRUE(WriteFileAtomically(file, "x", 0600).ok());
  ConfigProblems problems;
  EXPECT_TRUE(CheckReadableFile(problems, "a", file));
  EXPECT_FALSE(CheckReadableFile(problems, "b", folder));
  EXPECT_FALSE(CheckReadableFile(problems, "c", folder + "/none"));
  ASSERT_EQ(problems.all().size(), 2u);
  EXPECT_NE(problems.all()[0].message.find("is not a file"), std::string::npos);
  EXPECT_NE(problems.all()[1].message.find("No such file"), std::string::npos);
}

}  // namespace
}  // namespace lanyard
