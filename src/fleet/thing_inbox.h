// What things say and say once: a broker has told them that they were heard. Read and stored in its
// order, on the writer's thread; waits where the thing says too much at a time, or while the store
// takes nothing, as on a full disk.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "fleet/store_pool.h"
#include "fleet/thing_budget.h"
#include "io/env.h"
#include "io/task.h"

namespace skerry::fleet {

class ThingInbox {
 public:
  using Put = std::move_only_function<Result<void>(Store& store)>;
  struct Kind {
    std::string_view module;  // of the log
    // A thing may say `burst` messages at once and `per_second` in the long run; of what is more
    // the newest `held` wait, older ones are ignored.
    double burst = 0;
    double per_second = 0;
    size_t held = 0;
    // What is to be done in the store; an error where the message is none. Where the store is the
    // reason that it cannot be done, the error is a retryable one, and only there.
    std::function<Result<Put>(const ThingName& sender, std::string_view payload, int64_t heard_ms)>
        read;
  };
  ThingInbox(io::Env& env, StorePool& stores, Kind kind);

  void receive(const ThingName& sender, std::string payload);

 private:
  struct Heard {
    ThingName sender;
    std::string payload;
    int64_t at_ms = 0;  // by the control plane's clock: a device's may be wrong
  };
  // Behind the others of the thing; one that could not be stored goes before them.
  void hold(Heard heard, bool is_first = false);
  Heard take_held(std::deque<Heard>& of_thing);
  void store_held();
  // Tries one: whether the store takes anything again.
  void probe();
  io::Task<void> store(Heard heard);

  static constexpr size_t kHeldBytes = 64 << 20;  // of all things

  io::Env& env_;
  StorePool& stores_;
  const std::shared_ptr<const Kind> kind_;  // the writer may outlive this
  ThingBudget budget_;
  std::map<ThingName, std::deque<Heard>> held_;
  size_t held_bytes_ = 0;
  bool is_stalled_ = false;  // the store took nothing when it was last asked
  io::Timer timer_;
  io::TaskScope tasks_;
};

}  // namespace skerry::fleet
