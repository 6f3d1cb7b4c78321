#include "identity/config/config_tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "identity/spiffe/quoted.h"

namespace lanyard {
namespace {

std::string At(const YAML::Mark& mark) { return absl::StrCat("line ", mark.line + 1, ", column ", mark.column + 1); }

// Builds the tree from the parser's events. Events are used, not the library's own nodes,
// because those resolve aliases: a small file could then stand for a huge tree.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(int depth_limit, ConfigProblems& problems) : depth_limit_(depth_limit), problems_(problems) {}

  ConfigNode Take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark&, const std::string&) override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    CheckAnchor(mark, anchor);
    Place(NodeAt(mark, ConfigNode::Kind::kNull));
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Refuse(mark, "an alias (*name) is not allowed: write the value out");
    Place(NodeAt(mark, ConfigNode::Kind::kNull));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    CheckAnchor(mark, anchor);
    CheckTag(mark, tag);
    ConfigNode node = NodeAt(mark, ConfigNode::Kind::kScalar);
    node.text = value;
    node.quoted = tag == "!";
    Place(std::move(node));
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, ConfigNode::Kind::kList);
  }
  void OnSequenceEnd() override { Close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, ConfigNode::Kind::kMap);
  }
  void OnMapEnd() override { Close(); }

 private:
  // A collection being read. A map's key waits here for its value.
  struct Level {
    ConfigNode node;
    bool has_key = false;
    std::string key;
  };

  static ConfigNode NodeAt(const YAML::Mark& mark, ConfigNode::Kind kind) {
    ConfigNode node;
    node.kind = kind;
    node.line = mark.line + 1;
    return node;
  }

  void Refuse(const YAML::Mark& mark, absl::string_view what) { problems_.Add("", absl::StrCat(At(mark), ": ", what)); }

  void CheckAnchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) Refuse(mark, "an anchor (&name) is not allowed: write the value out");
  }

  // "?" is a plain scalar, "!" a quoted one, "" neither; the rest was written by somebody.
  void CheckTag(const YAML::Mark& mark, const std::string& tag) {
    if (tag != "?" && tag != "!" && !tag.empty()) {
      Refuse(mark, absl::StrCat("a tag (", Quoted(tag), ") is not allowed: remove it"));
    }
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, ConfigNode::Kind kind) {
    CheckAnchor(mark, anchor);
    CheckTag(mark, tag);
    if (static_cast<int>(levels_.size()) == depth_limit_) {
      Refuse(mark, absl::StrCat("it is nested more than ", depth_limit_, " deep"));
    }
    levels_.push_back({NodeAt(mark, kind), false, ""});
  }

  void Close() {
    Level level = std::move(levels_.back());
    levels_.pop_back();
    // What is too deep is dropped here, so that whoever walks the tree need not count.
    if (static_cast<int>(levels_.size()) < depth_limit_) Place(std::move(level.node));
  }

  void Place(ConfigNode node) {
    if (levels_.empty()) {
      root_ = std::move(node);
      return;
    }
    Level& level = levels_.back();
    if (level.node.kind == ConfigNode::Kind::kList) {
      level.node.items.push_back(std::move(node));
    } else if (level.has_key) {
      level.node.entries.push_back({std::move(level.key), std::move(node)});
      level.has_key = false;
    } else {
      if (node.kind != ConfigNode::Kind::kScalar) {
        problems_.Add("", absl::StrCat("line ", node.line, ": a key is ", Describe(node), ": keys are plain names"));
      }
      level.key = std::move(node.text);
      level.has_key = true;
    }
  }

  const int depth_limit_;
  ConfigProblems& problems_;
  ConfigNode root_;
  std::vector<Level> levels_;
};

}  // namespace

ConfigNode ParseConfigTree(absl::string_view text, int depth_limit, ConfigProblems& problems) {
  // The library would take UTF-16 for another text, or for none.
  if (text.find('\0') != absl::string_view::npos) {
    problems.AddUnreadable("it holds zero bytes, as text in UTF-16 does: save it as UTF-8");
    return ConfigNode();
  }
  TreeBuilder builder(depth_limit, problems);
  // The one library here that throws; nothing of it leaves this function.
  try {
    // The library takes a quote that is never closed for a good one if the text ends in a line
    // break, and the rest of the file for its content.
    std::istringstream stream{std::string(absl::StripTrailingAsciiWhitespace(text))};
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return ConfigNode();
    ConfigNode root = builder.Take();
    if (parser.HandleNextDocument(builder)) problems.Add("", "a second document follows \"---\": write one only");
    return root;
  } catch (const YAML::ParserException& error) {
    problems.AddUnreadable(absl::StrCat(At(error.mark), ": not YAML: ", error.msg));
  } catch (const std::exception& error) {
    problems.AddUnreadable(absl::StrCat("not YAML: ", error.what()));
  }
  return ConfigNode();
}

std::string Describe(const ConfigNode& node) {
  switch (node.kind) {
    case ConfigNode::Kind::kNull: return "empty";
    case ConfigNode::Kind::kList: return "a list";
    case ConfigNode::Kind::kMap: return "a map";
    case ConfigNode::Kind::kScalar: return Quoted(node.text);
  }
  return "";
}

}  // namespace lanyard
