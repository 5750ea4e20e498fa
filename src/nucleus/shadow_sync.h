// Keeps shadows of the device and of the fleet the same, as the reference's shadow manager does
// (shadow_sync_config.h says which, shadow_merge.h how conflicts end). Offline nothing is lost:
// each side keeps its copy, and they come together at the next connection.
//
// Every reason to look at a shadow (a connection, a change on either side) leads to the same steps:
// read both copies and what was last agreed, make a plan, carry it out with the versions that were
// read, note what is agreed. Whatever interrupts them, they are done again.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "io/env.h"
#include "io/task.h"
#include "nucleus/config_store.h"
#include "nucleus/local_shadows.h"
#include "nucleus/mqtt_router.h"
#include "nucleus/shadow_sync_config.h"

namespace skerry::nucleus {

class ShadowSync {
 public:
  // Works from now on, whenever there is a connection. All arguments must outlive it.
  ShadowSync(io::Env& env, MqttRouter& mqtt, ConfigStore& config, LocalShadows& shadows,
             ThingName core);
  ShadowSync(const ShadowSync&) = delete;
  ShadowSync& operator=(const ShadowSync&) = delete;

 private:
  // What the fleet answers: a document, or why not.
  using Answer = formats::ShadowResult<formats::JsonPtr>;
  using Waiting = io::Completion<Result<Answer>>;
  struct Synced {
    std::vector<MqttRouter::Subscription> subscriptions;
    bool is_refused = false;  // by the broker
  };

  void configure();
  void add(const ShadowKey& key);
  void forget(const ShadowKey& key);
  void receive(const net::MqttMessage& message);
  // The shadow is to be looked at, now or when its time comes.
  void mark(const ShadowKey& key);
  void mark_all();
  void tick();
  void wake();

  io::Task<void> run();
  // An error is worth another attempt later.
  io::Task<Result<void>> synchronise(ShadowKey key);
  // False: one of the copies has changed since it was read.
  io::Task<Result<bool>> attempt(ShadowKey key);
  io::Task<Result<bool>> change_cloud(const ShadowKey& key, const ShadowPlan::Change& change,
                                      const formats::Shadow& read);
  io::Task<Result<bool>> change_device(const ShadowKey& key, const ShadowPlan::Change& change,
                                       const formats::Shadow& read);
  io::Task<Result<formats::Shadow>> ask_for(const ShadowKey& key);
  io::Task<Result<Answer>> ask(const ShadowKey& key, std::string request, nlohmann::json payload);
  io::Task<void> forget_agreed(ShadowKey key);

  io::Env& env_;
  MqttRouter& mqtt_;
  ConfigStore& config_;
  LocalShadows& local_;
  const ThingName core_;
  ShadowSyncConfig how_;
  std::map<ShadowKey, Synced> shadows_;
  std::set<ShadowKey> due_;                 // to be looked at
  std::set<ShadowKey> failed_;              // the same, when retry_ fires
  bool is_running_ = false;                 // run() goes through due_
  std::map<std::string, Waiting> waiting_;  // by client token
  int64_t retry_ms_;
  io::Timer retry_, period_;
  MqttRouter::Watch connection_;
  ConfigStore::Watch configuration_;
  io::TaskScope tasks_;
};

}  // namespace skerry::nucleus
