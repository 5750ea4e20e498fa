// Deployments in shadows: reading what is wanted, printing how it went.
#include "formats/shadow_deployment.h"

#include <nlohmann/json.hpp>

#include "formats/limits.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

constexpr std::string_view kCanceled = "CANCELED";
constexpr size_t kMaxCauseBytes = 1024;

std::string text_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

const json* object_at(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_object() ? &*found : nullptr;
}

// Without a configuration ARN nobody could be told how it went.
std::optional<WantedByShadow> wanted_of(const json& desired) {
  const std::string text = text_at(desired, "fleetConfig");
  const std::string status = text_at(desired, "desiredStatus");
  if (text.empty() || status.empty()) return {};
  const auto parsed = parse_json(text, {.size_bytes = kMaxPacketBytes});
  if (!parsed || !parsed->is_object()) return {};
  auto document = parse_deployment(*parsed);
  std::string arn = document ? document->configuration_arn : text_at(*parsed, "configurationArn");
  if (arn.empty()) return {};
  return WantedByShadow{std::move(arn), std::move(document), status == kCanceled};
}

// Null removes what an earlier report has said.
json text_or_null(std::string_view text) {
  return text.empty() ? json() : json(text.substr(0, kMaxCauseBytes));
}

json list_or_null(const std::vector<std::string>& list) {
  return list.empty() ? json() : json(list);
}

}  // namespace

Result<ShadowWord> parse_shadow_word(std::string_view payload) {
  SKERRY_ASSIGN(const json message, parse_json(payload, {.size_bytes = kMaxPacketBytes}));
  if (!message.is_object()) return fail(Code::kInvalidArgument, "must be an object");
  ShadowWord word;
  const auto version = message.find("version");
  if (version == message.end() || !version->is_number_integer() || version->get<int64_t>() < 0) {
    return fail(Code::kInvalidArgument, "version must be a number");
  }
  word.version = version->get<int64_t>();
  word.client_token = text_at(message, "clientToken");
  const json* state = object_at(message, "state");
  if (!state) return word;
  if (const json* desired = object_at(*state, "desired")) {
    word.has_desired = !desired->empty();
    word.wanted = wanted_of(*desired);
  }
  if (const json* reported = object_at(*state, "reported")) {
    word.reported_arn = text_at(*reported, "fleetConfigurationArnForStatus");
    word.reported_status = text_at(*reported, "status");
  }
  return word;
}

std::string to_text(const ShadowReport& report, std::optional<int64_t> version,
                    std::string_view client_token) {
  json update = {{"state",
                  {{"reported",
                    {{"fleetConfigurationArnForStatus", report.configuration_arn},
                     {"status", report.status},
                     {"statusDetails",
                      {{"detailedStatus", text_or_null(report.detailed_status)},
                       {"failureCause", text_or_null(report.failure_cause)},
                       {"errorStack", list_or_null(report.error_stack)},
                       {"errorTypes", list_or_null(report.error_types)}}},
                     {"ggcVersion", report.nucleus_version}}}}},
                 {"clientToken", client_token}};
  if (version) update["version"] = *version;
  return json_text(update);
}

}  // namespace skerry::formats
