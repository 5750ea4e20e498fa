// Pure functions on text.
#include "streams/export/s3_task.h"

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "net/http.h"
#include "streams/definition.h"

namespace skerry::streams {
namespace {

using nlohmann::json;

constexpr std::string_view kPlaceholder = "!{timestamp:";
constexpr size_t kMaxKeyBytes = 1'024;
constexpr size_t kMaxMetadataBytes = 2'048;

std::unexpected<Error> wrong_task(const std::string& what) {
  return fail(Code::kInvalidArgument, what);
}

bool is_printable(const std::string& text) {
  return std::ranges::all_of(text, [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
}

bool is_bucket(const std::string& name) {
  return name.size() >= 3 && name.size() <= 63 && std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
         });
}

// "file:///a/b", "file:/a/b" or "/a/b".
Result<std::string> path_of(std::string url) {
  if (url.starts_with("file://")) {
    url = url.substr(7);
  } else if (url.starts_with("file:")) {
    url = url.substr(5);
  }
  SKERRY_ASSIGN(std::string path, net::percent_decode(url));
  if (!path.starts_with('/') || path.contains('\0')) {
    return wrong_task("inputUrl must be a file on this device, such as file:///var/data/clip.wav");
  }
  return path;
}

// `count` times the letter.
Result<std::string> field(char letter, size_t count, const std::tm& time, int64_t time_ms) {
  int64_t value = 0;
  switch (letter) {
    case 'y':
    case 'u':
      value = time.tm_year + 1900;
      if (count == 2) value %= 100;
      break;
    case 'M':
      value = time.tm_mon + 1;
      break;
    case 'd':
      value = time.tm_mday;
      break;
    case 'H':
      value = time.tm_hour;
      break;
    case 'm':
      value = time.tm_min;
      break;
    case 's':
      value = time.tm_sec;
      break;
    case 'S':
      value = time_ms % 1'000;
      break;
    default:
      return wrong_task(std::string("key: the placeholder's letter ") + letter +
                        " is not supported");
  }
  std::string digits = std::to_string(value);
  if (letter == 'S') {  // a fraction: from the left
    digits.insert(0, 3 - std::min<size_t>(3, digits.size()), '0');
    digits.resize(count, '0');
  } else if (digits.size() < count) {
    digits.insert(0, count - digits.size(), '0');
  }
  return digits;
}

Result<std::string> formatted(std::string_view format, int64_t time_ms) {
  const std::time_t seconds = time_ms / 1'000;
  std::tm time{};
  gmtime_r(&seconds, &time);
  std::string out;
  for (size_t i = 0; i < format.size();) {
    const char c = format[i];
    if (c == '\'') {
      const size_t end = format.find('\'', i + 1);
      if (end == std::string_view::npos) return wrong_task("key: a ' in a placeholder has no end");
      out += end == i + 1 ? "'" : format.substr(i + 1, end - i - 1);
      i = end + 1;
    } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
      const size_t end = std::min(format.find_first_not_of(c, i), format.size());
      if (end - i > 9) return wrong_task("key: a placeholder's field is too long");
      SKERRY_ASSIGN(const std::string digits, field(c, end - i, time, time_ms));
      out += digits;
      i = end;
    } else {
      out += c;
      ++i;
    }
  }
  return out;
}

}  // namespace

Result<std::string> expand_key(std::string_view key, int64_t time_ms) {
  std::string out;
  for (;;) {
    const size_t begin = key.find(kPlaceholder);
    out += key.substr(0, begin);
    if (begin == std::string_view::npos) break;
    key.remove_prefix(begin + kPlaceholder.size());
    const size_t end = key.find('}');
    if (end == std::string_view::npos) return wrong_task("key: a placeholder has no }");
    SKERRY_ASSIGN(const std::string text, formatted(key.substr(0, end), time_ms));
    out += text;
    key.remove_prefix(end + 1);
  }
  if (out.empty() || out.size() > kMaxKeyBytes) return wrong_task("key must have 1 to 1024 bytes");
  return out;
}

Result<S3Task> parse_s3_task(std::string_view payload, int64_t time_ms) {
  const json map = json::parse(payload, nullptr, false);
  if (!map.is_object()) return wrong_task("the message is no S3ExportTaskDefinition in JSON");
  S3Task task;
  SKERRY_ASSIGN(task.path, path_of(text_member(map, "inputUrl")));
  task.bucket = text_member(map, "bucket");
  if (!is_bucket(task.bucket)) {
    return wrong_task("bucket must have 3 to 63 of a-z, 0-9, - and .");
  }
  SKERRY_ASSIGN(task.key, expand_key(text_member(map, "key"), time_ms));
  const auto metadata = map.find("userMetadata");
  if (metadata == map.end() || metadata->is_null()) return task;
  if (!metadata->is_object()) return wrong_task("userMetadata must be a map");
  size_t bytes = 0;
  for (const auto& [name, value] : metadata->items()) {
    const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    bytes += name.size() + text.size();
    if (name.empty() || !is_printable(name) || name.find_first_of(": ") != std::string::npos ||
        !is_printable(text) || bytes > kMaxMetadataBytes) {
      return wrong_task("userMetadata must be printable ASCII of at most 2 KiB");
    }
    std::string lower = name;  // as S3 gives them back
    for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    task.metadata[lower] = text;
  }
  return task;
}

int64_t level_of(TaskStatus status) {
  switch (status) {
    case TaskStatus::kFailure:
      return 0;
    case TaskStatus::kWarning:
      return 1;
    default:
      return 2;
  }
}

std::string status_message(TaskStatus status, const std::string& text, const StatusContext& context,
                           int64_t now_ms) {
  json about = {{"exportIdentifier", context.identifier},
                {"streamName", context.stream},
                {"sequenceNumber", context.sequence}};
  json task = json::parse(context.task, nullptr, false);
  if (task.is_object()) about["s3ExportTaskDefinition"] = std::move(task);
  const json message = {{"eventType", 0},  // S3Task
                        {"statusLevel", level_of(status)},
                        {"status", static_cast<int>(status)},
                        {"statusContext", std::move(about)},
                        {"message", text},
                        {"timestampEpochMs", now_ms}};
  return message.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace skerry::streams
