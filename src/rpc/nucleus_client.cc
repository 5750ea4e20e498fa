// Writes and reads around ClientConnection. A connection on which nobody waits for an answer is
// never timed out.
#include "rpc/nucleus_client.h"

#include <cstdlib>
#include <optional>

#include <nlohmann/json.hpp>

#include "base/encoding.h"

namespace skerry::rpc {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

constexpr const char* kUnauthorized = "aws.greengrass#UnauthorizedError";

std::optional<std::string> bytes_at(const nlohmann::json& map, const char* pointer) {
  const nlohmann::json::json_pointer where(pointer);
  if (!map.contains(where) || !map.at(where).is_string()) return std::nullopt;
  auto bytes = base64_decode(map.at(where).get_ref<const std::string&>());
  return bytes ? std::optional(*std::move(bytes)) : std::nullopt;
}

// Of an IoTCoreMessage.
std::optional<NucleusMessage> message_of(std::string_view event) {
  const nlohmann::json map = nlohmann::json::parse(event, nullptr, false);
  if (!map.is_object()) return std::nullopt;
  auto payload = bytes_at(map, "/message/payload");
  if (!payload) return std::nullopt;
  NucleusMessage message{.payload = *std::move(payload)};
  const nlohmann::json::json_pointer kTopic("/message/responseTopic");
  if (map.contains(kTopic) && map.at(kTopic).is_string()) message.response_topic = map.at(kTopic);
  message.correlation_data = bytes_at(map, "/message/correlationData").value_or("");
  return message;
}

// Of a SubscriptionResponseMessage: bytes, or the text of a JSON document.
std::optional<NucleusMessage> local_message_of(std::string_view event) {
  const nlohmann::json map = nlohmann::json::parse(event, nullptr, false);
  if (!map.is_object()) return std::nullopt;
  const nlohmann::json::json_pointer kDocument("/jsonMessage/message");
  if (map.contains(kDocument)) return NucleusMessage{.payload = map.at(kDocument).dump()};
  auto payload = bytes_at(map, "/binaryMessage/message");
  return payload ? std::optional(NucleusMessage{.payload = *std::move(payload)}) : std::nullopt;
}

// What the nucleus's answer means for who wanted it to do `what`.
Result<void> check(const NucleusClient::Answer& answer, const std::string& what) {
  if (!answer.is_error) return {};
  const bool refused = answer.shape == kUnauthorized;
  return fail(refused ? Code::kPermissionDenied : Code::kUnavailable,
              "the nucleus did not " + what + ": " + answer.payload);
}

}  // namespace

NucleusAddress NucleusAddress::of_environment() {
  NucleusAddress nucleus{environment("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"),
                         environment("SVCUID"), environment("AWS_IOT_THING_NAME")};
  if (nucleus.token.empty() || nucleus.thing.empty()) return {};
  return nucleus;
}

io::Task<Result<std::unique_ptr<NucleusClient>>> NucleusClient::connect(io::Loop& loop,
                                                                        NucleusAddress nucleus) {
  SKERRY_CO_ASSIGN(auto stream, co_await net::connect_unix(loop, nucleus.socket_path));
  auto client = std::unique_ptr<NucleusClient>(new NucleusClient(loop, std::move(stream)));
  client->rpc_.connect(nucleus.token);
  while (!client->rpc_.connected()) SKERRY_CO_TRY(co_await client->exchange());
  client->guard_.set_mode(net::IdleGuard::Mode::kPaused);
  co_return client;
}

io::Task<Result<NucleusClient::Answer>> NucleusClient::call(std::string operation,
                                                            std::string request) {
  const auto answer = std::make_shared<std::optional<Answer>>();
  SKERRY_CO_TRY(rpc_.call(operation, request, [answer](const Reply& reply) {
    if (!*answer) {
      *answer = Answer{reply.is_error, std::string(reply.shape), std::string(reply.payload)};
    }
  }));
  guard_.set_mode(net::IdleGuard::Mode::kProgress);
  while (!*answer) SKERRY_CO_TRY(co_await exchange());
  guard_.set_mode(net::IdleGuard::Mode::kPaused);
  co_return std::move(**answer);
}

io::Task<Result<void>> NucleusClient::publish_to_iot_core(std::string topic, std::string payload,
                                                          std::string correlation_data) {
  nlohmann::json request = {
      {"topicName", topic}, {"qos", "1"}, {"payload", base64_encode(payload)}};
  if (!correlation_data.empty()) request["correlationData"] = base64_encode(correlation_data);
  SKERRY_CO_ASSIGN(const Answer answer,
                   co_await call("aws.greengrass#PublishToIoTCore", request.dump()));
  co_return check(answer, "take a message to " + topic);
}

io::Task<Result<void>> NucleusClient::publish_to_topic(std::string topic, std::string payload) {
  const nlohmann::json request = {
      {"topic", topic},
      {"publishMessage", {{"binaryMessage", {{"message", base64_encode(payload)}}}}}};
  SKERRY_CO_ASSIGN(const Answer answer,
                   co_await call("aws.greengrass#PublishToTopic", request.dump()));
  co_return check(answer, "take a message to " + topic);
}

io::Task<Result<void>> NucleusClient::update_state(std::string state) {
  const nlohmann::json request = {{"state", state}};
  SKERRY_CO_ASSIGN(const Answer answer,
                   co_await call("aws.greengrass#UpdateState", request.dump()));
  co_return check(answer, "take the state " + state);
}

io::Task<Result<std::string>> NucleusClient::configuration(std::string key) {
  const nlohmann::json request = {{"keyPath", {key}}};
  SKERRY_CO_ASSIGN(const Answer answer,
                   co_await call("aws.greengrass#GetConfiguration", request.dump()));
  SKERRY_CO_TRY(check(answer, "give the configuration '" + key + "'"));
  const nlohmann::json document = nlohmann::json::parse(answer.payload, nullptr, false);
  if (!document.is_object() || !document.contains("value")) {
    co_return fail(Code::kCorrupt, "the nucleus's configuration has no value");
  }
  const nlohmann::json& value = document["value"];
  // Of a key that is a container some nuclei give the container, others an object that has it.
  co_return (value.is_object() && value.contains(key) && value.size() == 1 ? value[key] : value)
      .dump();
}

io::Task<Result<void>> NucleusClient::subscribe(std::string operation, std::string request,
                                                std::string topic, Decode decode,
                                                OnMessage on_message) {
  const auto answer = std::make_shared<std::optional<Answer>>();
  SKERRY_CO_TRY(rpc_.call(
      operation, request, [answer, decode, on_message = std::move(on_message)](const Reply& reply) {
        if (!*answer) {
          *answer = Answer{reply.is_error, std::string(reply.shape), std::string(reply.payload)};
        } else if (auto message = decode(reply.payload)) {
          on_message(*std::move(message));
        }
      }));
  guard_.set_mode(net::IdleGuard::Mode::kProgress);
  while (!*answer) SKERRY_CO_TRY(co_await exchange());
  guard_.set_mode(net::IdleGuard::Mode::kPaused);
  co_return check(**answer, "listen to " + topic);
}

io::Task<Result<void>> NucleusClient::subscribe_to_iot_core(std::string topic,
                                                            OnMessage on_message) {
  const nlohmann::json request = {{"topicName", topic}, {"qos", "1"}};
  return subscribe("aws.greengrass#SubscribeToIoTCore", request.dump(), topic, message_of,
                   std::move(on_message));
}

io::Task<Result<void>> NucleusClient::subscribe_to_topic(std::string topic, OnMessage on_message) {
  const nlohmann::json request = {{"topic", topic}};
  return subscribe("aws.greengrass#SubscribeToTopic", request.dump(), topic, local_message_of,
                   std::move(on_message));
}

io::Task<Result<void>> NucleusClient::wait() {
  guard_.set_mode(net::IdleGuard::Mode::kProgress);
  auto exchanged = co_await exchange();
  guard_.set_mode(net::IdleGuard::Mode::kPaused);
  co_return exchanged;
}

// Writes what is to be written, then reads once.
io::Task<Result<void>> NucleusClient::exchange() {
  output_ = rpc_.take_output();
  if (!output_.empty()) SKERRY_CO_TRY(co_await stream_->write_all(output_));
  SKERRY_CO_ASSIGN(const size_t size, co_await stream_->read_some(buffer_.data(), buffer_.size()));
  if (size == 0) co_return fail(Code::kUnavailable, "the nucleus closed the connection");
  co_return rpc_.receive(std::string_view(buffer_.data(), size));
}

}  // namespace skerry::rpc
