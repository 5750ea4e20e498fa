// Reads what clients send; the ranges are those that the SDKs state.
#include "streams/definition.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

namespace skerry::streams {
namespace {

using nlohmann::json;

constexpr int64_t kMostMs = 9'223'372'036'854;  // of the SDKs: nanoseconds must fit into 64 bits

}  // namespace

Result<void> read_integer(const json& map, const char* key, int64_t least, int64_t most,
                          int64_t& out) {
  const auto member = map.find(key);
  if (member == map.end() || member->is_null()) return {};
  // An unsigned one above 2^63 would turn negative.
  const bool fits =
      member->is_number_integer() && (!member->is_number_unsigned() ||
                                      member->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX));
  const int64_t value = fits ? member->get<int64_t>() : 0;
  if (!fits || value < least || value > most) {
    return fail(Code::kInvalidArgument, std::string(key) + " must be a whole number from " +
                                            std::to_string(least) + " to " + std::to_string(most));
  }
  out = value;
  return {};
}

std::string text_member(const json& map, const char* key) {
  const auto member = map.find(key);
  return member != map.end() && member->is_string() ? member->get<std::string>() : "";
}

Result<void> check_stream_name(const std::string& name) {
  const bool plain = std::ranges::all_of(name, [](unsigned char c) {
    return c < 0x80 && (std::isalnum(c) != 0 || std::string_view(" ,.-_").contains(c));
  });
  if (plain && !name.empty() && name.size() <= 255) return {};
  return fail(Code::kInvalidArgument,
              "a stream's name is 1 to 255 letters, digits, spaces and , . - _");
}

Result<Definition> parse_definition(const json& json) {
  if (!json.is_object()) return fail(Code::kInvalidArgument, "definition must be a map");
  const auto name = json.find("name");
  if (name == json.end() || !name->is_string()) {
    return fail(Code::kInvalidArgument, "name is missing");
  }
  Definition definition{.name = name->get<std::string>()};
  SKERRY_TRY(check_stream_name(definition.name));
  SKERRY_TRY(read_integer(json, "maxSize", 1024, INT64_MAX, definition.max_bytes));
  SKERRY_TRY(read_integer(json, "streamSegmentSize", 1024, INT32_MAX, definition.segment_bytes));
  int64_t time_to_live_ms = 0, on_full = 0, persistence = 0;
  SKERRY_TRY(read_integer(json, "timeToLiveMillis", 60'000, kMostMs, time_to_live_ms));
  if (time_to_live_ms > 0) definition.time_to_live_ms = time_to_live_ms;
  SKERRY_TRY(read_integer(json, "strategyOnFull", 0, 1, on_full));
  SKERRY_TRY(read_integer(json, "persistence", 0, 1, persistence));
  definition.on_full = static_cast<StrategyOnFull>(on_full);
  definition.persistence = static_cast<Persistence>(persistence);
  const auto flush = json.find("flushOnWrite");
  if (flush != json.end() && !flush->is_null()) {
    if (!flush->is_boolean()) {
      return fail(Code::kInvalidArgument, "flushOnWrite must be true or false");
    }
    definition.flush_on_write = flush->get<bool>();
  }
  SKERRY_ASSIGN(definition.exports,
                parse_exports(json.value("exportDefinition", nlohmann::json())));
  return definition;
}

json to_json(const Definition& definition) {
  json out = {{"name", definition.name},
              {"maxSize", definition.max_bytes},
              {"streamSegmentSize", definition.segment_bytes},
              {"strategyOnFull", static_cast<int>(definition.on_full)},
              {"persistence", static_cast<int>(definition.persistence)},
              {"flushOnWrite", definition.flush_on_write}};
  if (!definition.exports.empty()) out["exportDefinition"] = to_json(definition.exports);
  if (definition.time_to_live_ms) out["timeToLiveMillis"] = *definition.time_to_live_ms;
  return out;
}

}  // namespace skerry::streams
