// The log writer: formats a record into one buffer and hands it to the kernel in one write.
#include "base/log.h"
#include "base/log_level.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>

#include "base/iso_time.h"

namespace skerry::log {
namespace {

std::atomic<Level> g_level = Level::kInfo;
// Set once by configure() before threads start, read-only after that.
Format g_format = Format::kText;

constexpr std::string_view kNames[] = {"debug", "info", "warn", "error"};

std::string timestamp() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return iso_time(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

void append_json(std::string& out, std::string_view text) {
  out += '"';
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c < 0x20) {
      char escaped[8];
      snprintf(escaped, sizeof escaped, "\\u%04x", c);
      out += escaped;
    } else {
      out += static_cast<char>(c);
    }
  }
  out += '"';
}

// A line stays one line whatever a message or value contains: control characters become spaces.
void append_text(std::string& out, std::string_view text) {
  for (unsigned char c : text) out += c < 0x20 ? ' ' : static_cast<char>(c);
}

}  // namespace

void configure(Level level, Format format) {
  g_level = level;
  g_format = format;
}

Level level() {
  return g_level;
}

void set_level(Level level) {
  g_level = level;
}

Level parse_level(std::string_view name) {
  for (int i = 0; i < 4; ++i) {
    if (name == kNames[i]) return static_cast<Level>(i);
  }
  return Level::kInfo;
}

void write(Level level, std::string_view module, std::string_view message, Fields fields) {
  if (level < g_level) return;
  std::string line;
  if (g_format == Format::kJson) {
    line = "{\"time\":\"" + timestamp() + "\",\"level\":\"";
    line.append(kNames[static_cast<int>(level)]).append("\",\"module\":");
    append_json(line, module);
    line += ",\"message\":";
    append_json(line, message);
    for (const auto& [key, value] : fields) {
      line += ',';
      append_json(line, key);
      line += ':';
      append_json(line, value);
    }
    line += "}\n";
  } else {
    line = timestamp() + " ";
    line.append(kNames[static_cast<int>(level)]).append(" ").append(module).append(": ");
    append_text(line, message);
    for (const auto& [key, value] : fields) {
      line.append(" ").append(key).append("=");
      append_text(line, value);
    }
    line += '\n';
  }
  // A full or closed stderr must not stop the program.
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace skerry::log
