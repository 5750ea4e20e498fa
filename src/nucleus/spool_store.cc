// A log, and a file with the number of the first message that has not gone.
#include "nucleus/spool_store.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "formats/json_ptr.h"
#include "io/crc32c.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

constexpr const char* kFull = "Message spool is full. Message could not be added.";

// "CRC NUMBER": a number with a flipped digit would leave messages out.
std::string line_of(int64_t next) {
  const std::string number = std::to_string(next);
  return std::to_string(io::crc32c(number)) + " " + number + "\n";
}

std::optional<int64_t> next_in(std::string_view line) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos) return std::nullopt;
  int64_t next = 0;
  const auto number = line.substr(space + 1);
  std::from_chars(number.data(), number.data() + number.size(), next);
  if (next < 0 || line_of(next) != line) return std::nullopt;
  return next;
}

}  // namespace

// --- One message --------------------------------------------------------------------------------

std::string spooled_bytes(const net::MqttMessage& message) {
  const net::MqttProperties& properties = message.properties;
  json head = {{"topic", message.topic}, {"qos", message.qos}};
  if (message.retain) head["retain"] = true;
  if (properties.payload_format) head["payloadFormat"] = *properties.payload_format;
  if (properties.expiry_s) head["expirySeconds"] = *properties.expiry_s;
  if (!properties.content_type.empty()) head["contentType"] = properties.content_type;
  if (!properties.response_topic.empty()) head["responseTopic"] = properties.response_topic;
  if (!properties.correlation_data.empty())
    head["correlationData"] = base64_encode(properties.correlation_data);
  for (const auto& [name, value] : properties.user)
    head["user"].push_back(json::array({name, value}));
  return formats::json_text(head) + "\n" + message.payload;
}

Result<net::MqttMessage> parse_spooled(std::string_view bytes) {
  const size_t end = bytes.find('\n');
  const auto wrong = [](const char* what) {
    return fail(Code::kCorrupt, std::string("a message of the spool: ") + what);
  };
  if (end == std::string_view::npos) return wrong("no line of JSON");
  SKERRY_ASSIGN(const json head, formats::parse_json(bytes.substr(0, end)));
  net::MqttMessage message;
  message.payload = bytes.substr(end + 1);
  try {
    message.topic = head.at("topic").get<std::string>();
    message.qos = head.at("qos").get<uint8_t>();
    message.retain = head.value("retain", false);
    net::MqttProperties& properties = message.properties;
    if (head.contains("payloadFormat")) properties.payload_format = head["payloadFormat"];
    if (head.contains("expirySeconds")) properties.expiry_s = head["expirySeconds"];
    properties.content_type = head.value("contentType", "");
    properties.response_topic = head.value("responseTopic", "");
    SKERRY_ASSIGN(properties.correlation_data, base64_decode(head.value("correlationData", "")));
    for (const json& each : head.value("user", json::array()))
      properties.user.emplace_back(each.at(0).get<std::string>(), each.at(1).get<std::string>());
  } catch (const json::exception&) {
    return wrong("a member is missing or of another type");
  }
  SKERRY_TRY(net::check_mqtt_message(message, SIZE_MAX));
  return message;
}

// --- All of them --------------------------------------------------------------------------------

Result<std::unique_ptr<SpoolStore>> SpoolStore::open(io::Files& files, std::string directory,
                                                     uint64_t max_bytes) {
  SKERRY_TRY(io::make_directories(files, directory, 0700));
  std::unique_ptr<SpoolStore> store(new SpoolStore(files, std::move(directory), max_bytes));
  SKERRY_TRY(store->load());
  return store;
}

// What an earlier process, or a failed write, left unsynced is synced before anything of it is
// sent. Numbers of messages that went are not given again, whatever is left of the log.
Result<void> SpoolStore::open_log() {
  const auto most = static_cast<int64_t>(max_bytes_);
  SKERRY_ASSIGN(log_, io::FileLog::open(files_, directory_, {.max_bytes = most}));
  SKERRY_TRY(log_->skip_to(next_));
  SKERRY_TRY(log_->sync());
  failed_ = false;
  return {};
}

Result<void> SpoolStore::load() {
  const auto text = io::read_file(files_, directory_ + "/next", 64);
  if (text) {
    const auto next = next_in(*text);
    if (!next) damaged_ = "the file that says how far messages have gone; they are sent again";
    next_ = next.value_or(0);
  } else if (text.error().code() != Code::kNotFound) {
    return fail(text.error());
  }
  SKERRY_TRY(open_log());
  next_ = std::max(next_, log_->range().oldest);
  const auto& found = log_->recovery();
  if (found.torn_bytes > 0) damaged_ = "an append was cut short";
  if (found.damaged_bytes > 0) damaged_ = "bytes do not match their checksums";
  return {};
}

std::vector<Result<int64_t>> SpoolStore::append(const std::vector<std::string>& messages,
                                                int64_t now_ms) {
  std::vector<Result<int64_t>> results;
  size_t kept = 0;
  // The old one stays where it cannot be opened: it refuses, and says what it has.
  if (failed_) {
    if (auto opened = open_log(); !opened) {
      results.assign(messages.size(), fail(opened.error()));
      return results;
    }
  }
  for (const std::string& message : messages) {
    auto number = log_->append(message, now_ms);
    if (!number && number.error().code() == Code::kResourceExhausted) {
      number = fail(Code::kResourceExhausted, kFull);
    }
    kept += number ? 1 : 0;
    results.push_back(std::move(number));
  }
  if (kept == 0) return results;
  if (auto written = log_->finish(true); !written) {
    failed_ = true;
    for (auto& result : results) {
      if (result) result = fail(written.error());
    }
  }
  return results;
}

Result<std::vector<io::LogMessage>> SpoolStore::read(int64_t from, size_t max_count,
                                                     size_t max_bytes) {
  return log_->read(from, max_count, max_bytes);
}

Result<void> SpoolStore::set_next(int64_t sequence) {
  SKERRY_TRY(io::write_file_atomic(files_, directory_ + "/next", line_of(sequence)));
  next_ = sequence;
  return log_->drop_before(sequence);
}

}  // namespace skerry::nucleus
