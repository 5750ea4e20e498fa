// Everything that must survive is in `state` before anybody is told of it.
#include "federated/coordinator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "formats/checkpoint.h"

namespace skerry::federated {
namespace {

using nlohmann::json;

tensor::Tensor as_tensor(const std::string& name, const Vector& vector) {
  tensor::Tensor tensor{.name = name,
                        .type = tensor::DataType::kFp32,
                        .shape = {static_cast<int64_t>(vector.size())}};
  tensor.bytes.resize(vector.size() * sizeof(float));
  if (!vector.empty()) std::memcpy(tensor.bytes.data(), vector.data(), tensor.bytes.size());
  return tensor;
}

Vector as_vector(const tensor::Tensor& tensor) {
  Vector vector(tensor.bytes.size() / sizeof(float));
  if (!vector.empty()) std::memcpy(vector.data(), tensor.bytes.data(), tensor.bytes.size());
  return vector;
}

json to_json(const RoundReport& one) {
  return {one.round,   one.asked,       one.updates,  one.refused, one.loss,
          one.epsilon, one.evaluations, one.accuracy, one.clip};
}

RoundReport report_of(const json& one) {
  return {one.at(0), one.at(1), one.at(2),
          one.at(3), one.at(4), one.at(5),
          one.at(6), one.at(7), one.size() > 8 ? one.at(8).get<double>() : 0};
}

}  // namespace

std::string Coordinator::model_path(size_t round) const {
  return fmt::format("{}/model-{}", directory_, round);
}
std::string Coordinator::memory_path(size_t round) const {
  return fmt::format("{}/memory-{}", directory_, round);
}
std::string Coordinator::past_path() const {
  return fmt::format("{}/past-{}", directory_, attempt_);
}
std::string Coordinator::updates_path() const {
  return fmt::format("{}/updates-{}", directory_, attempt_);
}
std::string Coordinator::update_path(const std::string& device) const {
  // A name is never a path, and may be longer than those of files in another spelling.
  return updates_path() + "/" + hex_encode(sha256(device));
}

size_t Coordinator::count(const Parts& parts, Part part) {
  return static_cast<size_t>(
      std::ranges::count_if(parts, [part](const auto& one) { return one.second == part; }));
}

size_t Coordinator::asked() const {
  const Parts& parts = phase_ == Phase::kTraining ? devices_ : evaluators_;
  return parts.size() - count(parts, Part::kNotDrawn);
}

size_t Coordinator::answered() const {
  return count(phase_ == Phase::kTraining ? devices_ : evaluators_, Part::kUploaded);
}

std::string Coordinator::file_of_model(size_t round) const {
  const bool proposed = phase_ == Phase::kEvaluating && round == rounds_ + 1;
  return round == rounds_ || proposed ? model_path(round) : "";
}

bool Coordinator::expects(const std::string& device, size_t attempt) const {
  const auto found = devices_.find(device);
  if (aggregation_ && (aggregation_->phase() != secure::Aggregation::Phase::kUpdates ||
                       !aggregation_->is_in(device))) {
    return false;
  }
  return phase_ == Phase::kTraining && attempt == attempt_of(device) && found != devices_.end() &&
         (found->second == Part::kTraining || found->second == Part::kUploaded);
}

// Asked for often, and known from one committed round to the next.
void Coordinator::look_at_budget() {
  if (plan_.epsilon_limit <= 0 || plan_.noise <= 0) return;
  Accountant next = accountant_;
  next.add(cost_);
  budget_spent_ = next.epsilon(plan_.delta) > plan_.epsilon_limit;
}

// In which the device was given a model.
size_t Coordinator::attempt_of(const std::string& device) const {
  const auto found = since_.find(device);
  return found == since_.end() ? attempt_ : found->second;
}

bool Coordinator::is_full() const {
  if (strategy_->is_asynchronous()) return count(devices_, Part::kTraining) >= target_of(plan_);
  return plan_.population == 0 && devices_.size() >= target_of(plan_);
}

double Coordinator::share() const {
  if (plan_.population == 0) return 1;
  return std::min(1.0,
                  static_cast<double>(target_of(plan_)) / static_cast<double>(plan_.population));
}

bool Coordinator::everybody_is_asked() const {
  return devices_.size() >= (plan_.population > 0 ? plan_.population : target_of(plan_));
}

bool Coordinator::all_have_ended() const {
  return !strategy_->is_asynchronous() && count(devices_, Part::kTraining) == 0 &&
         everybody_is_asked();
}

bool Coordinator::gave_up() const {
  if (history_.size() < plan_.most_failures) return false;
  const auto first = history_.end() - static_cast<std::ptrdiff_t>(plan_.most_failures);
  return std::all_of(first, history_.end(), [](const RoundReport& one) { return one.round == 0; });
}

// A model that is being evaluated has spent its privacy already.
bool Coordinator::done() const {
  return phase_ == Phase::kTraining && (rounds_ >= plan_.rounds || budget_spent_ || gave_up());
}

// --- The disk -----------------------------------------------------------------------------------

Result<std::unique_ptr<Coordinator>> Coordinator::open(io::Files& files, std::string directory,
                                                       Plan plan, const Vector& initial,
                                                       io::Random& random) {
  SKERRY_TRY(check(plan));
  std::unique_ptr<Coordinator> made(
      new Coordinator(files, std::move(directory), std::move(plan), random));
  if (made->plan_.noise > 0 || made->plan_.secure) made->plan_.strategy.equal_weights = true;
  SKERRY_ASSIGN(made->strategy_, make_strategy(made->plan_.strategy, initial.size()));
  SKERRY_TRY(io::make_directories(files, made->directory_));
  const bool known = io::exists(files, made->state_path());
  SKERRY_TRY(known ? made->restore() : made->start(initial));
  if (made->plan_.noise > 0) {
    made->cost_ = Accountant::cost(made->share(), made->plan_.noise);
    made->count_spends();
    for (size_t i = 0; i < made->spends_; ++i) made->accountant_.add(made->cost_);
  }
  made->look_at_budget();
  if (made->model_.size() != initial.size()) {
    return fail(Code::kFailedPrecondition,
                made->directory_ + " belongs to the training of another model");
  }
  return made;
}

Result<void> Coordinator::start(const Vector& initial) {
  model_ = initial;
  clip_ = plan_.clip;
  SKERRY_TRY(write_model(0, model_));
  SKERRY_TRY(io::make_directories(files_, updates_path()));
  if (plan_.secure) aggregation_.emplace(files_, updates_path());
  SKERRY_TRY(save_past());
  return save();
}

// Devices are given the file of the model.
Result<void> Coordinator::write_model(size_t round, const Vector& model) {
  const std::string document = json{{"round", round}}.dump();
  formats::Checkpoint memory{.document = document, .tensors = {}};
  for (const Vector* one : strategy_->memory()) memory.tensors.push_back(as_tensor("memory", *one));
  SKERRY_TRY(formats::write_checkpoint(files_, memory_path(round), memory));
  return formats::write_checkpoint(files_, model_path(round),
                                   {.document = document, .tensors = {as_tensor("model", model)}});
}

Result<Vector> Coordinator::read_model(size_t round) {
  SKERRY_ASSIGN(const formats::Checkpoint file,
                formats::read_checkpoint(files_, model_path(round)));
  if (file.tensors.size() != 1) return fail(Code::kCorrupt, model_path(round) + " is no model");
  return as_vector(file.tensors[0]);
}

Result<void> Coordinator::read_memory(size_t round) {
  SKERRY_ASSIGN(const formats::Checkpoint file,
                formats::read_checkpoint(files_, memory_path(round)));
  const auto memory = strategy_->memory();
  if (file.tensors.size() != memory.size()) {
    return fail(Code::kFailedPrecondition, directory_ + " belongs to another strategy");
  }
  for (size_t i = 0; i < memory.size(); ++i) *memory[i] = as_vector(file.tensors[i]);
  return {};
}

json Coordinator::parts_json(const Parts& parts) {
  json document = json::object();
  for (const auto& [name, part] : parts) document[hex_encode(name)] = static_cast<int>(part);
  return document;
}

Result<Coordinator::Parts> Coordinator::parts_of(const json& document) {
  Parts parts;
  for (const auto& [hex, part] : document.items()) {
    SKERRY_ASSIGN(const std::string name, hex_decode(hex));
    parts[name] = static_cast<Part>(part.get<int>());
  }
  return parts;
}

// What is over is written once for each attempt, and not with every device that asks.
Result<void> Coordinator::save_past() {
  json history = json::array();
  for (const RoundReport& one : history_) history.push_back(to_json(one));
  return formats::write_checkpoint(files_, past_path(),
                                   {.document = json{{"history", history}}.dump(), .tensors = {}});
}

Result<void> Coordinator::restore_past() {
  SKERRY_ASSIGN(const formats::Checkpoint file, formats::read_checkpoint(files_, past_path()));
  const json past = json::parse(file.document, nullptr, false);
  if (!past.is_object()) return fail(Code::kCorrupt, past_path() + " is no past of a training");
  for (const json& one : past.value("history", json::array())) history_.push_back(report_of(one));
  return {};
}

// Older states say what is spent and not how often.
void Coordinator::count_spends() {
  for (size_t order = 0; order < std::min(spent_.size(), cost_.size()); ++order) {
    if (cost_[order] <= 0 || !std::isfinite(cost_[order])) continue;
    spends_ = std::max(spends_, static_cast<size_t>(std::llround(spent_[order] / cost_[order])));
  }
}

Result<void> Coordinator::save() {
  json since = json::object();
  for (const auto& [name, attempt] : since_) since[hex_encode(name)] = attempt;
  json state = {{"rounds", rounds_},
                {"attempt", attempt_},
                {"began", began_s_ ? json(*began_s_) : json()},
                {"devices", parts_json(devices_)},
                {"since", since},
                {"clip", clip_},
                {"spends", spends_}};
  if (aggregation_) state["aggregation"] = aggregation_->state();
  if (phase_ == Phase::kEvaluating) {
    state["proposed"] = to_json(report_);
    state["proposedClip"] = proposed_clip_;
    state["evaluators"] = parts_json(evaluators_);
    state["accuracies"] = accuracies_;
  }
  return formats::write_checkpoint(files_, state_path(), {.document = state.dump(), .tensors = {}});
}

Result<void> Coordinator::restore() {
  SKERRY_ASSIGN(const formats::Checkpoint file, formats::read_checkpoint(files_, state_path()));
  const json state = json::parse(file.document, nullptr, false);
  if (!state.is_object()) return fail(Code::kCorrupt, state_path() + " is no state of a training");
  rounds_ = state.value("rounds", size_t{0});
  attempt_ = state.value("attempt", size_t{1});
  const json began = state.value("began", json());
  if (began.is_number()) began_s_ = began.get<double>();
  clip_ = state.value("clip", plan_.clip);
  spends_ = state.value("spends", size_t{0});
  spent_ = state.value("spent", std::vector<double>());
  if (state.contains("history")) {  // written before there was a file for it
    for (const json& one : state["history"]) history_.push_back(report_of(one));
    SKERRY_TRY(save_past());
  } else {
    SKERRY_TRY(restore_past());
  }
  SKERRY_ASSIGN(model_, read_model(rounds_));
  if (state.contains("proposed")) {
    phase_ = Phase::kEvaluating;
    report_ = report_of(state["proposed"]);
    proposed_clip_ = state.value("proposedClip", clip_);
    SKERRY_ASSIGN(evaluators_, parts_of(state.value("evaluators", json::object())));
    accuracies_ = state.value("accuracies", std::vector<double>());
    SKERRY_ASSIGN(proposed_, read_model(rounds_ + 1));
  }
  SKERRY_TRY(read_memory(phase_ == Phase::kEvaluating ? rounds_ + 1 : rounds_));
  SKERRY_TRY(sweep());
  // Who takes part is in the state; who has sent an update, in the folder.
  SKERRY_TRY(io::make_directories(files_, updates_path()));
  SKERRY_ASSIGN(devices_, parts_of(state.value("devices", json::object())));
  for (const auto& [hex, attempt] : state.value("since", json::object()).items()) {
    SKERRY_ASSIGN(const std::string name, hex_decode(hex));
    since_[name] = attempt.get<size_t>();
  }
  for (auto& [name, part] : devices_) {
    if (part == Part::kOut || part == Part::kNotDrawn) continue;
    part = io::exists(files_, update_path(name)) ? Part::kUploaded : Part::kTraining;
  }
  return plan_.secure ? restore_aggregation(state.value("aggregation", json::object()))
                      : Result<void>();
}

// What a crash has left of what is over.
Result<void> Coordinator::sweep() {
  SKERRY_ASSIGN(const auto names, files_.list(directory_));
  for (const std::string& name : names) {
    const std::string path = directory_ + "/" + name;
    const bool is_of_a_round = name.starts_with("model-") || name.starts_with("memory-") ||
                               name.starts_with("updates-") || name.starts_with("past-");
    const bool is_proposed = phase_ == Phase::kEvaluating &&
                             (path == model_path(rounds_ + 1) || path == memory_path(rounds_ + 1));
    if (!is_of_a_round || is_proposed || path == model_path(rounds_) ||
        path == memory_path(rounds_) || path == updates_path() || path == past_path()) {
      continue;
    }
    SKERRY_TRY(io::remove_all(files_, path));
  }
  return {};
}

// --- Devices ------------------------------------------------------------------------------------

Result<Task> Coordinator::ask(const std::string& device, double now_s) {
  SKERRY_TRY(finish_if_due(now_s));
  if (done()) return Task{.kind = Task::Kind::kDone};
  return phase_ == Phase::kTraining ? ask_to_train(device, now_s) : ask_to_evaluate(device);
}

Result<Task> Coordinator::ask_to_train(const std::string& device, double now_s) {
  const auto found = devices_.find(device);
  if (found == devices_.end()) {
    // Masks are agreed on once.
    if (aggregation_ && aggregation_->phase() != secure::Aggregation::Phase::kKeys) return Task{};
    if (is_full()) return Task{};
    const bool takes_part = random_.uniform() < share();
    devices_[device] = takes_part ? Part::kTraining : Part::kNotDrawn;
    if (!began_s_) began_s_ = now_s;
    SKERRY_TRY(save());
    if (!takes_part) {
      SKERRY_TRY(finish_if_due(now_s));
      return Task{};
    }
  } else if (found->second != Part::kTraining) {
    return Task{};
  }
  const size_t attempt = attempt_of(device);
  return Task{
      .kind = Task::Kind::kTrain, .attempt = attempt, .round = rounds_ - (attempt_ - attempt)};
}

Result<Task> Coordinator::ask_to_evaluate(const std::string& device) {
  const auto most =
      static_cast<size_t>(std::ceil(static_cast<double>(plan_.evaluators) * plan_.over_selection));
  const auto found = evaluators_.find(device);
  if (found == evaluators_.end()) {
    if (evaluators_.size() >= most) return Task{};
    evaluators_[device] = Part::kTraining;
    SKERRY_TRY(save());
  } else if (found->second != Part::kTraining) {
    return Task{};
  }
  return Task{.kind = Task::Kind::kEvaluate, .attempt = attempt_, .round = rounds_ + 1};
}

Result<void> Coordinator::upload(const std::string& device, std::string_view bytes, double now_s) {
  const auto found = devices_.find(device);
  if (found == devices_.end() || found->second == Part::kOut || found->second == Part::kNotDrawn ||
      done()) {
    return fail(Code::kFailedPrecondition, "the device takes no part in this round");
  }
  auto update = accept(bytes);
  if (update && update->attempt != attempt_of(device)) {
    return fail(Code::kFailedPrecondition, "the update is of another round");
  }
  if (found->second == Part::kUploaded && update) return {};  // counted already
  if (phase_ != Phase::kTraining || (aggregation_ && !expects(device, attempt_))) {
    return fail(Code::kFailedPrecondition, "the round went on without this device");
  }
  if (!update) {
    SKERRY_TRY(leave_out(device, now_s));
    return fail(std::move(update.error()));
  }
  SKERRY_TRY(io::write_file_atomic(files_, update_path(device), update->stored));
  found->second = Part::kUploaded;
  return finish_if_due(now_s);
}

Result<Coordinator::Accepted> Coordinator::accept(std::string_view bytes) const {
  if (plan_.secure) {
    SKERRY_ASSIGN(const auto masked, secure::decode_masked(bytes, masked_numbers()));
    return Accepted{masked.attempt, std::string(bytes)};
  }
  SKERRY_ASSIGN(Update update, decode_update(bytes, model_.size()));
  federated::clip(update.delta, clip_);
  return Accepted{update.round, encode(update)};
}

Result<void> Coordinator::leave_out(const std::string& device, double now_s) {
  devices_[device] = Part::kOut;
  SKERRY_TRY(save());
  return finish_if_due(now_s);
}

Result<void> Coordinator::evaluated(const std::string& device, size_t attempt,
                                    const Evaluation& evaluation, double now_s) {
  const auto found = evaluators_.find(device);
  if (phase_ != Phase::kEvaluating || attempt != attempt_ || found == evaluators_.end() ||
      found->second == Part::kOut) {
    return fail(Code::kFailedPrecondition, "no evaluation by this device is waited for");
  }
  if (found->second == Part::kUploaded) return {};  // counted already
  if (!std::isfinite(evaluation.loss) || !(evaluation.rows >= 1) || !(evaluation.correct >= 0) ||
      !(evaluation.correct <= evaluation.rows) || !std::isfinite(evaluation.rows)) {
    return fail(Code::kInvalidArgument, "this is no evaluation: rows, correct and a finite loss");
  }
  found->second = Part::kUploaded;
  accuracies_.push_back(evaluation.correct / evaluation.rows);
  SKERRY_TRY(save());
  return finish_if_due(now_s);
}

Result<void> Coordinator::give_up(const std::string& device, double now_s) {
  Parts& parts = phase_ == Phase::kTraining ? devices_ : evaluators_;
  const auto found = parts.find(device);
  if (found == parts.end() || found->second != Part::kTraining) return {};
  found->second = Part::kOut;
  SKERRY_TRY(save());
  return finish_if_due(now_s);
}

Result<void> Coordinator::tick(double now_s) {
  return finish_if_due(now_s);
}

// --- Rounds -------------------------------------------------------------------------------------

Result<void> Coordinator::finish_if_due(double now_s) {
  // Some may be at work since the round before.
  if (!began_s_ && !devices_.empty()) began_s_ = now_s;
  if (done() || !began_s_) return {};
  if (now_s < *began_s_) began_s_ = now_s;  // the clock went back
  return phase_ == Phase::kTraining ? finish_training(now_s) : finish_evaluation(now_s);
}

RoundReport Coordinator::failed_report() const {
  return {.asked = asked(),
          .updates = count(devices_, Part::kUploaded),
          .refused = count(devices_, Part::kOut),
          .epsilon = plan_.noise > 0 ? epsilon() : 0,
          .clip = clip_};
}

Result<void> Coordinator::finish_training(double now_s) {
  if (aggregation_) return finish_secure(now_s);
  const size_t updates = count(devices_, Part::kUploaded);
  const bool late = now_s >= *began_s_ + plan_.deadline_s;
  if (updates >= plan_.wanted) return propose(now_s);
  if (!late && !all_have_ended()) return {};
  if (updates >= plan_.quorum) return propose(now_s);
  return fail_attempt(failed_report());
}

// At its end with as many as have come, be it none: a round does not wait for ever.
Result<void> Coordinator::finish_evaluation(double now_s) {
  const bool late = now_s >= *began_s_ + plan_.deadline_s;
  if (accuracies_.size() < plan_.evaluators && !late) return {};
  report_.evaluations = accuracies_.size();
  report_.accuracy = 0;
  for (const double one : accuracies_) {
    report_.accuracy += one / static_cast<double>(accuracies_.size());
  }
  const bool is_worse =
      report_.evaluations > 0 && report_.accuracy < last_accuracy() - plan_.worst_drop;
  if (!is_worse) return commit();
  RoundReport failed = report_;
  failed.round = 0;
  return fail_attempt(failed);
}

double Coordinator::last_accuracy() const {
  for (auto one = history_.rbegin(); one != history_.rend(); ++one) {
    if (one->round > 0 && one->evaluations > 0) return one->accuracy;
  }
  return 0;
}

// Those at work stay there, if they are not too far behind.
void Coordinator::carry_over() {
  if (!strategy_->is_asynchronous()) return devices_.clear();
  std::erase_if(devices_, [this](const auto& one) {
    return one.second != Part::kTraining || attempt_ + 1 - attempt_of(one.first) > plan_.most_stale;
  });
  std::map<std::string, size_t> since;
  for (const auto& [name, part] : devices_) since[name] = attempt_of(name);
  since_ = std::move(since);
}

Result<void> Coordinator::fail_attempt(RoundReport report) {
  devices_.clear();
  since_.clear();
  if (phase_ == Phase::kEvaluating) SKERRY_TRY(read_memory(rounds_));
  history_.push_back(report);
  return next_attempt();
}

Result<void> Coordinator::next_attempt() {
  ++attempt_;
  phase_ = Phase::kTraining;
  began_s_.reset();
  evaluators_.clear();
  accuracies_.clear();
  proposed_ = {};
  SKERRY_TRY(io::make_directories(files_, updates_path()));
  if (plan_.secure) aggregation_.emplace(files_, updates_path());
  SKERRY_TRY(save_past());
  SKERRY_TRY(save());
  return sweep();  // from here on nobody needs what was before
}

Result<void> Coordinator::commit() {
  model_ = std::move(proposed_);
  clip_ = proposed_clip_;
  ++rounds_;
  history_.push_back(report_);
  carry_over();
  return next_attempt();
}

}  // namespace skerry::federated
