// Found before protobuf's own header in builds for the thread sanitizer: there MapFieldBase has one member
// more, which Debian's library, built without the sanitizer, does not know. Included as the library was built.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#undef __SANITIZE_THREAD__
#include_next <google/protobuf/map_field.h>
#define __SANITIZE_THREAD__ 1
