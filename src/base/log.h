// Structured logging to stderr: one line a record, `time level module: message key=value …`, or one
// JSON object a line. Never pass a secret. Thread-safe.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace skerry::log {

enum class Level { kDebug, kInfo, kWarn, kError };
enum class Format { kText, kJson };

using Fields = std::initializer_list<std::pair<std::string_view, std::string>>;

// Called once at start, before threads. Default: info, text.
void configure(Level level, Format format);
// "debug", "info", "warn" or "error"; anything else is info.
Level parse_level(std::string_view name);

void write(Level level, std::string_view module, std::string_view message, Fields fields = {});

inline void debug(std::string_view module, std::string_view message, Fields fields = {}) {
  write(Level::kDebug, module, message, fields);
}
inline void info(std::string_view module, std::string_view message, Fields fields = {}) {
  write(Level::kInfo, module, message, fields);
}
inline void warn(std::string_view module, std::string_view message, Fields fields = {}) {
  write(Level::kWarn, module, message, fields);
}
inline void error(std::string_view module, std::string_view message, Fields fields = {}) {
  write(Level::kError, module, message, fields);
}

}  // namespace skerry::log
