// One scalar of a configuration file turned into one protobuf field.
#pragma once

#include <string>

#include "identity/config/config_tree.h"

namespace google::protobuf {
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace lanyard {

// Sets `field` of `message` (appends, if it is repeated) from the scalar `node`. Returns "" or
// what is wrong, with the value and the remedy. Handles every type but messages and bytes.
std::string SetScalar(const ConfigNode& node, const google::protobuf::FieldDescriptor& field,
                      google::protobuf::Message& message);

// Sets a google.protobuf.Duration from "90s", "1h30m", "500ms". The same result.
std::string SetDuration(const ConfigNode& node, google::protobuf::Message& duration);

// Sets a google.protobuf.Timestamp from "2026-01-31T12:00:00Z" (RFC 3339). The same result.
std::string SetTimestamp(const ConfigNode& node, google::protobuf::Message& timestamp);

}  // namespace lanyard
