// Rejections: nothing to get or delete (404), nothing can be updated (400).
#include "fleet/shadows.h"

#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "formats/limits.h"

namespace skerry::fleet {
namespace {

using nlohmann::json;

constexpr std::string_view kShadows[] = {"$aws/things/+/shadow/", "$aws/things/+/shadow/name/+/"};
constexpr std::string_view kNamed = "/shadow/name/";

std::string shadow_name(std::string_view topic) {
  const size_t named = topic.find(kNamed);
  if (named == std::string_view::npos) {
    topic.remove_prefix(std::string_view("$aws/things/").size());
    return std::string(topic.substr(0, topic.find('/')));
  }
  topic.remove_prefix(named + kNamed.size());
  return std::string(topic.substr(0, topic.find('/')));
}

// "" where there is none that can be echoed.
std::string client_token(std::string_view payload) {
  auto request =
      formats::parse_json(payload, {.size_bytes = formats::kMaxPacketBytes, .depth = 16});
  if (!request || !request->is_object()) return "";
  auto token = request->find("clientToken");
  if (token == request->end() || !token->is_string()) return "";
  auto text = token->get<std::string>();
  return text.size() <= formats::kMaxClientTokenBytes ? text : "";
}

}  // namespace

ShadowService::ShadowService(io::Clock& clock, DeviceLink& link) : clock_(clock), link_(link) {
  for (std::string_view shadow : kShadows) {
    const std::string filter(shadow);
    const auto none = [this](const net::MqttMessage& message) {
      reject(message, 404, "No shadow exists with name: '" + shadow_name(message.topic) + "'");
    };
    link_.route(filter + "get", none);
    link_.route(filter + "delete", none);
    link_.route(filter + "update", [this](const net::MqttMessage& message) {
      reject(message, 400, "this control plane does not keep shadows");
    });
  }
}

void ShadowService::reject(const net::MqttMessage& message, int code, std::string_view reason) {
  json answer = {
      {"code", code}, {"message", std::string(reason)}, {"timestamp", clock_.wall_ms() / 1000}};
  if (const std::string token = client_token(message.payload); !token.empty()) {
    answer["clientToken"] = token;
  }
  link_.publish(message.topic + "/rejected", formats::json_text(answer));
}

}  // namespace skerry::fleet
