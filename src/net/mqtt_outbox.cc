// The queue of outgoing messages and its limits.
#include "net/mqtt_outbox.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace skerry::net {
namespace {

constexpr size_t kInFlight = 20;
constexpr size_t kOverheadBytes = 256;  // of a message in memory, and more than of a packet

size_t size_of(const MqttMessage& message) {
  const MqttProperties& properties = message.properties;
  size_t bytes = message.topic.size() + message.payload.size() + properties.content_type.size() +
                 properties.response_topic.size() + properties.correlation_data.size();
  for (const auto& [name, value] : properties.user) bytes += name.size() + value.size() + 64;
  return bytes + kOverheadBytes;
}

}  // namespace

Result<void> check_mqtt_message(const MqttMessage& message, size_t max_packet_bytes) {
  if (message.qos > 1) return fail(Code::kUnsupported, "QoS 2 is not supported");
  SKERRY_TRY(check_mqtt_topic(message.topic));
  const MqttProperties& properties = message.properties;
  if (!properties.response_topic.empty()) {
    if (auto checked = check_mqtt_topic(properties.response_topic); !checked) {
      return fail(checked.error().with_context("response topic"));
    }
  }
  bool texts = is_mqtt_text(properties.content_type);
  for (const auto& [name, value] : properties.user) {
    texts = texts && is_mqtt_text(name) && is_mqtt_text(value);
  }
  if (!texts) {
    return fail(Code::kInvalidArgument,
                "a content type or user property is too long or has "
                "characters that MQTT does not allow");
  }
  if (properties.correlation_data.size() > 65'535) {
    return fail(Code::kInvalidArgument, "the correlation data is longer than 65,535 bytes");
  }
  if (properties.payload_format > uint8_t{1}) {
    return fail(Code::kInvalidArgument, "the payload format must be 0 (bytes) or 1 (UTF-8)");
  }
  if (const size_t bytes = size_of(message) - kOverheadBytes; bytes > max_packet_bytes) {
    return fail(Code::kInvalidArgument, "the message of " + std::to_string(bytes) +
                                            " bytes is larger than the broker takes, " +
                                            std::to_string(max_packet_bytes));
  }
  return {};
}

Error nobody_heard() {
  return Error(Code::kNotFound, "nobody has subscribed to it at the broker");
}

Result<void> MqttOutbox::add(MqttMessage message, MqttClient::Done done) {
  const size_t bytes = size_of(message);
  const MqttBacklog now = backlog();
  if (now.messages >= max_messages_ || now.bytes + bytes > max_bytes_) {
    return fail(Code::kResourceExhausted,
                std::to_string(now.messages) + " messages of " + std::to_string(now.bytes) +
                    " bytes wait for the broker already, and at most " +
                    std::to_string(max_messages_) + " of " + std::to_string(max_bytes_) + " may");
  }
  bytes_ += bytes;
  waiting_.push_back({std::move(message), std::move(done), bytes});
  return {};
}

const MqttMessage* MqttOutbox::next() const {
  const bool full = in_flight_.size() >= (one_by_one_ ? 1 : kInFlight);
  return full || waiting_.empty() ? nullptr : &waiting_.front().message;
}

void MqttOutbox::sent(int packet_id) {
  SKERRY_CHECK(!waiting_.empty(), "a message was sent that is not in the outbox");
  waiting_.front().packet_id = packet_id;
  in_flight_.push_back(std::move(waiting_.front()));
  waiting_.pop_front();
}

MqttClient::Done MqttOutbox::finish(Entry& entry) {
  bytes_ -= entry.bytes;
  return std::move(entry.done);
}

MqttClient::Done MqttOutbox::drop_next() {
  MqttClient::Done done = finish(waiting_.front());
  waiting_.pop_front();
  return done;
}

std::optional<MqttOutbox::Answered> MqttOutbox::answered(int packet_id) {
  const auto entry = std::ranges::find(in_flight_, packet_id, &Entry::packet_id);
  if (entry == in_flight_.end()) return std::nullopt;
  Answered answer{finish(*entry), entry->message.must_be_heard};
  in_flight_.erase(entry);
  one_by_one_ = false;
  return answer;
}

std::optional<MqttClient::Done> MqttOutbox::connection_lost(bool packet_at_fault) {
  waiting_.insert(waiting_.begin(), std::make_move_iterator(in_flight_.begin()),
                  std::make_move_iterator(in_flight_.end()));
  const bool was_alone = one_by_one_ && in_flight_.size() == 1;
  in_flight_.clear();
  one_by_one_ = one_by_one_ || (packet_at_fault && !waiting_.empty());
  if (!packet_at_fault || !was_alone) return std::nullopt;
  one_by_one_ = false;
  return drop_next();
}

}  // namespace skerry::net
