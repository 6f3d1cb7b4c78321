#include "identity/capture/other_tables.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "identity/capture/script.h"
#include "nlohmann/json.hpp"

namespace lanyard {
namespace {

using Json = nlohmann::json;

std::string TableOf(const Json& item) { return absl::StrCat(item.value("family", ""), " ", item.value("table", "")); }

bool Takes(const Json& rule) {
  if (!rule.contains("expr") || !rule["expr"].is_array()) return false;
  for (const Json& part : rule["expr"]) {
    for (const char* what : {"redirect", "dnat", "tproxy"}) {
      if (part.is_object() && part.contains(what)) return true;
    }
    if (!part.is_object() || !part.contains("xt") || !part["xt"].is_object()) continue;
    const std::string target = part["xt"].value("name", "");
    if (target == "REDIRECT" || target == "DNAT" || target == "TPROXY") return true;
  }
  return false;
}

}  // namespace

std::vector<OtherTable> TablesThatTakeConnections(absl::string_view ruleset_json) {
  const Json listing = Json::parse(ruleset_json.begin(), ruleset_json.end(), nullptr, /*allow_exceptions=*/false);
  if (!listing.is_object() || !listing.contains("nftables") || !listing["nftables"].is_array()) return {};
  std::set<std::string> taking;
  for (const Json& item : listing["nftables"]) {
    if (item.is_object() && item.contains("rule") && Takes(item["rule"])) taking.insert(TableOf(item["rule"]));
  }
  taking.erase(kCaptureTable);
  std::vector<OtherTable> tables;
  for (const Json& item : listing["nftables"]) {
    if (!item.is_object() || !item.contains("chain") || !item["chain"].is_object()) continue;
    const Json& chain = item["chain"];
    const std::string hook = chain.contains("hook") && chain["hook"].is_string() ? chain["hook"] : "";
    if ((hook != "output" && hook != "prerouting") || taking.count(TableOf(chain)) == 0) continue;
    const bool has_priority = chain.contains("prio") && chain["prio"].is_number_integer();
    tables.push_back({TableOf(chain), hook, has_priority ? chain["prio"].get<int>() : 0});
  }
  return tables;
}

}  // namespace lanyard
