// Device shadows over MQTT, as AWS IoT has them: requests of things on
// $aws/things/T/shadow[/name/N]/{get,update,delete}, answers below them, and what is announced of
// every change, whoever made it ($aws/things/T/…/update/{accepted,delta,documents}).
#pragma once

#include <string>

#include "fleet/device_link.h"
#include "fleet/effects.h"
#include "fleet/shadow_store.h"
#include "fleet/store_pool.h"
#include "fleet/thing_budget.h"
#include "io/env.h"
#include "io/task.h"

namespace skerry::fleet {

class ShadowService : public EffectListener {
 public:
  // Registers its routes with `link`, and itself with `stores`, both of which must outlive it.
  // A thing that asks too much too fast is told so (429).
  ShadowService(io::Env& env, StorePool& stores, DeviceLink& link);
  ~ShadowService() override;
  ShadowService(const ShadowService&) = delete;
  ShadowService& operator=(const ShadowService&) = delete;

  // Publishes what is announced, before whoever made the change is answered.
  void committed(const Effects& effects) override;

 private:
  void receive(const net::MqttMessage& message);
  io::Task<void> answer(formats::ShadowTopic topic, net::MqttMessage message);
  void reject(const net::MqttMessage& message, const formats::ShadowError& error);

  static constexpr double kBurst = 100, kPerSecond = 20;

  io::Env& env_;
  StorePool& stores_;
  DeviceLink& link_;
  ThingBudget budget_;
  io::TaskScope tasks_;
};

}  // namespace skerry::fleet
