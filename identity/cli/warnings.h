// What an order to the authority may have got wrong although it was carried out. Pure: "" where nothing is odd.
#pragma once

#include <string>
#include <vector>

#include "identity/cli/registry_client.h"
#include "identity/cli/rules_file_proto.h"
#include "identity/policy/ban.h"

namespace lanyard {

// A ban of an ID that no entry gives, or of an agent that never joined. Of a serial nothing is known.
std::string WarningOfBan(const BanSubject& subject, const std::vector<EntryRecord>& entries,
                         const std::vector<AgentRecord>& agents);
// An entry for an agent that has not joined.
std::string WarningOfParent(const std::string& parent_id, const std::vector<AgentRecord>& agents);
// Policies and route sets that name no workload of the authority's trust domain.
std::vector<std::string> WarningsOfRules(const RulesFile& rules, const std::string& trust_domain);
// A join token for an agent that is connected now.
std::string WarningOfToken(const std::string& agent_id, const std::vector<AgentRecord>& agents);

}  // namespace lanyard
