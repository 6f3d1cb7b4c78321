#include "proxy/connection/access_log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

ConnectionRecord Record() {
  ConnectionRecord record;
  record.direction = "inbound";
  record.listener = "capture-inbound";
  record.source = "10.0.0.1:40000";
  record.destination = "10.0.0.2:8080";
  record.local_id = "spiffe://example.org/api";
  record.local_serial = "aa";
  record.peer_id = "spiffe://example.org/web";
  record.peer_serial = "bb";
  record.bytes_sent = 5;
  record.bytes_received = 7;
  record.age = absl::Milliseconds(12);
  record.rule = "callers";
  record.tls = "TLSv1.3";
  return record;
}

void WriteTo(AccessLog& log) {
  log.Write(Record(), CloseReason::kPeerReset, true, "connection reset by the other side", absl::UnixEpoch());
}

class AccessLogFileTest : public testing::Test {
 protected:
  AccessLogFileTest() {
    char name[] = "/tmp/access_log_test.XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~AccessLogFileTest() override {
    remove((folder_ + "/log").c_str());
    remove((folder_ + "/log.1").c_str());
    remove(folder_.c_str());
  }
  std::string Text(const std::string& name) const {
    std::ifstream file(folder_ + "/" + name);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  AccessLogSettings Settings(bool json) const { return {.apart = true, .path = folder_ + "/log", .json = json}; }
  std::string folder_;
};

TEST(AccessLog, OneLineHoldsWhoWhatAndWhy) {
  AccessLog log;
  testing::internal::CaptureStderr();
  WriteTo(log);
  const std::string line = testing::internal::GetCapturedStderr();
  for (const char* part :
       {"direction=inbound", "listener=capture-inbound", "source=10.0.0.1:40000", "destination=10.0.0.2:8080",
        "local_id=spiffe://example.org/api", "local_serial=aa", "peer_id=spiffe://example.org/web", "peer_serial=bb",
        "bytes_sent=5", "bytes_received=7", "duration_ms=12", "close_reason=peer_reset", "rule=callers", "tls=TLSv1.3",
        "resumed=true", "detail="}) {
    EXPECT_NE(line.find(part), std::string::npos) << part << " in " << line;
  }
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(log.written(), 1u);
}

TEST_F(AccessLogFileTest, AFileOfItsOwnIsAppendedToInItsOwnFormat) {
  const auto json = AccessLog::Open(Settings(true));
  ASSERT_TRUE(json.ok()) << json.status();
  WriteTo(**json);
  const auto text = AccessLog::Open(Settings(false));
  ASSERT_TRUE(text.ok()) << text.status();
  WriteTo(**text);
  const std::string lines = Text("log");
  EXPECT_EQ(lines.rfind("{\"time\":\"1970-01-01T00:00:00.000000Z\"", 0), 0u) << lines;
  EXPECT_NE(lines.find("\"close_reason\":\"peer_reset\""), std::string::npos);
  EXPECT_NE(lines.find("\n1970-01-01T00:00:00.000000Z info proxy: "), std::string::npos) << lines;
  EXPECT_EQ(lines.back(), '\n');
  struct stat file = {};
  ASSERT_EQ(stat((folder_ + "/log").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0007, 0u) << "others may read who talks to whom";
}

TEST_F(AccessLogFileTest, ReopenedItGoesOnInTheNewFile) {
  const auto log = AccessLog::Open(Settings(true));
  ASSERT_TRUE(log.ok()) << log.status();
  WriteTo(**log);
  ASSERT_EQ(rename((folder_ + "/log").c_str(), (folder_ + "/log.1").c_str()), 0);
  WriteTo(**log);
  EXPECT_EQ(Text("log"), "");
  ASSERT_TRUE((*log)->Reopen().ok());
  WriteTo(**log);
  const std::string before = Text("log.1");
  EXPECT_EQ(std::count(before.begin(), before.end(), '\n'), 2);
  const std::string after = Text("log");
  EXPECT_EQ(std::count(after.begin(), after.end(), '\n'), 1);
  EXPECT_EQ((*log)->written(), 3u);
}

TEST_F(AccessLogFileTest, AFolderThatIsNotThereIsAnErrorAtTheStartAndHarmlessLater) {
  AccessLogSettings settings = Settings(true);
  const auto log = AccessLog::Open(settings);
  ASSERT_TRUE(log.ok());
  ASSERT_EQ(remove((folder_ + "/log").c_str()), 0);
  ASSERT_EQ(remove(folder_.c_str()), 0);
  EXPECT_FALSE((*log)->Reopen().ok());
  WriteTo(**log);
  EXPECT_EQ((*log)->failed(), 0u);
  EXPECT_NE(AccessLog::Open(settings).status().message().find(settings.path), std::string::npos);
}

TEST_F(AccessLogFileTest, AFullPipeHoldsUpNobodyAndIsCounted) {
  const std::string path = folder_ + "/log";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const int reader = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  const auto log = AccessLog::Open(Settings(true));
  ASSERT_TRUE(log.ok()) << log.status();
  for (int i = 0; i < 1000; ++i) WriteTo(**log);
  EXPECT_GT((*log)->written(), 0u);
  EXPECT_GT((*log)->failed(), 0u);
  EXPECT_EQ((*log)->written() + (*log)->failed(), 1000u);
  close(reader);
}

TEST(AccessLog, AFullDiskIsCounted) {
  const auto log = AccessLog::Open({.apart = true, .path = "/dev/full", .json = true});
  ASSERT_TRUE(log.ok()) << log.status();
  WriteTo(**log);
  EXPECT_EQ((*log)->failed(), 1u);
  EXPECT_EQ((*log)->written(), 0u);
}

}  // namespace
}  // namespace lanyard
