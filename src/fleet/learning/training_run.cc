// Uploads in parts, and the coordinator behind them.
#include "fleet/learning/training_run.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"

namespace skerry::fleet::learning {
namespace {

using federated::Coordinator;
using federated::Task;
using federated::TaskMessage;
using nlohmann::json;

constexpr uint64_t kMostModelBytes = uint64_t{4} << 30;
// A device that waits asks so many times in the time that a round may take.
constexpr double kAsksInARound = 20;
constexpr size_t kRoundsShown = 1000;
// And between the messages of secure aggregation, which are short.
constexpr double kStepsInARound = 200;

json to_json(const federated::RoundReport& one) {
  json round = {{"round", one.round},     {"asked", one.asked}, {"updates", one.updates},
                {"refused", one.refused}, {"loss", one.loss},   {"epsilon", one.epsilon},
                {"clip", one.clip}};
  if (one.evaluations > 0) {
    round["accuracy"] = one.accuracy;
    round["evaluations"] = one.evaluations;
  }
  return round;
}

}  // namespace

Result<std::unique_ptr<TrainingRun>> TrainingRun::open(io::Files& files, io::Random& random,
                                                       Setup setup) {
  std::unique_ptr<TrainingRun> run(new TrainingRun(files, random, std::move(setup)));
  const std::string& directory = run->setup_.directory;
  SKERRY_TRY(io::make_directories(files, directory, 0700));
  if (!io::exists(files, run->base_path())) {
    SKERRY_ASSIGN(const std::string base,
                  io::read_file(files, run->setup_.base_file, kMostModelBytes));
    if (hex_encode(sha256(base)) != run->setup_.model_sha256) {
      return fail(Code::kCorrupt, "the model's file is not the one that it was");
    }
    SKERRY_TRY(io::write_file_atomic(files, run->base_path(), base));
  }
  SKERRY_TRY(io::remove_all(files, directory + "/parts"));
  SKERRY_TRY(files.make_directory(directory + "/parts", 0700));
  SKERRY_TRY(run->coordinator());
  return run;
}

Result<Coordinator*> TrainingRun::coordinator() {
  if (coordinator_) return coordinator_.get();
  SKERRY_ASSIGN(const std::string base, io::read_file(files_, base_path(), kMostModelBytes));
  base_bytes_ = base.size();
  SKERRY_TRY(federated::parse_layout(federated::to_json(setup_.layout), base_bytes_));
  federated::Vector initial = federated::numbers_of(base, setup_.layout);
  initial.resize(federated::numbers_of(setup_.plan.local, initial.size()));
  SKERRY_ASSIGN(coordinator_, Coordinator::open(files_, setup_.directory + "/rounds",
                                                setup_.plan.rounds, initial, random_));
  return coordinator_.get();
}

template <class Work>
auto TrainingRun::with(Work work) -> std::invoke_result_t<Work&, Coordinator&> {
  SKERRY_ASSIGN(Coordinator * there, coordinator());
  auto result = work(*there);
  if (!result && (result.error().code() == Code::kInternal ||
                  result.error().code() == Code::kResourceExhausted)) {
    coordinator_.reset();
  }
  return result;
}

// --- Devices ------------------------------------------------------------------------------------

Result<TaskMessage> TrainingRun::ask(const std::string& device, double now_s) {
  SKERRY_ASSIGN(const Task task,
                with([&](Coordinator& rounds) { return rounds.ask(device, now_s); }));
  if (task.kind == Task::Kind::kWait || task.kind == Task::Kind::kDone) {
    const double wait_s = setup_.plan.rounds.deadline_s / kAsksInARound;
    return TaskMessage{.retry_after_s = std::clamp(wait_s, 1.0, 60.0)};
  }
  TaskMessage message{.kind = task.kind,
                      .training = setup_.id,
                      .attempt = task.attempt,
                      .round = task.round,
                      .data = setup_.data,
                      .model_sha256 = setup_.model_sha256,
                      .model_bytes = base_bytes_,
                      .parameters = federated::size_of(setup_.layout),
                      .local = setup_.plan.local,
                      .coding = setup_.plan.coding,
                      .noise = setup_.plan.rounds.noise};
  message.local.clip = coordinator_->clip();
  const federated::Plan& plan = setup_.plan.rounds;
  if (plan.secure) {
    message.secure = {.levels = federated::fixed_point_of(plan, message.local.clip).levels,
                      .noise = federated::noise_of_each(plan)};
    if (plan.clip_quantile > 0) message.secure->count_noise = federated::count_noise_of_each(plan);
  }
  return message;
}

Result<federated::secure::Step> TrainingRun::secure_step(const std::string& device,
                                                         size_t attempt) {
  SKERRY_ASSIGN(auto step,
                with([&](Coordinator& rounds) { return rounds.secure_step(device, attempt); }));
  step.retry_after_s = std::clamp(setup_.plan.rounds.deadline_s / kStepsInARound, 0.2, 10.0);
  return step;
}

Result<void> TrainingRun::hear(const std::string& device, size_t attempt,
                               const federated::secure::Said& said, double now_s) {
  return with([&](Coordinator& rounds) { return rounds.hear(device, attempt, said, now_s); });
}

std::string TrainingRun::part_path(const std::string& device, size_t attempt) const {
  return setup_.directory + "/parts/" + std::to_string(attempt) + "-" + hex_encode(sha256(device));
}

Result<TrainingRun::Received> TrainingRun::received(const std::string& device, size_t attempt) {
  SKERRY_ASSIGN(const bool is_expected, with([&](Coordinator& rounds) -> Result<bool> {
                  return rounds.expects(device, attempt);
                }));
  if (!is_expected) {
    return fail(Code::kFailedPrecondition, "no update of this device is waited for");
  }
  const auto info = files_.stat(part_path(device, attempt));
  return Received{.bytes = info ? info->size_bytes : 0};
}

// A part is not synced: what a power cut leaves of it is removed at the restart.
Result<TrainingRun::Received> TrainingRun::store_part(const std::string& path, uint64_t offset,
                                                      std::string_view bytes) {
  SKERRY_ASSIGN(const auto file, files_.open(path, io::OpenMode::kAppend));
  SKERRY_ASSIGN(const uint64_t there, file->size());
  if (there != offset) return Received{.bytes = there};
  if (auto written = file->write(bytes); !written) {
    SKERRY_TRY(file->truncate(there));
    return fail(std::move(written.error()));
  }
  return Received{.bytes = there + bytes.size()};
}

Result<TrainingRun::Received> TrainingRun::upload(const std::string& device, size_t attempt,
                                                  uint64_t offset, uint64_t size,
                                                  std::string_view bytes, double now_s) {
  SKERRY_TRY(received(device, attempt));
  if (bytes.size() > federated::kChunkBytes || size == 0 || offset > size ||
      bytes.size() > size - offset ||
      size > federated::most_update_bytes(
                 federated::numbers_of(setup_.plan.local, federated::size_of(setup_.layout)))) {
    return fail(Code::kInvalidArgument, "an update of this model does not have such parts");
  }
  const std::string path = part_path(device, attempt);
  SKERRY_ASSIGN(Received now, store_part(path, offset, bytes));
  if (now.bytes < size) return now;
  SKERRY_ASSIGN(const std::string whole, io::read_file(files_, path, now.bytes + 1));
  auto counted = with([&](Coordinator& rounds) { return rounds.upload(device, whole, now_s); });
  // What failed at the disk is asked for again from here; all else is over.
  if (!counted && counted.error().code() != Code::kFailedPrecondition &&
      counted.error().code() != Code::kCorrupt &&
      counted.error().code() != Code::kInvalidArgument) {
    return fail(std::move(counted.error()));
  }
  SKERRY_TRY(io::remove_all(files_, path));
  if (!counted) return fail(std::move(counted.error()));
  now.complete = true;
  return now;
}

Result<void> TrainingRun::evaluated(const std::string& device, size_t attempt,
                                    const federated::Evaluation& evaluation, double now_s) {
  return with(
      [&](Coordinator& rounds) { return rounds.evaluated(device, attempt, evaluation, now_s); });
}

Result<void> TrainingRun::give_up(const std::string& device, double now_s) {
  return with([&](Coordinator& rounds) { return rounds.give_up(device, now_s); });
}

Result<std::string> TrainingRun::parameters_path(size_t round) {
  return with([&](Coordinator& rounds) -> Result<std::string> {
    std::string path = rounds.file_of_model(round);
    if (!path.empty()) return path;
    return fail(Code::kNotFound, "the training has gone on: ask for a task");
  });
}

// --- The server ---------------------------------------------------------------------------------

Result<void> TrainingRun::tick(double now_s) {
  return with([&](Coordinator& rounds) { return rounds.tick(now_s); });
}

Result<bool> TrainingRun::done() {
  return with([](Coordinator& rounds) -> Result<bool> { return rounds.done(); });
}

Result<TrainingRun::Outcome> TrainingRun::outcome() {
  return with([&](Coordinator& rounds) -> Result<Outcome> {
    Outcome outcome{.rounds = rounds.rounds()};
    SKERRY_ASSIGN(outcome.model, io::read_file(files_, base_path(), kMostModelBytes));
    federated::Vector model = rounds.model();
    model.resize(federated::size_of(setup_.layout));
    federated::put_numbers(model, setup_.layout, outcome.model);
    for (const auto& one : rounds.history()) {
      if (one.round == 0) continue;
      outcome.accuracy = one.accuracy;
      outcome.evaluations = one.evaluations;
    }
    const federated::Plan& plan = setup_.plan.rounds;
    if (plan.noise > 0) outcome.epsilon = rounds.epsilon();
    outcome.reason = "stopped";
    if (rounds.rounds() >= plan.rounds) {
      outcome.reason = "all rounds are done";
    } else if (rounds.gave_up()) {
      outcome.reason = std::to_string(plan.most_failures) + " attempts in a row have failed";
    } else if (rounds.done()) {
      outcome.reason = "the next round would spend more privacy than is allowed";
    }
    return outcome;
  });
}

Result<json> TrainingRun::progress() {
  return with([&](Coordinator& rounds) -> Result<json> {
    json history = json::array();
    const auto& all = rounds.history();
    const size_t first = all.size() > kRoundsShown ? all.size() - kRoundsShown : 0;
    for (size_t i = first; i < all.size(); ++i) history.push_back(to_json(all[i]));
    return json{{"rounds", rounds.rounds()},
                {"attempt", rounds.attempt()},
                {"phase", rounds.phase_name()},
                {"asked", rounds.asked()},
                {"answered", rounds.answered()},
                {"epsilon", setup_.plan.rounds.noise > 0 ? rounds.epsilon() : 0},
                {"history", std::move(history)}};
  });
}

}  // namespace skerry::fleet::learning
