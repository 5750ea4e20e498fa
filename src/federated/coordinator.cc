// Everything that must survive is in `state` before anybody is told of it.
#include "federated/coordinator.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "train/checkpoint.h"

namespace skerry::federated {
namespace {

using nlohmann::json;

constexpr size_t kPiece = 1 << 16;  // numbers of a vector that are in memory at once, per update
constexpr size_t kDigest = 32;
constexpr uint64_t kMaxFileBytes = uint64_t{8} << 30;

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

// A stored update, read piece by piece: its numbers are the last of the file but for the digest.
struct Stored {
  std::unique_ptr<io::File> file;
  uint64_t begin = 0;

  Result<Vector> piece(size_t offset, size_t size) {
    SKERRY_ASSIGN(const std::string bytes,
                  file->read_at(begin + offset * sizeof(float), size * sizeof(float)));
    if (bytes.size() != size * sizeof(float)) {
      return fail(Code::kCorrupt, "a stored update is cut short");
    }
    Vector vector(size);
    std::memcpy(vector.data(), bytes.data(), bytes.size());
    return vector;
  }
};

Result<std::vector<Vector>> pieces_of(std::vector<Stored>& stored, size_t offset, size_t size) {
  std::vector<Vector> pieces;
  for (Stored& one : stored) {
    SKERRY_ASSIGN(Vector piece, one.piece(offset, size));
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

}  // namespace

Result<void> check(const Plan& plan) {
  const std::string& name = plan.strategy.name;
  const bool mean = name == "fedavg" || name == "fedprox";
  if (plan.wanted < 1 || plan.rounds < 1 || plan.quorum < 1 || plan.quorum > plan.wanted ||
      !(plan.over_selection >= 1) || !(plan.deadline_s > 0)) {
    return fail(Code::kInvalidArgument,
                "a round wants at least one device, a quorum of no more than it wants, and a "
                "deadline");
  }
  if (plan.noise <= 0) return {};
  if (!mean) {
    return fail(
        Code::kInvalidArgument,
        "how private a round with noise is, is known for fedavg and fedprox, not for " + name);
  }
  if (plan.clip <= 0 || plan.population < plan.wanted) {
    return fail(Code::kInvalidArgument,
                "noise needs a longest update (clip) and the number of devices that a round is "
                "drawn from (population)");
  }
  return {};
}

std::string Coordinator::model_path(size_t round) const {
  return fmt::format("{}/model-{}", directory_, round);
}
std::string Coordinator::updates_path() const {
  return fmt::format("{}/updates-{}", directory_, attempt_);
}
std::string Coordinator::update_path(const std::string& device) const {
  return updates_path() + "/" + hex_encode(device);  // a name is never a path
}

size_t Coordinator::target() const {
  return static_cast<size_t>(std::ceil(static_cast<double>(plan_.wanted) * plan_.over_selection));
}

size_t Coordinator::count(Part part) const {
  return static_cast<size_t>(
      std::ranges::count_if(devices_, [part](const auto& one) { return one.second == part; }));
}

// Asked for often, and known from one committed round to the next.
void Coordinator::look_at_budget() {
  if (plan_.epsilon_limit <= 0 || plan_.noise <= 0) return;
  Accountant next = accountant_;
  next.add(cost_);
  budget_spent_ = next.epsilon(plan_.delta) > plan_.epsilon_limit;
}

double Coordinator::share() const {
  if (plan_.population == 0) return 1;
  return std::min(1.0, static_cast<double>(target()) / static_cast<double>(plan_.population));
}

bool Coordinator::all_have_ended() const {
  if (count(Part::kTraining) > 0) return false;
  return plan_.population > 0 ? devices_.size() >= plan_.population : devices_.size() >= target();
}

bool Coordinator::done() const {
  return rounds_ >= plan_.rounds || budget_spent_;
}

// --- The disk -----------------------------------------------------------------------------------

Result<std::unique_ptr<Coordinator>> Coordinator::open(io::Files& files, std::string directory,
                                                       Plan plan, const Vector& initial,
                                                       io::Random& random) {
  SKERRY_TRY(check(plan));
  std::unique_ptr<Coordinator> made(
      new Coordinator(files, std::move(directory), std::move(plan), random));
  if (made->plan_.noise > 0) made->plan_.strategy.equal_weights = true;
  SKERRY_ASSIGN(made->strategy_, make_strategy(made->plan_.strategy, initial.size()));
  SKERRY_TRY(io::make_directories(files, made->directory_));
  const bool known = io::exists(files, made->state_path());
  SKERRY_TRY(known ? made->restore() : made->start(initial));
  if (made->plan_.noise > 0) made->cost_ = Accountant::cost(made->share(), made->plan_.noise);
  made->look_at_budget();
  if (made->model_.size() != initial.size()) {
    return fail(Code::kFailedPrecondition,
                made->directory_ + " belongs to the training of another model");
  }
  return made;
}

Result<void> Coordinator::start(const Vector& initial) {
  model_ = initial;
  SKERRY_TRY(write_model(0));
  SKERRY_TRY(io::make_directories(files_, updates_path()));
  return save();
}

Result<void> Coordinator::write_model(size_t round) {
  train::Checkpoint file{.document = json{{"round", round}}.dump(), .tensors = {}};
  file.tensors.push_back(as_tensor("model", model_));
  for (const Vector* memory : strategy_->memory()) {
    file.tensors.push_back(as_tensor("memory", *memory));
  }
  return train::write_checkpoint(files_, model_path(round), file);
}

Result<void> Coordinator::save() {
  json devices = json::object();
  for (const auto& [name, part] : devices_) devices[hex_encode(name)] = static_cast<int>(part);
  json history = json::array();
  for (const RoundReport& one : history_) {
    history.push_back({one.round, one.asked, one.updates, one.refused, one.loss, one.epsilon});
  }
  const json state = {
      {"rounds", rounds_},  {"attempt", attempt_}, {"began", began_s_ ? json(*began_s_) : json()},
      {"devices", devices}, {"history", history},  {"spent", accountant_.spent()}};
  return train::write_checkpoint(files_, state_path(), {.document = state.dump(), .tensors = {}});
}

Result<void> Coordinator::restore() {
  SKERRY_ASSIGN(const train::Checkpoint file, train::read_checkpoint(files_, state_path()));
  const json state = json::parse(file.document, nullptr, false);
  if (!state.is_object()) return fail(Code::kCorrupt, state_path() + " is no state of a training");
  rounds_ = state.value("rounds", size_t{0});
  attempt_ = state.value("attempt", size_t{1});
  const json began = state.value("began", json());
  if (began.is_number()) began_s_ = began.get<double>();
  accountant_.restore(state.value("spent", std::vector<double>()));
  for (const json& one : state.value("history", json::array())) {
    history_.push_back({one[0], one[1], one[2], one[3], one[4], one[5]});
  }
  SKERRY_ASSIGN(const train::Checkpoint model, train::read_checkpoint(files_, model_path(rounds_)));
  const auto memory = strategy_->memory();
  if (model.tensors.size() != memory.size() + 1) {
    return fail(Code::kFailedPrecondition, directory_ + " belongs to another strategy");
  }
  model_ = as_vector(model.tensors[0]);
  for (size_t i = 0; i < memory.size(); ++i) *memory[i] = as_vector(model.tensors[i + 1]);
  SKERRY_TRY(sweep());
  // Who takes part is in the state; who has sent an update, in the folder.
  SKERRY_TRY(io::make_directories(files_, updates_path()));
  for (const auto& [hex, kept] : state.value("devices", json::object()).items()) {
    std::string name;
    for (size_t i = 0; i + 1 < hex.size(); i += 2) {
      name += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    }
    const auto part = static_cast<Part>(kept.get<int>());
    const bool out = part == Part::kOut || part == Part::kNotDrawn;
    const bool uploaded = io::exists(files_, update_path(name));
    devices_[name] = out ? part : uploaded ? Part::kUploaded : Part::kTraining;
  }
  return {};
}

// What a crash has left of what is over.
Result<void> Coordinator::sweep() {
  SKERRY_ASSIGN(const auto names, files_.list(directory_));
  for (const std::string& name : names) {
    const std::string path = directory_ + "/" + name;
    const bool ours = name.starts_with("model-") || name.starts_with("updates-");
    if (!ours || path == model_path(rounds_) || path == updates_path()) continue;
    SKERRY_TRY(io::remove_all(files_, path));
  }
  return {};
}

// --- Devices ------------------------------------------------------------------------------------

Result<Task> Coordinator::ask(const std::string& device, double now_s) {
  SKERRY_TRY(finish_if_due(now_s));
  if (done()) return Task{.kind = Task::Kind::kDone};
  const auto found = devices_.find(device);
  if (found == devices_.end()) {
    if (plan_.population == 0 && devices_.size() >= target()) return Task{};
    const double drawn = static_cast<double>(random_.next() >> 11) * 0x1p-53;
    const bool takes_part = drawn < share();
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
  return Task{.kind = Task::Kind::kTrain, .attempt = attempt_};
}

Result<void> Coordinator::upload(const std::string& device, std::string_view bytes, double now_s) {
  const auto found = devices_.find(device);
  if (found == devices_.end() || found->second == Part::kOut || found->second == Part::kNotDrawn ||
      done()) {
    return fail(Code::kFailedPrecondition, "the device takes no part in this round");
  }
  auto update = decode_update(bytes, model_.size());
  if (update && update->round != attempt_) {
    return fail(Code::kFailedPrecondition, "the update is of another round");
  }
  if (!update) {
    found->second = Part::kOut;
    SKERRY_TRY(save());
    SKERRY_TRY(finish_if_due(now_s));
    return fail(std::move(update.error()));
  }
  if (found->second == Part::kUploaded) return {};  // counted already
  clip(update->delta, plan_.clip);
  SKERRY_TRY(io::write_file_atomic(files_, update_path(device), encode(*update)));
  found->second = Part::kUploaded;
  return finish_if_due(now_s);
}

Result<void> Coordinator::give_up(const std::string& device, double now_s) {
  const auto found = devices_.find(device);
  if (found == devices_.end() || found->second != Part::kTraining) return {};
  found->second = Part::kOut;
  SKERRY_TRY(save());
  return finish_if_due(now_s);
}

Result<void> Coordinator::tick(double now_s) {
  return finish_if_due(now_s);
}

// --- Rounds -------------------------------------------------------------------------------------

Result<void> Coordinator::finish_if_due(double now_s) {
  if (done() || !began_s_) return {};
  if (now_s < *began_s_) began_s_ = now_s;  // the clock went back
  const size_t updates = count(Part::kUploaded);
  const bool late = now_s >= *began_s_ + plan_.deadline_s;
  if (updates >= plan_.wanted) return commit();
  if (!late && !all_have_ended()) return {};
  if (updates >= plan_.quorum) return commit();
  history_.push_back({.round = 0,
                      .asked = devices_.size() - count(Part::kNotDrawn),
                      .updates = updates,
                      .refused = count(Part::kOut),
                      .epsilon = epsilon()});
  return next_attempt();
}

Result<void> Coordinator::next_attempt() {
  const std::string old = updates_path();
  ++attempt_;
  began_s_.reset();
  devices_.clear();
  SKERRY_TRY(io::make_directories(files_, updates_path()));
  SKERRY_TRY(save());
  // From here on nobody needs them.
  SKERRY_TRY(io::remove_all(files_, old));
  if (rounds_ > 0 && io::exists(files_, model_path(rounds_ - 1))) {
    SKERRY_TRY(files_.remove(model_path(rounds_ - 1)));
  }
  return {};
}

Result<Coordinator::Combined> Coordinator::combine() {
  Combined result;
  std::vector<Stored> stored;
  std::vector<Source> sources;
  for (const auto& [device, part] : devices_) {  // by name: the same order every time
    if (part != Part::kUploaded) continue;
    SKERRY_ASSIGN(const std::string bytes,
                  io::read_file(files_, update_path(device), kMaxFileBytes));
    SKERRY_ASSIGN(const Update update, decode_update(bytes, model_.size()));
    SKERRY_ASSIGN(auto file, files_.open(update_path(device), io::OpenMode::kRead));
    stored.push_back({std::move(file), bytes.size() - kDigest - model_.size() * sizeof(float)});
    sources.push_back({.examples = update.examples, .steps = update.steps});
    result.loss += update.loss;
  }
  result.updates = stored.size();
  result.loss /= static_cast<double>(std::max<size_t>(stored.size(), 1));
  strategy_->begin(sources);
  for (size_t at = 0; strategy_->looks_first() && at < model_.size(); at += kPiece) {
    SKERRY_ASSIGN(const auto pieces, pieces_of(stored, at, std::min(kPiece, model_.size() - at)));
    strategy_->look(pieces);
  }
  result.change.resize(model_.size());
  for (size_t at = 0; at < model_.size(); at += kPiece) {
    const size_t size = std::min(kPiece, model_.size() - at);
    SKERRY_ASSIGN(const auto pieces, pieces_of(stored, at, size));
    strategy_->combine(pieces, at, std::span(result.change).subspan(at, size));
  }
  return result;
}

Result<void> Coordinator::commit() {
  SKERRY_ASSIGN(Combined combined, combine());
  if (plan_.noise > 0) {
    // The sum over the number that was expected, so that who was there does not show.
    const auto wanted = static_cast<double>(plan_.wanted);
    const auto factor = static_cast<float>(static_cast<double>(combined.updates) / wanted);
    for (float& value : combined.change) value *= factor;
    add_noise(combined.change, plan_.strategy.server_rate * plan_.noise * plan_.clip / wanted,
              random_);
    accountant_.add(cost_);
    look_at_budget();
  }
  for (size_t i = 0; i < model_.size(); ++i) model_[i] += combined.change[i];
  SKERRY_TRY(write_model(rounds_ + 1));
  ++rounds_;
  history_.push_back({.round = rounds_,
                      .asked = devices_.size() - count(Part::kNotDrawn),
                      .updates = combined.updates,
                      .refused = count(Part::kOut),
                      .loss = combined.loss,
                      .epsilon = plan_.noise > 0 ? epsilon() : 0});
  return next_attempt();
}

}  // namespace skerry::federated
