// What device and control plane say to each other while they learn, over the data plane
// (docs/data/learning-rounds.md).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "federated/coordinator.h"
#include "federated/plan.h"

namespace skerry::federated {

inline constexpr const char* kLearningPath = "/skerry/v1/learning";
inline constexpr size_t kChunkBytes = 512 << 10;  // of an update on its way
inline constexpr size_t kMaxReasonBytes = 500;

// Of a training with secure aggregation (secure/participant.h): how numbers are written, and the
// noise that each device adds itself, times the longest update.
struct SecureTask {
  uint32_t levels = 1;
  double noise = 0;
  std::optional<double> count_noise;  // where it is counted who was within the longest update
};

// What a device is to do now.
struct TaskMessage {
  Task::Kind kind = Task::Kind::kWait;
  std::string training;  // its id
  size_t attempt = 0;
  size_t round = 0;  // of the parameters
  std::string data;  // the name of the rows that are wanted
  std::string model_sha256;
  uint64_t model_bytes = 0;
  size_t parameters = 0;  // how many
  LocalTraining local;
  std::string coding = "none";
  double noise = 0;  // that the sum will have: the server promises, or devices add it
  std::optional<SecureTask> secure;
  double retry_after_s = 10;  // of a wait
};
nlohmann::json to_json(const TaskMessage& task);
// Untrusted: a server may be hostile.
Result<TaskMessage> parse_task(std::string_view text);

nlohmann::json to_json(const Evaluation& evaluation);
Result<Evaluation> parse_evaluation(std::string_view text);

// An id that is a file's name and a part of a URL.
bool is_training_id(std::string_view text);
// The most that an update of so many parameters has, whatever its coding.
uint64_t most_update_bytes(size_t parameters);

}  // namespace skerry::federated
