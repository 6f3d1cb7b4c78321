#include "identity/registry/selector.h"

#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(SelectorTest, KnowsEveryTypeOfUnixWorkloads) {
  const std::string sha(64, 'a');
  for (const std::string& text :
       {std::string("unix:uid:0"), std::string("unix:uid:4294967294"), std::string("unix:gid:100"),
        std::string("unix:supplementary_gid:27"), std::string("unix:user:www-data"), std::string("unix:group:adm"),
        std::string("unix:path:/usr/sbin/nginx"), std::string("unix:path:/opt/a b:c"), "unix:sha256:" + sha}) {
    const auto selector = Selector::Parse(text);
    ASSERT_TRUE(selector.ok()) << text << ": " << selector.status();
    EXPECT_EQ(selector->ToString(), text);
    EXPECT_EQ(std::string(selector->type()) + ":" + std::string(selector->value()), text);
  }
}

TEST(SelectorTest, SplitsAtTheTypesEnd) {
  const auto selector = Selector::Parse("unix:path:/opt/a:b");
  ASSERT_TRUE(selector.ok());
  EXPECT_EQ(selector->type(), "unix:path");
  EXPECT_EQ(selector->value(), "/opt/a:b");
}

TEST(SelectorTest, RefusesWhatNoAgentCouldMatch) {
  for (const std::string& text : {std::string(""),
                                  std::string("unix"),
                                  std::string("unix:uid"),
                                  std::string("unix:uid:"),
                                  std::string("unix:uid:-1"),
                                  std::string("unix:uid:+1"),
                                  std::string("unix:uid: 1"),
                                  std::string("unix:uid:01"),
                                  std::string("unix:uid:4294967295"),
                                  std::string("unix:uid:root"),
                                  std::string("unix:uids:1"),
                                  std::string("UNIX:uid:1"),
                                  std::string("docker:image:x"),
                                  std::string("unix:user:"),
                                  std::string("unix:user:a b"),
                                  std::string("unix:path:usr/bin/x"),
                                  std::string("unix:path:/"),
                                  std::string("unix:path:/usr//bin"),
                                  std::string("unix:path:/usr/../bin"),
                                  std::string("unix:path:/bin/"),
                                  std::string("unix:path:/a\nb"),
                                  std::string("unix:path:/a\0b", 14),
                                  "unix:sha256:" + std::string(64, 'A'),
                                  "unix:sha256:" + std::string(63, 'a'),
                                  "unix:path:/" + std::string(5000, 'x')}) {
    const auto selector = Selector::Parse(text);
    EXPECT_TRUE(absl::IsInvalidArgument(selector.status())) << text;
  }
}

TEST(SelectorTest, ErrorsNameTheSelectorAndTheRemedy) {
  const std::string message(Selector::Parse("unix:uid:root").status().message());
  EXPECT_NE(message.find("'unix:uid:root'"), std::string::npos) << message;
  EXPECT_NE(message.find("write a decimal number"), std::string::npos) << message;
}

}  // namespace
}  // namespace lanyard
