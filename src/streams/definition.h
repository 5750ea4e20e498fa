// What a stream is to be, as clients say it (MessageStreamDefinition of the Stream Manager SDKs).
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/message_log.h"
#include "streams/export/export_config.h"

namespace skerry::streams {

using io::FileLog;
using io::LogLimits;
using io::LogRange;
using io::MemoryLog;
using io::MessageLog;
using Message = io::LogMessage;

enum class StrategyOnFull { kRejectNewData = 0, kOverwriteOldestData = 1 };
enum class Persistence { kFile = 0, kMemory = 1 };

struct Definition {
  std::string name;
  int64_t max_bytes = 256 << 20;
  int64_t segment_bytes = 16 << 20;
  std::optional<int64_t> time_to_live_ms;  // unset: for ever
  StrategyOnFull on_full = StrategyOnFull::kRejectNewData;
  Persistence persistence = Persistence::kFile;
  bool flush_on_write = false;
  std::vector<ExportConfig> exports;

  bool operator==(const Definition&) const = default;
  LogLimits limits() const {
    return {max_bytes, segment_bytes, on_full == StrategyOnFull::kOverwriteOldestData};
  }
};

// kInvalidArgument names the member and its range.
Result<Definition> parse_definition(const nlohmann::json& json);
nlohmann::json to_json(const Definition& definition);
// Member `key` of a map into `out`; absent and null leave it. Strict: the wire is typed, and a text
// where a number belongs is a client's mistake.
Result<void> read_integer(const nlohmann::json& map, const char* key, int64_t least, int64_t most,
                          int64_t& out);
// The text at `key`; "" where there is none, or something else.
std::string text_member(const nlohmann::json& map, const char* key);
// 1 to 255 letters, digits, spaces and , . - _
Result<void> check_stream_name(const std::string& name);

}  // namespace skerry::streams
