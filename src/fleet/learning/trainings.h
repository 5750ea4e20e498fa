// Trainings in the store: what operators asked for, and how far each has come. The rounds
// themselves are files (training_run.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fleet/store.h"

namespace skerry::fleet::learning {

enum class State { kRunning, kStopping, kDone, kStopped, kFailed };
std::string_view name_of(State state);  // "running"
bool is_over(State state);

struct Training {
  std::string id;  // UUID
  // The model: a version of a component, whose file `model_sha256` devices begin with; what they
  // make of it becomes `version`.
  ComponentName component;
  std::string from_version, version;
  std::string model_sha256;
  std::string layout_json;   // federated/layout.h
  ThingGroupName group;      // whose devices may take part …
  std::string data;          // … where they have rows of this name
  std::string plan_json;     // federated/plan.h
  std::string rollout_json;  // plan of the rollout to the group; "" for none
  State state = State::kRunning;
  bool publishes = true;  // the model where it was stopped
  std::string reason;     // of the state, for people
  std::string progress_json = "{}";
  std::string deployment_id;  // of the rollout
  std::string created_by;
  int64_t created_ms = 0, updated_ms = 0;
};

inline constexpr size_t kMostRunning = 64;

// kResourceExhausted where kMostRunning go on already; kAlreadyExists where one makes the same
// version.
Result<void> create_training(Store& store, const Training& training);
Result<Training> find_training(Store& store, const std::string& id);
Result<Slice<Training>> list_trainings(Store& store, const Page& page);  // newest first
Result<std::vector<Training>> unfinished_trainings(Store& store);        // oldest first
// State, publishes, reason and deployment. kFailedPrecondition where it is over.
Result<void> change_training(Store& store, const Training& training);
Result<void> set_training_progress(Store& store, const std::string& id,
                                   const std::string& progress_json, int64_t now_ms);

// Ids of those that have been over since before `before_ms`, at most so many.
Result<std::vector<std::string>> old_trainings(Store& store, int64_t before_ms, int64_t most);
Result<void> remove_trainings(Store& store, const std::vector<std::string>& ids);

}  // namespace skerry::fleet::learning
