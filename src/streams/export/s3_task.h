// What the messages of an S3 export say and are told: S3ExportTaskDefinition and StatusMessage of
// the Stream Manager SDKs.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::streams {

struct S3Task {
  std::string path;  // of a file on this device
  std::string bucket;
  std::string key;                              // its placeholders are filled in
  std::map<std::string, std::string> metadata;  // names without x-amz-meta-
};

// `time_ms` fills in the key's placeholders: that of the message and not of the attempt, so that a
// task that is tried again has the same key. kInvalidArgument names the member.
Result<S3Task> parse_s3_task(std::string_view payload, int64_t time_ms);
// "a/!{timestamp:yyyy/MM/dd}/b" in UTC; the letters y M d H m s S of Java's DateTimeFormatter, and
// text in ''.
Result<std::string> expand_key(std::string_view key, int64_t time_ms);

enum class TaskStatus { kSuccess = 0, kFailure = 1, kInProgress = 2, kWarning = 3 };

struct StatusContext {
  std::string stream;
  std::string identifier;
  int64_t sequence = 0;
  std::string task;  // the message as it was
};
// How urgent a status is: 0 error, 1 warning, 2 information.
int64_t level_of(TaskStatus status);
std::string status_message(TaskStatus status, const std::string& text, const StatusContext& context,
                           int64_t now_ms);

}  // namespace skerry::streams
