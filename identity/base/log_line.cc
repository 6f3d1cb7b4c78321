#include "identity/base/log_line.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace lanyard {
namespace {

// Length in bytes of the well-formed UTF-8 sequence (Unicode table 3-7) at the start of `text`,
// which starts with a byte >= 0x80; 0 if there is none.
size_t Utf8SequenceLength(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  size_t length = 0;
  uint8_t low = 0x80, high = 0xbf;
  if (first >= 0xc2 && first <= 0xdf) {
    length = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    length = 3;
    if (first == 0xe0) low = 0xa0;   // overlong
    if (first == 0xed) high = 0x9f;  // surrogates
  } else if (first >= 0xf0 && first <= 0xf4) {
    length = 4;
    if (first == 0xf0) low = 0x90;   // overlong
    if (first == 0xf4) high = 0x8f;  // above U+10FFFF
  }
  if (length == 0 || text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

void AppendEscapedControl(std::string& out, uint8_t c) {
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: absl::StrAppend(&out, "\\u", absl::Hex(c, absl::kZeroPad4)); return;
  }
}

void AppendJsonString(std::string& out, absl::string_view text) {
  out += '"';
  while (!text.empty()) {
    const uint8_t c = static_cast<uint8_t>(text.front());
    size_t length = 1;
    if (c >= 0x80) {
      length = Utf8SequenceLength(text);
      if (length == 0) {
        out += "\\ufffd";
        length = 1;
      } else {
        out.append(text.data(), length);
      }
    } else if (c < 0x20 || c == 0x7f || c == '"' || c == '\\') {
      AppendEscapedControl(out, c);
    } else {
      out += static_cast<char>(c);
    }
    text.remove_prefix(length);
  }
  out += '"';
}

// std::to_string writes "nan" and "inf" for doubles; JSON has no such numbers.
bool IsJsonLiteral(const LogField& field) {
  const absl::string_view text = field.text();
  return text == "true" || text == "false" ||
         (!text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '-' || c == '.';
         }));
}

bool IsPlainText(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c)) && c != '"' && c != '\\' && c != '=';
  });
}

std::string TimeText(absl::Time time) { return absl::FormatTime("%Y-%m-%d%ET%H:%M:%E6SZ", time, absl::UTCTimeZone()); }

}  // namespace

absl::string_view LogLevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarning: return "warning";
    case LogLevel::kError: return "error";
  }
  return "info";
}

std::string JsonLogLine(const LogHead& head, absl::Span<const LogField> fields) {
  std::string line = absl::StrCat("{\"time\":\"", TimeText(head.time), "\",\"level\":\"", LogLevelName(head.level),
                                  "\",\"component\":");
  AppendJsonString(line, head.component);
  line += ",\"message\":";
  AppendJsonString(line, head.message);
  for (const LogField& field : fields) {
    line += ',';
    AppendJsonString(line, field.key());
    line += ':';
    if (!field.quoted() && IsJsonLiteral(field)) {
      absl::StrAppend(&line, field.text());
    } else {
      AppendJsonString(line, field.text());
    }
  }
  line += '}';
  return line;
}

std::string TextLogLine(const LogHead& head, absl::Span<const LogField> fields) {
  std::string line = absl::StrCat(TimeText(head.time), " ", LogLevelName(head.level), " ", head.component,
                                  head.component.empty() ? "" : ": ", absl::Utf8SafeCHexEscape(head.message));
  for (const LogField& field : fields) {
    absl::StrAppend(&line, " ", field.key(), "=");
    if (IsPlainText(field.text())) {
      absl::StrAppend(&line, field.text());
    } else {
      AppendJsonString(line, field.text());
    }
  }
  return line;
}

}  // namespace lanyard
