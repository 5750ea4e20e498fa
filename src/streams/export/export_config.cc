// One row for each kind of export; the ranges are those that the SDKs state.
#include "streams/export/export_config.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "base/utf8.h"
#include "streams/definition.h"

namespace skerry::streams {
namespace {

using nlohmann::json;

struct Kind {
  ExportKind kind;
  const char* key;         // in exportDefinition
  const char* target_key;  // nullptr: messages say it themselves
  int64_t most_in_batch;   // 1: there are no batches
};
constexpr std::array kKinds = {
    Kind{ExportKind::kHttp, "http", "uri", 500},
    Kind{ExportKind::kIotAnalytics, "iotAnalytics", "iotChannel", 100},
    Kind{ExportKind::kKinesis, "kinesis", "kinesisStreamName", 500},
    Kind{ExportKind::kSiteWise, "IotSitewise", nullptr, 10},
    Kind{ExportKind::kS3, "s3TaskExecutor", nullptr, 1},
};

constexpr int64_t kMostIntervalMs = 9'223'372'036'854;
constexpr int64_t kLeastPartBytes = 5 << 20;
constexpr size_t kMaxExports = 64;  // of a stream
constexpr size_t kMaxTargetBytes = 2'048;

std::unexpected<Error> wrong(const std::string& what) {
  return fail(Code::kInvalidArgument, what);
}

Result<void> read_text(const json& map, const char* key, size_t most, std::string& out) {
  const auto member = map.find(key);
  if (member == map.end() || member->is_null()) return {};
  if (!member->is_string() || member->get_ref<const std::string&>().size() > most ||
      !is_utf8(member->get_ref<const std::string&>())) {
    return wrong(std::string(key) + " must be a text of at most " + std::to_string(most) +
                 " bytes");
  }
  out = member->get<std::string>();
  return {};
}

Result<void> read_flag(const json& map, const char* key, bool& out) {
  const auto member = map.find(key);
  if (member == map.end() || member->is_null()) return {};
  if (!member->is_boolean()) return wrong(std::string(key) + " must be true or false");
  out = member->get<bool>();
  return {};
}

Result<void> check_uri(const std::string& uri) {
  for (const std::string_view scheme : {"http://", "https://", "mqtt:"}) {
    if (uri.starts_with(scheme) && uri.size() > scheme.size()) return {};
  }
  if (uri == kFleetTarget) return {};
  return wrong(
      "uri must begin with http://, https:// or mqtt: (a topic of the nucleus's broker), or "
      "be fleet: (the fleet of this device)");
}

Result<void> read_status(const json& map, ExportConfig& config) {
  const auto status = map.find("statusConfig");
  if (status == map.end() || status->is_null()) return {};
  if (!status->is_object()) return wrong("statusConfig must be a map");
  SKERRY_TRY(read_integer(*status, "statusLevel", 0, 4, config.status_level));
  std::string stream;
  SKERRY_TRY(read_text(*status, "statusStreamName", 255, stream));
  if (stream.empty()) return {};
  SKERRY_TRY(check_stream_name(stream));
  config.status_stream = stream;
  return {};
}

Result<ExportConfig> parse_export(const Kind& kind, const json& map) {
  if (!map.is_object()) return wrong("an export must be a map");
  ExportConfig config{.kind = kind.kind, .batch_size = kind.most_in_batch};
  SKERRY_TRY(read_text(map, "identifier", 255, config.identifier));
  if (!check_stream_name(config.identifier)) {
    return wrong("identifier must be 1 to 255 letters, digits, spaces and , . - _");
  }
  if (kind.target_key) {
    SKERRY_TRY(read_text(map, kind.target_key, kMaxTargetBytes, config.target));
    if (config.target.empty()) return wrong(std::string(kind.target_key) + " is missing");
  }
  if (kind.kind == ExportKind::kHttp) {
    SKERRY_TRY(check_uri(config.target));
    int64_t format = 0;
    SKERRY_TRY(read_integer(map, "exportFormat", 0, 1, format));
    config.json_batched = format == 1;
  }
  if (kind.most_in_batch > 1) {
    int64_t interval_ms = 0;
    SKERRY_TRY(read_integer(map, "batchSize", 1, kind.most_in_batch, config.batch_size));
    SKERRY_TRY(read_integer(map, "batchIntervalMillis", 60'000, kMostIntervalMs, interval_ms));
    SKERRY_TRY(read_integer(map, "startSequenceNumber", 0, INT64_MAX, config.start));
    if (interval_ms > 0) config.batch_interval_ms = interval_ms;
  }
  SKERRY_TRY(read_integer(map, "priority", 1, 10, config.priority));
  SKERRY_TRY(read_flag(map, "disabled", config.disabled));
  SKERRY_TRY(read_text(map, "iotMsgIdPrefix", 32, config.message_id_prefix));
  SKERRY_TRY(read_integer(map, "sizeThresholdForMultipartUploadBytes", kLeastPartBytes, INT64_MAX,
                          config.multipart_above_bytes));
  SKERRY_TRY(read_status(map, config));
  return config;
}

json to_json(const Kind& kind, const ExportConfig& config) {
  json map = {{"identifier", config.identifier},
              {"priority", config.priority},
              {"disabled", config.disabled}};
  if (kind.target_key) map[kind.target_key] = config.target;
  if (kind.most_in_batch > 1) {
    map["batchSize"] = config.batch_size;
    map["startSequenceNumber"] = config.start;
    if (config.batch_interval_ms) map["batchIntervalMillis"] = *config.batch_interval_ms;
  }
  if (kind.kind == ExportKind::kHttp) map["exportFormat"] = config.json_batched ? 1 : 0;
  if (!config.message_id_prefix.empty()) map["iotMsgIdPrefix"] = config.message_id_prefix;
  if (kind.kind != ExportKind::kS3) return map;
  map["sizeThresholdForMultipartUploadBytes"] = config.multipart_above_bytes;
  if (config.status_stream) {
    map["statusConfig"] = {{"statusLevel", config.status_level},
                           {"statusStreamName", *config.status_stream}};
  }
  return map;
}

}  // namespace

Result<std::vector<ExportConfig>> parse_exports(const json& definition) {
  std::vector<ExportConfig> exports;
  if (definition.is_null()) return exports;
  if (!definition.is_object()) return wrong("exportDefinition must be a map");
  for (const auto& [key, value] : definition.items()) {
    const bool is_known =
        std::ranges::any_of(kKinds, [&](const Kind& kind) { return key == kind.key; });
    if (!is_known && !value.is_null() && !value.empty()) {
      return wrong("exportDefinition." + key + ": there is no such export");
    }
  }
  std::set<std::string> identifiers;
  for (const Kind& kind : kKinds) {
    const auto list = definition.find(kind.key);
    if (list == definition.end() || list->is_null()) continue;
    const auto context = [&](const std::string& what) {
      return "exportDefinition." + std::string(kind.key) + ": " + what;
    };
    if (!list->is_array()) return wrong(context("must be a list"));
    for (const json& map : *list) {
      auto config = parse_export(kind, map);
      if (!config) return wrong(context(config.error().message()));
      if (!identifiers.insert(config->identifier).second) {
        return wrong(context("two exports are called " + config->identifier));
      }
      exports.push_back(*std::move(config));
    }
  }
  if (exports.size() > kMaxExports) return wrong("a stream has at most 64 exports");
  return exports;
}

json to_json(const std::vector<ExportConfig>& exports) {
  json definition = json::object();
  for (const Kind& kind : kKinds) {
    for (const ExportConfig& config : exports) {
      if (config.kind == kind.kind) definition[kind.key].push_back(to_json(kind, config));
    }
  }
  return definition;
}

}  // namespace skerry::streams
