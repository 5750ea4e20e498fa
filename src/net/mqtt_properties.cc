// Reading and writing of property lists, and the settings of a client.
#include "net/mqtt_properties.h"

#include <mqtt_protocol.h>

#include <cstdlib>

#include "net/mqtt_tls.h"

namespace skerry::net {
namespace {

// Takes what the library has allocated; it is terminated, and holds no other null byte.
std::string take_text(char* text) {
  std::string result = text ? text : "";
  std::free(text);
  return result;
}

Result<void> check(int status, const char* what) {
  if (status == MOSQ_ERR_SUCCESS) return {};
  return fail(Code::kInvalidArgument,
              std::string("MQTT: ") + what + ": " + mosquitto_strerror(status));
}

// The properties of every CONNECT. The library stores them in its blocking connect function only;
// called without a host it stores them and refuses the rest.
Result<void> set_connect_properties(mosquitto* client, const MqttOptions& options) {
  mosquitto_property* list = nullptr;
  int status = mosquitto_property_add_int32(&list, MQTT_PROP_SESSION_EXPIRY_INTERVAL,
                                            options.session_expiry_s);
  if (status == MOSQ_ERR_SUCCESS) {
    status = mosquitto_property_add_int32(&list, MQTT_PROP_MAXIMUM_PACKET_SIZE,
                                          options.max_packet_bytes);
  }
  const MqttPropertyList owned(list);
  SKERRY_TRY(check(status, "properties"));
  status =
      mosquitto_connect_bind_v5(client, nullptr, options.port, options.keep_alive_s, nullptr, list);
  return status == MOSQ_ERR_INVAL ? Result<void>() : check(status, "properties");
}

}  // namespace

Result<void> configure_mqtt(mosquitto* client, const MqttOptions& options, MqttTls* tls) {
  SKERRY_TRY(check(mosquitto_int_option(client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5),
                   "protocol version"));
  SKERRY_TRY(check(mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1), "no delay"));
  if (tls) {
    SKERRY_TRY(check(mosquitto_void_option(client, MOSQ_OPT_SSL_CTX, tls->native()), "TLS"));
    SKERRY_TRY(check(mosquitto_int_option(client, MOSQ_OPT_SSL_CTX_WITH_DEFAULTS, 0), "TLS"));
  }
  return set_connect_properties(client, options);
}

bool blames_packet(int code) {
  switch (code) {
    case MQTT_RC_MALFORMED_PACKET:
    case MQTT_RC_PROTOCOL_ERROR:
    case MQTT_RC_TOPIC_NAME_INVALID:
    case MQTT_RC_PACKET_TOO_LARGE:
    case MQTT_RC_PAYLOAD_FORMAT_INVALID:
    case MQTT_RC_RETAIN_NOT_SUPPORTED:
    case MQTT_RC_QOS_NOT_SUPPORTED:
      return true;
    default:
      return false;
  }
}

int append_properties(MqttPropertyList& list, const MqttProperties& properties) {
  mosquitto_property* raw = list.release();
  int status = MOSQ_ERR_SUCCESS;
  const auto add = [&](auto function, auto... arguments) {
    if (status == MOSQ_ERR_SUCCESS) status = function(&raw, arguments...);
  };
  if (properties.payload_format) {
    add(mosquitto_property_add_byte, MQTT_PROP_PAYLOAD_FORMAT_INDICATOR,
        *properties.payload_format);
  }
  if (properties.expiry_s) {
    add(mosquitto_property_add_int32, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, *properties.expiry_s);
  }
  if (!properties.content_type.empty()) {
    add(mosquitto_property_add_string, MQTT_PROP_CONTENT_TYPE, properties.content_type.c_str());
  }
  if (!properties.response_topic.empty()) {
    add(mosquitto_property_add_string, MQTT_PROP_RESPONSE_TOPIC, properties.response_topic.c_str());
  }
  if (!properties.correlation_data.empty()) {
    add(mosquitto_property_add_binary, MQTT_PROP_CORRELATION_DATA,
        static_cast<const void*>(properties.correlation_data.data()),
        static_cast<uint16_t>(properties.correlation_data.size()));
  }
  for (const auto& [name, value] : properties.user) {
    add(mosquitto_property_add_string_pair, MQTT_PROP_USER_PROPERTY, name.c_str(), value.c_str());
  }
  list.reset(raw);
  return status;
}

void read_properties(const mosquitto_property* list, MqttMessage& message) {
  MqttProperties& properties = message.properties;
  for (; list; list = mosquitto_property_next(list)) {
    char* text = nullptr;
    char* value = nullptr;
    uint32_t number = 0;
    switch (mosquitto_property_identifier(list)) {
      case MQTT_PROP_PAYLOAD_FORMAT_INDICATOR:
        mosquitto_property_read_byte(list, MQTT_PROP_PAYLOAD_FORMAT_INDICATOR,
                                     &properties.payload_format.emplace(), false);
        break;
      case MQTT_PROP_MESSAGE_EXPIRY_INTERVAL:
        mosquitto_property_read_int32(list, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL,
                                      &properties.expiry_s.emplace(), false);
        break;
      case MQTT_PROP_CONTENT_TYPE:
        mosquitto_property_read_string(list, MQTT_PROP_CONTENT_TYPE, &text, false);
        properties.content_type = take_text(text);
        break;
      case MQTT_PROP_RESPONSE_TOPIC:
        mosquitto_property_read_string(list, MQTT_PROP_RESPONSE_TOPIC, &text, false);
        properties.response_topic = take_text(text);
        break;
      case MQTT_PROP_CORRELATION_DATA: {
        void* data = nullptr;
        uint16_t size = 0;
        mosquitto_property_read_binary(list, MQTT_PROP_CORRELATION_DATA, &data, &size, false);
        properties.correlation_data.assign(static_cast<const char*>(data), data ? size : 0);
        std::free(data);
        break;
      }
      case MQTT_PROP_USER_PROPERTY: {
        mosquitto_property_read_string_pair(list, MQTT_PROP_USER_PROPERTY, &text, &value, false);
        std::string name = take_text(text);
        properties.user.emplace_back(std::move(name), take_text(value));
        break;
      }
      case MQTT_PROP_SUBSCRIPTION_IDENTIFIER:
        mosquitto_property_read_varint(list, MQTT_PROP_SUBSCRIPTION_IDENTIFIER, &number, false);
        message.subscription_ids.push_back(number);
        break;
      default:
        break;
    }
  }
}

BrokerCapabilities read_capabilities(const mosquitto_property* list) {
  BrokerCapabilities capabilities;
  mosquitto_property_read_int32(list, MQTT_PROP_MAXIMUM_PACKET_SIZE, &capabilities.max_packet_bytes,
                                false);
  uint8_t available = 1;
  mosquitto_property_read_byte(list, MQTT_PROP_SUBSCRIPTION_ID_AVAILABLE, &available, false);
  capabilities.subscription_ids = available != 0;
  return capabilities;
}

}  // namespace skerry::net
