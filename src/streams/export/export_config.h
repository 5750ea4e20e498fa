// What of a stream goes where: the exportDefinition of the Stream Manager SDKs, and how far an
// export has come.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace skerry::streams {

enum class ExportKind { kHttp, kIotAnalytics, kKinesis, kSiteWise, kS3 };

inline constexpr const char* kFleetTarget = "fleet:";

struct ExportConfig {
  ExportKind kind = ExportKind::kHttp;
  std::string identifier;  // of one stream's exports, each has another
  // URI (http:, https:, mqtt:TOPIC for the broker of the nucleus, fleet: for its fleet), Kinesis
  // stream, or channel.
  std::string target;
  int64_t batch_size = 1;                    // messages of one request, at most
  std::optional<int64_t> batch_interval_ms;  // unset: what is there goes at once
  int64_t priority = 10;                     // 1 goes first
  int64_t start = 0;                         // number of the first message to go
  bool disabled = false;
  bool json_batched = false;      // of kHttp: a list of messages, not each by itself
  std::string message_id_prefix;  // of kIotAnalytics
  // Of kS3: larger files go in parts; and who hears about it, from status level 0 (errors) on.
  int64_t multipart_above_bytes = 5 << 20;
  std::optional<std::string> status_stream;
  int64_t status_level = 2;

  bool operator==(const ExportConfig&) const = default;
};

// Of a definition's exportDefinition, which may be null. kInvalidArgument names export and member.
Result<std::vector<ExportConfig>> parse_exports(const nlohmann::json& definition);
nlohmann::json to_json(const std::vector<ExportConfig>& exports);

struct ExportProgress {
  int64_t next = 0;      // number of the first message that has not gone
  int64_t messages = 0;  // that have gone
  int64_t bytes = 0;     // of their payloads
  int64_t last_ms = 0;   // of the last attempt, since 1970; 0: there was none
  std::string error;     // of the last attempt; "" where it went well

  bool operator==(const ExportProgress&) const = default;
};

}  // namespace skerry::streams
