// PublishToIoTCore and SubscribeToIoTCore: messages to and from the cloud, all through the device's
// one MQTT connection; SubscribeToIoTCoreConnectionStatus: whether it stands.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "formats/json_ptr.h"
#include "nucleus/ipc/operations.h"
#include "nucleus/mqtt_router.h"
#include "nucleus/spool.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

// Of AWS IoT Core, and so of what components are written for.
constexpr size_t kMaxTopicBytes = 256;
constexpr ptrdiff_t kMaxTopicSlashes = 7;

std::unexpected<IpcError> service_error(std::string message) {
  return std::unexpected(IpcError{kServiceError, std::move(message), {}, {}});
}

std::expected<MqttRouter*, IpcError> mqtt_of(const IpcCall& call) {
  if (MqttRouter* mqtt = call.context.host.mqtt()) return mqtt;
  return service_error("This device has no MQTT connection: iotDataEndpoint is not configured");
}

// Null and absent are the same.
const json* field(const IpcCall& call, const char* key) {
  const auto found = call.request.find(key);
  return found == call.request.end() || found->is_null() ? nullptr : &*found;
}

// "0", "1"; at least once where nothing is said, as the existing nuclei do.
std::expected<uint8_t, IpcError> qos_of(const IpcCall& call) {
  const json* qos = field(call, "qos");
  if (!qos || *qos == "1") return 1;
  if (*qos == "0") return 0;
  return call.invalid("qos must be \"0\" or \"1\"");
}

// The bytes of a blob; "" where it is absent.
std::expected<std::string, IpcError> blob_of(const IpcCall& call, const char* key) {
  const json* value = field(call, key);
  if (!value) return std::string();
  if (value->is_string()) {
    if (auto bytes = base64_decode(value->get_ref<const std::string&>())) return std::move(*bytes);
  }
  return call.invalid(std::string(key) + " must be base64");
}

std::expected<std::string, IpcError> text_of(const IpcCall& call, const char* key) {
  return field(call, key) ? call.text(key) : std::string();
}

std::expected<net::MqttProperties, IpcError> properties_of(const IpcCall& call) {
  net::MqttProperties properties;
  SKERRY_IPC_ASSIGN(properties.content_type, text_of(call, "contentType"));
  SKERRY_IPC_ASSIGN(properties.response_topic, text_of(call, "responseTopic"));
  SKERRY_IPC_ASSIGN(properties.correlation_data, blob_of(call, "correlationData"));
  if (const json* format = field(call, "payloadFormat")) {
    if (*format != "0" && *format != "1") {
      return call.invalid("payloadFormat must be \"0\" (bytes) or \"1\" (UTF-8)");
    }
    properties.payload_format = *format == "1" ? 1 : 0;
  }
  if (const json* expiry = field(call, "messageExpiryIntervalSeconds")) {
    if (!expiry->is_number_integer() || *expiry < 0 || *expiry > UINT32_MAX) {
      return call.invalid("messageExpiryIntervalSeconds must be a whole number of seconds");
    }
    properties.expiry_s = expiry->get<uint32_t>();
  }
  if (const json* user = field(call, "userProperties")) {
    const auto is_text = [](const json& item, const char* key) {
      return item.is_object() && item.contains(key) && item[key].is_string();
    };
    for (const json& item : user->is_array() ? *user : json::array({nullptr})) {
      if (!is_text(item, "key") || !is_text(item, "value")) {
        return call.invalid("userProperties must be a list of objects with key and value");
      }
      properties.user.emplace_back(item["key"].get<std::string>(),
                                   item["value"].get<std::string>());
    }
  }
  return properties;
}

// Basic ingest and shared subscriptions begin with levels that do not count.
std::string_view counted_part(std::string_view topic) {
  constexpr std::string_view kRules = "$aws/rules/";
  if (!topic.starts_with(kRules)) return net::unshared_filter(topic);
  const size_t slash = topic.find('/', kRules.size());
  return slash == std::string_view::npos ? topic : topic.substr(slash + 1);
}

// A topic or filter that AWS IoT Core would take. Before the access control is asked: what matches
// a policy must be what the broker will see.
IpcOutcome check_topic(const IpcCall& call, const Result<void>& checked, std::string_view topic) {
  if (!checked) return call.invalid(checked.error().message());
  const std::string_view counted = counted_part(topic);
  if (counted.size() > kMaxTopicBytes || std::ranges::count(counted, '/') > kMaxTopicSlashes) {
    return call.invalid("a topic has at most 256 bytes and 7 slashes: '" +
                        std::string(topic.substr(0, 2 * kMaxTopicBytes)) + "'");
  }
  return {};
}

std::string event_of(const net::MqttMessage& message) {
  const net::MqttProperties& properties = message.properties;
  std::string event = R"({"message":{"topicName":)" + json_string(message.topic) +
                      R"(,"payload":")" + base64_encode(message.payload) + '"';
  const auto add_text = [&](const char* key, const std::string& text) {
    if (!text.empty()) event.append(",\"").append(key).append("\":").append(json_string(text));
  };
  if (message.retain) event += R"(,"retain":true)";
  if (!properties.user.empty()) {
    json list = json::array();
    for (const auto& [key, value] : properties.user)
      list.push_back({{"key", key}, {"value", value}});
    event += R"(,"userProperties":)" + formats::json_text(list);
  }
  if (properties.expiry_s) {
    event += R"(,"messageExpiryIntervalSeconds":)" + std::to_string(*properties.expiry_s);
  }
  if (!properties.correlation_data.empty()) {
    add_text("correlationData", base64_encode(properties.correlation_data));
  }
  add_text("responseTopic", properties.response_topic);
  if (properties.payload_format) {
    add_text("payloadFormat", std::to_string(*properties.payload_format));
  }
  add_text("contentType", properties.content_type);
  return event + "}}";
}

}  // namespace

IpcOutcome publish_to_iot_core(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(const std::string topic, call.text("topicName"));
  SKERRY_IPC_TRY(check_topic(call, net::check_mqtt_topic(topic), topic));
  SKERRY_IPC_TRY(call.authorize(kMqttProxyService, topic));
  net::MqttMessage message{.topic = topic};
  SKERRY_IPC_ASSIGN(message.qos, qos_of(call));
  SKERRY_IPC_ASSIGN(message.payload, blob_of(call, "payload"));
  SKERRY_IPC_ASSIGN(message.properties, properties_of(call));
  if (const json* retain = field(call, "retain")) {
    if (!retain->is_boolean()) return call.invalid("retain must be true or false");
    message.retain = retain->get<bool>();
  }
  SKERRY_IPC_TRY(mqtt_of(call));
  // Online, the answer waits for the broker's. Where that takes long or the connection ends, the
  // message is kept and the component goes on: it must not hang for as long as the network is away.
  const auto answer = [stream = call.stream](const Error* error) {
    if (!error) return stream.respond("aws.greengrass#PublishToIoTCoreResponse", "{}");
    const json body = {{"message", "Publish failed: " + error->message()}};
    stream.fail(kServiceError, formats::json_text(body));
  };
  const Result<void> accepted = call.context.host.spool().publish(std::move(message), answer);
  if (!accepted) return service_error("Publish failed: " + accepted.error().message());
  return {};
}

IpcOutcome subscribe_to_iot_core(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(const std::string filter, call.text("topicName"));
  SKERRY_IPC_TRY(check_topic(call, net::check_mqtt_filter(filter), filter));
  // Of a shared subscription the group says nothing about what is read.
  SKERRY_IPC_TRY(call.authorize(kMqttProxyService, net::unshared_filter(filter)));
  SKERRY_IPC_ASSIGN(const uint8_t qos, qos_of(call));
  SKERRY_IPC_ASSIGN(MqttRouter * mqtt, mqtt_of(call));
  // The response comes first on the stream, whatever arrives before the broker has answered.
  const auto answered = std::make_shared<bool>(false);
  const auto answer = [stream = call.stream, answered](const Error* error) {
    if (std::exchange(*answered, true)) return;
    if (!error) return stream.start("aws.greengrass#SubscribeToIoTCoreResponse", "{}");
    const json body = {{"message", "Subscribe failed: " + error->message()}};
    stream.fail(kServiceError, formats::json_text(body));
  };
  auto subscription = mqtt->subscribe(
      filter, qos,
      [stream = call.stream, answer](const net::MqttMessage& message) {
        answer(nullptr);
        stream.send("aws.greengrass#IoTCoreMessage", event_of(message));
      },
      answer);
  if (!subscription) return service_error("Subscribe failed: " + subscription.error().message());
  call.stream.on_closed(
      [subscription = std::move(*subscription)]() mutable { subscription.end(); });
  return {};
}

// Tells nobody anything of a topic: open to every component, as in the existing nuclei.
IpcOutcome subscribe_to_iot_core_connection_status(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(MqttRouter * mqtt, mqtt_of(call));
  const auto tell = [stream = call.stream](bool connected) {
    const std::string_view status = connected ? "CONNECTED" : "DISCONNECTED";
    const json event = {{"connectionStatusEvent", {{"status", status}}}};
    stream.send("aws.greengrass#IoTCoreConnectionStatusEvent", formats::json_text(event));
  };
  call.stream.start("aws.greengrass#SubscribeToIoTCoreConnectionStatusResponse", "{}");
  tell(mqtt->connected());
  call.stream.on_closed([watch = mqtt->watch_connection(tell)] {});
  return {};
}

}  // namespace skerry::nucleus
