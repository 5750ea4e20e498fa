// From a message to a unit of work, and back. Questions go through the store's writer, too: so
// answers leave in the order of the changes that they know of.
#include "fleet/shadows.h"

#include "base/log_limit.h"

namespace skerry::fleet {
namespace {

constexpr const char* kShadowTopics[] = {"$aws/things/+/shadow/", "$aws/things/+/shadow/name/+/"};
constexpr const char* kRequests[] = {"get", "update", "delete"};

formats::ShadowError failed_inside(const Error& error) {
  static log::Limit limit;
  limit.write(log::Level::kWarn, "shadows", "request failed", {{"error", error.message()}});
  if (error.code() == Code::kResourceExhausted || error.code() == Code::kUnavailable) {
    return {503, "The control plane takes nothing now: ask again later"};
  }
  return {500, "Internal service failure"};
}

}  // namespace

ShadowService::ShadowService(io::Env& env, StorePool& stores, DeviceLink& link)
    : env_(env), stores_(stores), link_(link), budget_(env.clock, kBurst, kPerSecond) {
  for (const std::string shadow : kShadowTopics) {
    for (const char* request : kRequests) {
      link_.route(shadow + request, [this](const net::MqttMessage& message) { receive(message); });
    }
  }
  stores_.add_listener(*this);
}

ShadowService::~ShadowService() {
  stores_.remove_listener(*this);
}

void ShadowService::committed(const Effects& effects) {
  for (const Announcement& one : effects.shadows) link_.publish(one.topic, one.payload);
}

void ShadowService::receive(const net::MqttMessage& message) {
  auto topic = formats::parse_shadow_topic(message.topic);
  if (!topic) return reject(message, {400, "There is no shadow with such a name"});
  if (!budget_.spend(topic->key.thing)) return reject(message, {429, "Too many requests"});
  tasks_.spawn(answer(*std::move(topic), message));
}

io::Task<void> ShadowService::answer(formats::ShadowTopic topic, net::MqttMessage message) {
  const auto work = topic.below == "get"      ? &get_shadow
                    : topic.below == "delete" ? &delete_shadow
                                              : &update_shadow;
  const auto need = work == &update_shadow ? StorePool::Need::kRoom : StorePool::Need::kRelief;
  const int64_t now_ms = env_.clock.wall_ms();
  auto answered =
      co_await stores_.write([work, key = topic.key, payload = message.payload,
                              now_ms](Store& store) { return work(store, key, payload, now_ms); },
                             need);
  if (!answered) co_return reject(message, failed_inside(answered.error()));
  if (!*answered) co_return reject(message, answered->error());
  // Of a change everybody has heard by now.
  if (topic.below == "get") link_.publish(message.topic + "/accepted", **std::move(answered));
}

void ShadowService::reject(const net::MqttMessage& message, const formats::ShadowError& error) {
  link_.publish(message.topic + "/rejected",
                formats::shadow_rejected(error, env_.clock.wall_ms() / 1000,
                                         formats::shadow_client_token(message.payload)));
}

}  // namespace skerry::fleet
