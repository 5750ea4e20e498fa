// One row for each service: what a request is, and which messages of it the answer says have not
// arrived.
#include "streams/export/aws_exporter.h"

#include <algorithm>
#include <array>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/encoding.h"
#include "streams/definition.h"

namespace skerry::streams {
namespace {

using nlohmann::json;

constexpr size_t kMaxRequestBytes = 5 << 20;
constexpr size_t kShownBytes = 300;

// The list at `key`, empty where there is none.
json list_member(const json& map, const char* key) {
  const auto member = map.find(key);
  return member != map.end() && member->is_array() ? *member : json::array();
}

// --- Kinesis ------------------------------------------------------------------------------------

Result<json> kinesis_request(const ExportConfig& config, const ExportBatch& batch) {
  json records = json::array();
  for (const Message& message : batch.messages) {
    // What tells repetitions also spreads the messages over the shards.
    records.push_back(
        {{"Data", base64_encode(message.payload)}, {"PartitionKey", batch.message_id(message)}});
  }
  return json{{"StreamName", config.target}, {"Records", std::move(records)}};
}

// The answer has a row for each record.
std::optional<size_t> kinesis_failure(const ExportBatch&, const json& answer, std::string& why) {
  const json records = list_member(answer, "Records");
  for (size_t i = 0; i < records.size(); ++i) {
    const std::string code = records[i].is_object() ? text_member(records[i], "ErrorCode") : "";
    if (code.empty()) continue;
    why = code + ": " + text_member(records[i], "ErrorMessage");
    return i;
  }
  return std::nullopt;
}

// --- SiteWise -----------------------------------------------------------------------------------

// Each message is an entry already, as the SDKs write it (PutAssetPropertyValueEntry).
Result<json> sitewise_request(const ExportConfig&, const ExportBatch& batch) {
  json entries = json::array();
  for (const Message& message : batch.messages) {
    json entry = json::parse(message.payload, nullptr, false);
    if (!entry.is_object() || !entry.contains("propertyValues")) {
      return fail(Code::kInvalidArgument, "message " + std::to_string(message.sequence) +
                                              " is no PutAssetPropertyValueEntry in JSON");
    }
    // So that the answer can be read: entries of one request have different ids.
    entry["entryId"] = std::to_string(message.sequence);
    entries.push_back(std::move(entry));
  }
  return json{{"entries", std::move(entries)}};
}

std::optional<size_t> first_of(const ExportBatch& batch, const json& errors, const char* key,
                               const std::function<std::string(const Message&)>& id_of) {
  for (size_t i = 0; i < batch.messages.size(); ++i) {
    const std::string id = id_of(batch.messages[i]);
    const bool is_named = std::ranges::any_of(
        errors, [&](const json& each) { return each.is_object() && text_member(each, key) == id; });
    if (is_named) return i;
  }
  return std::nullopt;
}

std::optional<size_t> sitewise_failure(const ExportBatch& batch, const json& answer,
                                       std::string& why) {
  const json errors = list_member(answer, "errorEntries");
  if (!errors.empty()) why = errors.front().dump().substr(0, kShownBytes);
  return first_of(batch, errors, "entryId",
                  [](const Message& message) { return std::to_string(message.sequence); });
}

// --- IoT Analytics ------------------------------------------------------------------------------

Result<json> analytics_request(const ExportConfig& config, const ExportBatch& batch) {
  json messages = json::array();
  for (const Message& message : batch.messages) {
    messages.push_back({{"messageId", config.message_id_prefix + batch.message_id(message)},
                        {"payload", base64_encode(message.payload)}});
  }
  return json{{"channelName", config.target}, {"messages", std::move(messages)}};
}

std::optional<size_t> analytics_failure(const ExportConfig& config, const ExportBatch& batch,
                                        const json& answer, std::string& why) {
  const json errors = list_member(answer, "batchPutMessageErrorEntries");
  if (!errors.empty()) why = errors.front().dump().substr(0, kShownBytes);
  return first_of(batch, errors, "messageId", [&](const Message& message) {
    return config.message_id_prefix + batch.message_id(message);
  });
}

// ------------------------------------------------------------------------------------------------

struct Service {
  ExportKind kind;
  const char* name;  // in signatures and endpoints
  const char* path;
  const char* target;  // X-Amz-Target, of services that have it
  const char* content_type;
  Result<json> (*request)(const ExportConfig&, const ExportBatch&);
};
constexpr std::array kServices = {
    Service{ExportKind::kKinesis, "kinesis", "/", "Kinesis_20131202.PutRecords",
            "application/x-amz-json-1.1", kinesis_request},
    Service{ExportKind::kSiteWise, "iotsitewise", "/properties", nullptr, "application/json",
            sitewise_request},
    Service{ExportKind::kIotAnalytics, "iotanalytics", "/messages/batch", nullptr,
            "application/json", analytics_request},
};

// The first message that has not arrived.
std::optional<size_t> failure_of(const ExportConfig& config, const ExportBatch& batch,
                                 const json& answer, std::string& why) {
  switch (config.kind) {
    case ExportKind::kKinesis:
      return kinesis_failure(batch, answer, why);
    case ExportKind::kSiteWise:
      return sitewise_failure(batch, answer, why);
    default:
      return analytics_failure(config, batch, answer, why);
  }
}

// "ValidationException" of "com.amazonaws.kinesis.v20131202#ValidationException:http://…".
std::string error_name(const net::HttpResponse& response) {
  std::string name(response.headers.get("x-amzn-ErrorType"));
  const json body = json::parse(response.body, nullptr, false);
  if (name.empty() && body.is_object()) name = text_member(body, "__type");
  name = name.substr(0, name.find(':'));
  return name.substr(name.rfind('#') + 1);
}

// What these services answer to mistakes has status 400 nearly always, also where they are busy or
// a key has expired: the name tells.
Result<void> check_aws_answer(const net::HttpResponse& response, const std::string& service) {
  auto checked = check_answer(response, service);
  if (checked || checked.error().code() != Code::kInvalidArgument) return checked;
  const std::string name = error_name(response);
  for (const char* content : {"InvalidArgumentException", "InvalidRequestException",
                              "ValidationException", "SerializationException"}) {
    if (name == content) return checked;
  }
  const bool passes = name.contains("Throttl") || name.contains("Exceeded") ||
                      name.contains("Expired") || name.contains("Internal");
  return fail(passes ? Code::kUnavailable : Code::kFailedPrecondition, checked.error().message());
}

}  // namespace

io::Task<Result<size_t>> AwsExporter::send(const ExportBatch& batch, Uplink::Transfer& line) {
  const Service& service = *std::ranges::find(kServices, config_.kind, &Service::kind);
  SKERRY_CO_ASSIGN(const json content, service.request(config_, batch));
  net::HttpRequest request{.method = "POST", .target = service.path, .body = content.dump()};
  if (request.body.size() > kMaxRequestBytes) {
    co_return fail(Code::kInvalidArgument, "a request has at most 5 MiB");
  }
  request.headers.add("Content-Type", service.content_type);
  if (service.target) request.headers.add("X-Amz-Target", service.target);
  SKERRY_CO_ASSIGN(const auto response,
                   co_await session_.send(service.name, std::move(request), line));
  SKERRY_CO_TRY(check_aws_answer(response, service.name));
  const json answer = json::parse(response.body, nullptr, false);
  if (!answer.is_object()) {
    co_return fail(Code::kUnavailable, std::string(service.name) + " answered no JSON object");
  }
  std::string why;
  const auto failed = failure_of(config_, batch, answer, why);
  if (!failed) co_return batch.messages.size();
  if (*failed > 0) co_return *failed;
  const bool is_content = why.contains("InvalidRequest") || why.contains("ValidationException");
  co_return fail(is_content ? Code::kInvalidArgument : Code::kUnavailable,
                 std::string(service.name) + " did not take a message: " + why);
}

}  // namespace skerry::streams
