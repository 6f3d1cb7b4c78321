#include "identity/config/config_tree.h"

#include <string>

#include "gtest/gtest.h"

namespace lanyard {
namespace {

using Kind = ConfigNode::Kind;

// What is wrong with `text`, a line each.
std::string Problems(absl::string_view text) {
  ConfigProblems problems;
  ParseConfigTree(text, 4, problems);
  std::string all;
  for (const ConfigProblem& problem : problems.all()) all += problem.message + "\n";
  return all;
}

TEST(ParseConfigTree, KeepsOrderLinesAndQuotes) {
  ConfigProblems problems;
  const ConfigNode root = ParseConfigTree("b: 1\na:\n- 'x'\n- [y, {z: }]\n", 8, problems);
  EXPECT_TRUE(problems.empty());
  ASSERT_EQ(root.kind, Kind::kMap);
  ASSERT_EQ(root.entries.size(), 2u);
  EXPECT_EQ(root.entries[0].key, "b");
  EXPECT_EQ(root.entries[0].value.text, "1");
  EXPECT_FALSE(root.entries[0].value.quoted);
  const ConfigNode& list = root.entries[1].value;
  ASSERT_EQ(list.kind, Kind::kList);
  EXPECT_TRUE(list.items[0].quoted);
  EXPECT_EQ(list.items[1].line, 4);
  EXPECT_EQ(list.items[1].items[1].entries[0].value.kind, Kind::kNull);
}

TEST(ParseConfigTree, ReadsJson) {
  ConfigProblems problems;
  const ConfigNode root = ParseConfigTree("{\"a\": [1, true, null, \"x\\ny\"], \"b\": {}}", 8, problems);
  EXPECT_TRUE(problems.empty());
  EXPECT_EQ(root.entries[0].value.items[2].kind, Kind::kNull);
  EXPECT_EQ(root.entries[0].value.items[3].text, "x\ny");
  EXPECT_EQ(root.entries[1].value.kind, Kind::kMap);
}

TEST(ParseConfigTree, KeepsDuplicatesForTheReader) {
  ConfigProblems problems;
  EXPECT_EQ(ParseConfigTree("a: 1\na: 2\n", 8, problems).entries.size(), 2u);
}

TEST(ParseConfigTree, EmptyDocumentIsNull) {
  for (absl::string_view text : {"", "\n\n", "# comment", "---", "~"}) {
    ConfigProblems problems;
    EXPECT_EQ(ParseConfigTree(text, 8, problems).kind, Kind::kNull) << text;
    EXPECT_TRUE(problems.empty()) << text;
  }
}

TEST(ParseConfigTree, RefusesAnchorsAliasesAndTags) {
  EXPECT_EQ(Problems("a: &x 1\nb: *x\n"),
            "line 1, column 4: an anchor (&name) is not allowed: write the value out\n"
            "line 2, column 4: an alias (*name) is not allowed: write the value out\n");
  EXPECT_EQ(Problems("a: !thing 1\n"), "line 1, column 4: a tag (\"!thing\") is not allowed: remove it\n");
}

TEST(ParseConfigTree, AliasesCannotMultiply) {
  std::string bomb = "a0: &a0 [x, x]\n";
  for (int i = 1; i < 30; ++i) {
    const std::string before = std::to_string(i - 1), here = std::to_string(i);
    bomb += "a" + here + ": &a" + here + " [*a" + before + ", *a" + before + "]\n";
  }
  EXPECT_NE(Problems(bomb), "");
}

TEST(ParseConfigTree, RefusesASecondDocument) {
  EXPECT_EQ(Problems("a: 1\n---\nb: 2\n"), "a second document follows \"---\": write one only\n");
}

TEST(ParseConfigTree, RefusesKeysThatAreNotNames) {
  EXPECT_EQ(Problems("[a, b]: 1\n"), "line 1: a key is a list: keys are plain names\n");
  EXPECT_EQ(Problems("? {a: b}\n: 1\n"), "line 1: a key is a map: keys are plain names\n");
}

TEST(ParseConfigTree, RefusesWhatIsTooDeep) {
  EXPECT_EQ(Problems("[[[[x]]]]"), "");
  EXPECT_EQ(Problems("[[[[[x]]]]]"), "line 1, column 5: it is nested more than 4 deep\n");
  EXPECT_NE(Problems(std::string(100000, '[')), "");
}

TEST(ParseConfigTree, SaysWhereTheSyntaxBreaks) {
  EXPECT_NE(Problems("a: [1, 2\nb: 3\n").find("not YAML"), std::string::npos);
  EXPECT_NE(Problems("a: 1\n  b: 2\n").find("line 2"), std::string::npos);
  EXPECT_NE(Problems("a: \"x\nb: 2\n").find("not YAML"), std::string::npos);
  EXPECT_NE(Problems("a: 'x\n\n \n").find("not YAML"), std::string::npos);
  EXPECT_NE(Problems("\ta: 1\n"), "");
}

}  // namespace
}  // namespace lanyard
