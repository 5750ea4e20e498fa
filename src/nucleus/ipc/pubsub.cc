// PublishToTopic and SubscribeToTopic: messages between the components of this device.
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "formats/json_ptr.h"
#include "net/mqtt_topic.h"
#include "nucleus/ipc/operations.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

// The event that subscribers get for a published message: the message with its topic beside it.
std::expected<std::string, IpcError> event_of(const IpcCall& call, const std::string& topic) {
  const auto message = call.request.find("publishMessage");
  if (message == call.request.end() || !message->is_object()) {
    return call.invalid("publishMessage is required");
  }
  const auto content = [&](const char* kind) -> const json* {
    const auto part = message->find(kind);
    if (part == message->end() || !part->is_object()) return nullptr;
    const auto inner = part->find("message");
    return inner == part->end() ? nullptr : &*inner;
  };
  const json* as_json = content("jsonMessage");
  const json* as_binary = content("binaryMessage");
  if (!as_json == !as_binary) {
    return call.invalid("publishMessage needs one of jsonMessage and binaryMessage with a message");
  }
  if (as_binary &&
      (!as_binary->is_string() || !base64_decode(as_binary->get_ref<const std::string&>()))) {
    return call.invalid("binaryMessage.message must be base64");
  }
  std::string event = as_json ? R"({"jsonMessage":{"message":)" : R"({"binaryMessage":{"message":)";
  event += (as_json ? as_json : as_binary)->dump();
  event += R"(,"context":{"topic":)" + json_string(topic) + "}}}";
  return event;
}

std::expected<LocalTopics::ReceiveMode, IpcError> receive_mode_of(const IpcCall& call,
                                                                  const std::string& filter) {
  const auto found = call.request.find("receiveMode");
  if (found == call.request.end() || found->is_null()) return LocalTopics::default_mode(filter);
  if (*found == "RECEIVE_ALL_MESSAGES") return LocalTopics::ReceiveMode::kAll;
  if (*found == "RECEIVE_MESSAGES_FROM_OTHERS") return LocalTopics::ReceiveMode::kFromOthers;
  return call.invalid("receiveMode must be RECEIVE_ALL_MESSAGES or RECEIVE_MESSAGES_FROM_OTHERS");
}

}  // namespace

void publish_bytes(IpcContext& context, const std::string& topic, std::string_view bytes) {
  const std::string event = R"({"binaryMessage":{"message":")" + base64_encode(bytes) +
                            R"(","context":{"topic":)" + json_string(topic) + "}}}";
  context.topics.publish(topic, ComponentName("aws.greengrass.Nucleus"), event);
}

IpcOutcome publish_to_topic(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(const std::string topic, call.text("topic"));
  // Before the access control is asked: what matches a policy must be what is matched later.
  if (topic.empty() || topic.find_first_of("+#*") != std::string::npos) {
    // Not in the SDKs' model of this operation, but what the existing nuclei answer.
    return std::unexpected(IpcError{
        kInvalidArguments, "Publish topic must not be empty or contain a wildcard.", {}, {}});
  }
  if (auto checked = net::check_mqtt_topic(topic); !checked) {
    return call.invalid(checked.error().message());
  }
  SKERRY_IPC_TRY(call.authorize(kPubSubService, topic));
  SKERRY_IPC_ASSIGN(const std::string event, event_of(call, topic));
  // Answered first: the publisher may be a subscriber, and its response is not to wait for that.
  call.stream.respond("aws.greengrass#PublishToTopicResponse", "{}");
  call.context.topics.publish(topic, call.caller, event);
  return {};
}

IpcOutcome subscribe_to_topic(const IpcCall& call) {
  SKERRY_IPC_ASSIGN(const std::string filter, call.text("topic"));
  if (filter.empty()) return call.invalid("Subscribe topic must not be empty");
  if (auto checked = net::check_mqtt_filter(filter); !checked) {
    return call.invalid(checked.error().message());
  }
  SKERRY_IPC_TRY(call.authorize(kPubSubService, filter));
  SKERRY_IPC_ASSIGN(const LocalTopics::ReceiveMode mode, receive_mode_of(call, filter));
  const json response = {{"topicName", filter}};
  call.stream.start("aws.greengrass#SubscribeToTopicResponse", formats::json_text(response));
  LocalTopics& topics = call.context.topics;
  const uint64_t id =
      topics.subscribe(call.caller, filter, mode, [stream = call.stream](const std::string& event) {
        stream.send("aws.greengrass#SubscriptionResponseMessage", event);
      });
  call.stream.on_closed([&topics, id] { topics.unsubscribe(id); });
  return {};
}

}  // namespace skerry::nucleus
