// JSON to and from values.
#include "federated/messages.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace skerry::federated {
namespace {

using nlohmann::json;

constexpr uint64_t kMostParameters = uint64_t{1} << 31;
constexpr uint64_t kMostModelBytes = uint64_t{16} << 30;
constexpr double kLongestWaitS = 3600;

json object_in(std::string_view text) {
  json document = json::parse(text, nullptr, false);
  return document.is_object() ? document : json::object();
}

std::string text_of(const json& document, const char* name) {
  const auto found = document.find(name);
  return found != document.end() && found->is_string() ? found->get<std::string>() : "";
}

// Nothing where it is no number from 0 to `most`.
bool read(const json& document, const char* name, double most, auto& into) {
  const auto found = document.find(name);
  if (found == document.end() || !found->is_number()) return false;
  const double value = found->get<double>();
  if (!(value >= 0 && value <= most)) return false;
  into = static_cast<std::remove_reference_t<decltype(into)>>(value);
  return true;
}

bool is_digest(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

const char* name_of(Task::Kind kind) {
  switch (kind) {
    case Task::Kind::kTrain:
      return "train";
    case Task::Kind::kEvaluate:
      return "evaluate";
    default:
      return "wait";
  }
}

}  // namespace

bool is_training_id(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         text.find_first_not_of("0123456789abcdef-") == std::string_view::npos;
}

uint64_t most_update_bytes(size_t parameters) {
  // Places and numbers where both come, and what is around them.
  return uint64_t{parameters} * 8 + (64 << 10);
}

json to_json(const TaskMessage& task) {
  if (task.kind == Task::Kind::kWait || task.kind == Task::Kind::kDone) {
    return {{"task", "wait"}, {"retryAfterSeconds", task.retry_after_s}};
  }
  json document = {{"task", name_of(task.kind)},
                   {"training", task.training},
                   {"attempt", task.attempt},
                   {"round", task.round},
                   {"data", task.data},
                   {"model", {{"sha256", task.model_sha256}, {"bytes", task.model_bytes}}},
                   {"parameters", task.parameters},
                   {"local", to_json(task.local)},
                   {"coding", task.coding},
                   {"noise", task.noise}};
  if (task.secure) {
    document["secure"] = {{"levels", task.secure->levels}, {"noise", task.secure->noise}};
    if (task.secure->count_noise) document["secure"]["countNoise"] = *task.secure->count_noise;
  }
  return document;
}

Result<TaskMessage> parse_task(std::string_view text) {
  const auto wrong = [] {
    return fail(Code::kInvalidArgument, "the control plane's task is not one that is known here");
  };
  const json document = object_in(text);
  const std::string kind = text_of(document, "task");
  TaskMessage task;
  if (kind == "wait") {
    if (!read(document, "retryAfterSeconds", kLongestWaitS, task.retry_after_s)) return wrong();
    return task;
  }
  if (kind != "train" && kind != "evaluate") return wrong();
  task.kind = kind == "train" ? Task::Kind::kTrain : Task::Kind::kEvaluate;
  task.training = text_of(document, "training");
  task.data = text_of(document, "data");
  task.coding = text_of(document, "coding");
  const json model = document.value("model", json());
  task.model_sha256 = model.is_object() ? text_of(model, "sha256") : "";
  const bool whole =
      is_training_id(task.training) && !task.data.empty() && is_digest(task.model_sha256) &&
      read(document, "attempt", 1e15, task.attempt) && read(document, "round", 1e15, task.round) &&
      read(document, "parameters", kMostParameters, task.parameters) &&
      read(model, "bytes", static_cast<double>(kMostModelBytes), task.model_bytes) &&
      read(document, "noise", 1e6, task.noise) && task.parameters > 0;
  if (!whole || !parse_coding(task.coding)) return wrong();
  auto local = parse_local_training(document.value("local", json()));
  if (!local) return fail(local.error().with_context("the control plane's task"));
  task.local = *local;
  if (!document.contains("secure")) return task;
  SecureTask& secure = task.secure.emplace();
  const json& asked = document["secure"];
  if (!asked.is_object() || !read(asked, "levels", 1 << 22, secure.levels) || secure.levels < 1 ||
      !read(asked, "noise", 1e6, secure.noise) || !(task.local.clip > 0)) {
    return wrong();
  }
  if (!asked.contains("countNoise")) return task;
  if (!read(asked, "countNoise", 1e6, secure.count_noise.emplace())) return wrong();
  return task;
}

json to_json(const Evaluation& evaluation) {
  return {{"rows", evaluation.rows}, {"correct", evaluation.correct}, {"loss", evaluation.loss}};
}

Result<Evaluation> parse_evaluation(std::string_view text) {
  const json document = object_in(text);
  Evaluation evaluation;
  if (read(document, "rows", 1e15, evaluation.rows) &&
      read(document, "correct", 1e15, evaluation.correct) &&
      read(document, "loss", 1e300, evaluation.loss)) {
    return evaluation;
  }
  return fail(Code::kInvalidArgument, "an evaluation has rows, correct and loss");
}

}  // namespace skerry::federated
