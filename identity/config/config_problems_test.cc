#include "identity/config/config_problems.h"

#include "gtest/gtest.h"

namespace lanyard {
namespace {

TEST(ConfigProblems, NoneIsOk) { EXPECT_TRUE(ConfigProblems().ToStatus("a.yaml").ok()); }

TEST(ConfigProblems, AllAreListedInOrder) {
  ConfigProblems problems;
  problems.Add("b.c", "is wrong");
  EXPECT_EQ(problems.ToStatus("a.yaml").message(), "a.yaml: 1 mistake:\n  b.c: is wrong");
  problems.Add("a", "is wrong too");
  problems.Add("", "has no end");
  EXPECT_EQ(problems.ToStatus("a.yaml").message(),
            "a.yaml: 3 mistakes:\n  b.c: is wrong\n  a: is wrong too\n  has no end");
  EXPECT_TRUE(absl::IsInvalidArgument(problems.ToStatus("a.yaml")));
}

TEST(ConfigProblems, APathKeepsItsFirstMistakeAndTheWholeFileKeepsAll) {
  ConfigProblems problems;
  problems.Add("a", "first");
  problems.Add("a", "second");
  problems.Add("", "one");
  problems.Add("", "two");
  ASSERT_EQ(problems.all().size(), 3u);
  EXPECT_EQ(problems.all()[0].message, "first");
  EXPECT_TRUE(problems.Has("a"));
  EXPECT_FALSE(problems.Has("b"));
}

}  // namespace
}  // namespace lanyard
