#include "proxy/control/tap_page.h"

#include <nlohmann/json.hpp>

#include "absl/synchronization/mutex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lanyard {
namespace {

using nlohmann::json;
using testing::HasSubstr;

ConnectionEvent Closed(const std::string& peer, const std::string& destination, const std::string& reason) {
  ConnectionEvent event;
  event.kind = ConnectionEvent::Kind::kClosed;
  event.record.direction = "inbound";
  event.record.peer_id = peer;
  event.record.destination = destination;
  event.close_reason = reason;
  return event;
}

TEST(TapFilter, NothingNamedMatchesAll) {
  const TapFilter filter = *TapFilter::Parse("");
  EXPECT_TRUE(filter.Matches(Closed("", "10.0.0.1:80", "normal")));
  EXPECT_FALSE(filter.existing);
}

TEST(TapFilter, EveryKindOfFilterMustMatchAndAnyOfItsValues) {
  const auto filter =
      TapFilter::Parse("peer=spiffe%3A%2F%2Ftd%2Fns%2F%2A&peer=spiffe://td/x&port=80&port=81&existing=1");
  ASSERT_TRUE(filter.ok()) << filter.status();
  EXPECT_TRUE(filter->existing);
  EXPECT_TRUE(filter->Matches(Closed("spiffe://td/ns/a", "10.0.0.1:80", "normal")));
  EXPECT_TRUE(filter->Matches(Closed("spiffe://td/x", "[fd00::1]:81", "normal")));
  EXPECT_FALSE(filter->Matches(Closed("spiffe://td/x", "10.0.0.1:8080", "normal")));
  EXPECT_FALSE(filter->Matches(Closed("spiffe://td/y", "10.0.0.1:80", "normal")));
  EXPECT_FALSE(filter->Matches(Closed("", "10.0.0.1:80", "normal")));
  EXPECT_FALSE(TapFilter::Parse("direction=outbound")->Matches(Closed("", "10.0.0.1:80", "normal")));
}

TEST(TapFilter, AReasonIsOfWhatCloses) {
  const TapFilter filter = *TapFilter::Parse("reason=banned&reason=idle");
  ConnectionEvent event = Closed("", "10.0.0.1:80", "banned");
  EXPECT_TRUE(filter.Matches(event));
  event.kind = ConnectionEvent::Kind::kOpened;
  EXPECT_FALSE(filter.Matches(event));
  EXPECT_FALSE(filter.Matches(Closed("", "10.0.0.1:80", "normal")));
}

TEST(TapFilter, MistakesAreNamed) {
  for (const char* query : {"peer=x", "port=0", "port=http", "direction=up", "color=red", "peer=%2", "peer=%zz"}) {
    EXPECT_FALSE(TapFilter::Parse(query).ok()) << query;
  }
  EXPECT_THAT(TapFilter::Parse("color=red").status().message(), HasSubstr("color"));
}

// The page belongs to the loop's thread: what the test calls itself, it calls before Start.
class TapPageTest : public testing::Test {
 protected:
  ~TapPageTest() override { loop_.Stop(); }
  // Runs `task` on the loop, and waits for it.
  void OnLoop(const std::function<void()>& task) {
    absl::Mutex mutex;
    bool done = false;
    loop_.Post([&] {
      task();
      absl::MutexLock lock(&mutex);
      done = true;
    });
    absl::MutexLock lock(&mutex);
    ASSERT_TRUE(mutex.AwaitWithTimeout(absl::Condition(&done), absl::Seconds(20)));
  }
  ControlLoop loop_;
  ConnectionTap tap_;
  TapPage page_{loop_, tap_};
};

TEST_F(TapPageTest, ItWatchesWhileSomebodyDoes) {
  loop_.Start();
  EXPECT_FALSE(tap_.watched());
  std::shared_ptr<TapPage::Stream> stream;
  int told = 0;
  OnLoop([&] {
    stream = *page_.Watch(*TapFilter::Parse("reason=banned"));
    stream->OnMore([&told] { ++told; });
  });
  EXPECT_TRUE(tap_.watched());
  tap_.Offer(Closed("spiffe://td/a", "10.0.0.1:80", "normal"));
  tap_.Offer(Closed("spiffe://td/b", "10.0.0.1:80", "banned"));
  OnLoop([] {});  // behind the delivery, which was posted before
  OnLoop([&] {
    EXPECT_EQ(told, 1);
    const json event = json::parse(stream->Take());
    EXPECT_EQ(event["peer_id"], "spiffe://td/b");
    EXPECT_EQ(event["event"], "closed");
    EXPECT_EQ(stream->Take(), "");
    EXPECT_EQ(page_.watchers(), 1u);
    stream.reset();
    EXPECT_EQ(page_.watchers(), 0u);
  });
  EXPECT_FALSE(tap_.watched());
}

TEST_F(TapPageTest, ASlowReaderLosesAndIsToldHowMany) {
  const std::shared_ptr<TapPage::Stream> stream = *page_.Watch({});
  ConnectionTap::Batch batch;
  ConnectionEvent event = Closed("spiffe://td/a", "10.0.0.1:80", "normal");
  event.detail = std::string(100 << 10, 'x');
  for (int i = 0; i < 4; ++i) batch.events.push_back(event);
  batch.lost = 3;
  EXPECT_EQ(stream->Add(batch), 5u);
  const std::string taken = stream->Take();
  EXPECT_LT(taken.size(), TapPage::kMaxWaitingBytes + 100);
  EXPECT_THAT(taken, testing::EndsWith("{\"event\":\"lost\",\"count\":5}\n"));
  EXPECT_EQ(stream->Take(), "");
}

TEST_F(TapPageTest, WhatIsOpenComesFirstToWhoAsksForIt) {
  const std::shared_ptr<TapPage::Stream> stream = *page_.Watch(*TapFilter::Parse("existing=1&port=80"));
  ConnectionRecord on_80, on_81;
  on_80.destination = "10.0.0.1:80";
  on_81.destination = "10.0.0.1:81";
  stream->AddExisting({on_81, on_80});
  const json event = json::parse(stream->Take());
  EXPECT_EQ(event["event"], "existing");
  EXPECT_EQ(event["destination"], "10.0.0.1:80");
}

TEST_F(TapPageTest, SoManyMayWatch) {
  std::vector<std::shared_ptr<TapPage::Stream>> streams;
  for (size_t i = 0; i < TapPage::kMaxWatchers; ++i) streams.push_back(*page_.Watch({}));
  EXPECT_TRUE(absl::IsResourceExhausted(page_.Watch({}).status()));
  streams.pop_back();
  EXPECT_TRUE(page_.Watch({}).ok());
}

TEST(TapPageAlone, AStreamMayOutliveThePage) {
  ControlLoop loop;
  ConnectionTap tap;
  auto page = std::make_unique<TapPage>(loop, tap);
  std::shared_ptr<TapPage::Stream> stream = *page->Watch({});
  page.reset();
  tap.Offer(Closed("", "10.0.0.1:80", "normal"));
  stream.reset();
}

}  // namespace
}  // namespace lanyard
