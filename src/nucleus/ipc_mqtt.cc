// PublishToIoTCore and SubscribeToIoTCore: messages to and from the cloud, all through the device's
// one MQTT connection.
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "nucleus/ipc_operations.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

std::unexpected<IpcError> service_error(std::string message) {
  return std::unexpected(IpcError{kServiceError, std::move(message), {}, {}});
}

std::expected<net::MqttClient*, IpcError> mqtt_of(const IpcCall& call) {
  if (net::MqttClient* mqtt = call.context.host.mqtt()) return mqtt;
  return service_error("This device has no MQTT connection: iotDataEndpoint is not configured");
}

// "0", "1"; at least once where nothing is said, as the existing nuclei do.
std::expected<uint8_t, IpcError> qos_of(const IpcCall& call) {
  const auto found = call.request.find("qos");
  if (found == call.request.end() || found->is_null() || *found == "1") return 1;
  if (*found == "0") return 0;
  return call.invalid("qos must be \"0\" or \"1\"");
}

// A shared subscription "$share/GROUP/FILTER" receives what FILTER matches.
std::string_view matching_part(std::string_view filter) {
  constexpr std::string_view kShare = "$share/";
  if (!filter.starts_with(kShare)) return filter;
  const size_t slash = filter.find('/', kShare.size());
  return slash == std::string_view::npos ? filter : filter.substr(slash + 1);
}

}  // namespace

uint64_t IotCoreTopics::subscribe(std::string filter, uint8_t qos, Deliver deliver,
                                  net::MqttClient::Done done) {
  const uint64_t id = next_id_++;
  Filter& shared = filters_[filter];
  const bool is_first = shared.subscribers++ == 0;
  const bool needs_more = qos > shared.qos;
  shared.qos = std::max(shared.qos, qos);
  subscriptions_.emplace(id, Subscription{filter, std::make_shared<Deliver>(std::move(deliver))});
  if (!is_first && !needs_more) {
    done(nullptr);
  } else if (net::MqttClient* mqtt = host_.mqtt()) {
    mqtt->subscribe(std::move(filter), shared.qos, std::move(done));
  }
  return id;
}

void IotCoreTopics::unsubscribe(uint64_t id) {
  auto node = subscriptions_.extract(id);
  if (!node) return;
  const auto shared = filters_.find(node.mapped().filter);
  if (--shared->second.subscribers > 0) return;
  filters_.erase(shared);
  if (net::MqttClient* mqtt = host_.mqtt()) mqtt->unsubscribe(node.mapped().filter);
}

void IotCoreTopics::deliver(const std::string& topic, const std::string& payload) {
  // Deliveries may subscribe and unsubscribe: only those that stood before are made, if they still
  // do.
  std::vector<uint64_t> ids;
  for (const auto& [id, subscription] : subscriptions_) {
    if (net::mqtt_matches(matching_part(subscription.filter), topic)) ids.push_back(id);
  }
  for (const uint64_t id : ids) {
    const auto found = subscriptions_.find(id);
    if (found == subscriptions_.end()) continue;
    const std::shared_ptr<Deliver> deliver = found->second.deliver;
    (*deliver)(topic, payload);
  }
}

IpcOutcome publish_to_iot_core(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(const std::string topic, call.text("topicName"));
  SKERRY_IPC_TRY(call.authorize(kMqttProxyService, topic));
  SKERRY_IPC_ASSIGN(const uint8_t qos, qos_of(call));
  if (topic.empty() || topic.find_first_of("+#") != std::string::npos) {
    return call.invalid("topicName must not be empty or contain a wildcard");
  }
  net::MqttMessage message{topic, {}, qos, call.request.value("retain", json()) == true};
  if (const auto payload = call.request.find("payload");
      payload != call.request.end() && !payload->is_null()) {
    if (!payload->is_string()) return call.invalid("payload must be base64");
    auto bytes = base64_decode(payload->get_ref<const std::string&>());
    if (!bytes) return call.invalid("payload must be base64");
    message.payload = std::move(*bytes);
  }
  SKERRY_IPC_ASSIGN(net::MqttClient * mqtt, mqtt_of(call));
  // Online, the answer waits for the broker's; offline, a message of QoS 1 is accepted once it is
  // queued, or a component would hang for as long as the network is away.
  const auto answer = [stream = call.stream](const Error* error) {
    if (error) {
      const json body = {{"message", "Publish failed: " + error->message()}};
      stream.fail(kServiceError, body.dump());
    } else {
      stream.respond("aws.greengrass#PublishToIoTCoreResponse", "{}");
    }
  };
  mqtt->publish(std::move(message), answer);
  if (qos > 0 && !mqtt->connected()) answer(nullptr);
  return {};
}

IpcOutcome subscribe_to_iot_core(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(const std::string filter, call.text("topicName"));
  SKERRY_IPC_TRY(call.authorize(kMqttProxyService, filter));
  SKERRY_IPC_ASSIGN(const uint8_t qos, qos_of(call));
  if (filter.empty()) return call.invalid("topicName must not be empty");
  SKERRY_IPC_ASSIGN(net::MqttClient * mqtt, mqtt_of(call));
  // The response comes first on the stream, whatever arrives before the broker has answered.
  const auto answered = std::make_shared<bool>(false);
  const auto answer = [stream = call.stream, answered](const Error* error) {
    if (std::exchange(*answered, true)) return;
    if (error) {
      const json body = {{"message", "Subscribe failed: " + error->message()}};
      stream.fail(kServiceError, body.dump());
    } else {
      stream.start("aws.greengrass#SubscribeToIoTCoreResponse", "{}");
    }
  };
  IotCoreTopics& topics = call.context.iot_core;
  const uint64_t id = topics.subscribe(
      filter, qos,
      [stream = call.stream, answer](const std::string& topic, const std::string& payload) {
        answer(nullptr);
        stream.send("aws.greengrass#IoTCoreMessage", R"({"message":{"topicName":)" +
                                                         json_string(topic) + R"(,"payload":")" +
                                                         base64_encode(payload) + R"("}})");
      },
      answer);
  call.stream.on_closed([&topics, id] { topics.unsubscribe(id); });
  // Offline, the client renews the subscription when it connects.
  if (!mqtt->connected()) answer(nullptr);
  return {};
}

}  // namespace skerry::nucleus
