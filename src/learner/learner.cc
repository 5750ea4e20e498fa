// Parameters in, difference out.
#include "learner/learner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace skerry::learner {
namespace {

using tensor::Tensor;

std::span<const float> floats_of(const Tensor& tensor) {
  return {reinterpret_cast<const float*>(tensor.bytes.data()), tensor.bytes.size() / sizeof(float)};
}

// What the device's variate becomes is the mean gradient: it changes by (x - y)/(K·rate) - c.
Vector control_change(const Vector& global, const Update& update, double rate, size_t parameters) {
  const size_t size = update.delta.size();
  Vector change(size, 0);
  for (size_t i = 0; i < parameters; ++i) {
    const double moved = static_cast<double>(update.delta[i]) / (update.steps * rate);
    change[i] = static_cast<float>(-moved - static_cast<double>(global[size + i]));
  }
  return change;
}

}  // namespace

Result<Learner> Learner::open(const graph::Graph& model, const LocalTraining& training,
                              const optimise::EngineSpec& engine, const std::string& directory) {
  train::StepOptions options;
  options.batch = training.batch;
  options.optimiser = {.optimiser = train::Optimiser::kSgd,
                       .rate = training.rate,
                       .momentum = 0,
                       .proximal = training.proximal,
                       .schedule = train::Schedule::kConstant};
  SKERRY_ASSIGN(train::Step step, train::make_step(model, options));
  SKERRY_ASSIGN(train::Trainer trainer,
                train::Trainer::open(std::move(step), model, engine, directory, 1));
  Learner learner;
  learner.training_ = training;
  learner.trainer_ = std::make_unique<train::Trainer>(std::move(trainer));
  learner.fresh_ = learner.trainer_->state();
  learner.initial_ = learner.flat();
  return learner;
}

Vector Learner::flat() const {
  Vector all;
  for (const Tensor& tensor : trainer_->learned()) {
    const auto values = floats_of(tensor);
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

Result<void> Learner::load(const Vector& global) {
  const size_t expected = federated::numbers_of(training_, initial_.size());
  if (global.size() != expected) {
    return fail(Code::kInvalidArgument,
                fmt::format("the model has {} numbers, {} came", expected, global.size()));
  }
  std::vector<Tensor> state = fresh_;
  const size_t tensors = trainer_->step().parameters.size() + trainer_->step().statistics.size();
  size_t at = 0;
  for (size_t i = 0; i < tensors; ++i) {
    std::memcpy(state[i].bytes.data(), global.data() + at, state[i].bytes.size());
    at += state[i].bytes.size() / sizeof(float);
  }
  SKERRY_TRY(trainer_->set_state(std::move(state)));
  trainer_->set_anchors();
  return {};
}

// The parameters, as they are.
Result<void> Learner::move_by(const Vector& shift) {
  std::vector<Tensor> state = trainer_->state();
  size_t at = 0;
  for (size_t i = 0; i < trainer_->step().parameters.size(); ++i) {
    auto* values = reinterpret_cast<float*>(state[i].bytes.data());
    const size_t count = state[i].bytes.size() / sizeof(float);
    for (size_t k = 0; k < count; ++k) values[k] += shift[at + k];
    at += count;
  }
  return trainer_->set_state(std::move(state));
}

Result<Update> Learner::train(const Vector& global, const train::Batches& batches,
                              const std::vector<size_t>& rows, size_t round, uint64_t seed,
                              const Vector& control) {
  const size_t size = initial_.size();
  if (!control.empty() && control.size() != size) {
    return fail(Code::kInvalidArgument, "the control variate is of another model");
  }
  if (rows.empty()) return fail(Code::kFailedPrecondition, "there is no row to train on");
  SKERRY_TRY(load(global));
  Update update{.round = round, .examples = static_cast<double>(rows.size())};
  // A step by g - c_i + c (Karimireddy et al., 2020) is one by g, and then one by c_i - c.
  Vector shift(training_.scaffold ? size : 0, 0);
  for (size_t i = 0; i < shift.size(); ++i) {
    const float own = control.empty() ? 0 : control[i];
    shift[i] = static_cast<float>(training_.rate * static_cast<double>(own - global[size + i]));
  }
  const auto batch = static_cast<size_t>(training_.batch);
  for (size_t epoch = 0; epoch < training_.epochs; ++epoch) {
    auto order = train::Batches::shuffled(rows, seed + round, epoch);
    // What does not fill a batch is filled up from the beginning.
    while (order.size() % batch != 0) order.push_back(order[order.size() % rows.size()]);
    for (size_t at = 0; at < order.size(); at += batch) {
      const auto first = order.begin() + static_cast<std::ptrdiff_t>(at);
      SKERRY_ASSIGN(const train::Batch taken,
                    batches.take({first, first + static_cast<std::ptrdiff_t>(batch)}));
      SKERRY_ASSIGN(const train::StepResult done, trainer_->run(taken));
      if (training_.scaffold) SKERRY_TRY(move_by(shift));
      update.loss += done.loss;
      ++update.steps;
    }
  }
  update.loss /= std::max(update.steps, 1.0);
  update.delta = flat();
  for (size_t i = 0; i < size; ++i) update.delta[i] -= global[i];
  if (training_.scaffold) {
    size_t parameters = 0;
    for (size_t i = 0; i < trainer_->step().parameters.size(); ++i) {
      parameters += trainer_->state()[i].bytes.size() / sizeof(float);
    }
    const Vector change = control_change(global, update, training_.rate, parameters);
    update.delta.insert(update.delta.end(), change.begin(), change.end());
  }
  const double length = federated::clip(update.delta, training_.clip);
  update.within = training_.clip <= 0 || length <= training_.clip;
  return update;
}

Result<train::Evaluation> Learner::evaluate(const Vector& global, const train::Batches& batches,
                                            const std::vector<size_t>& rows) {
  SKERRY_TRY(load(global));
  return trainer_->evaluate(batches, rows);
}

std::unique_ptr<graph::Graph> Learner::with(const graph::Graph& model, const Vector& global) const {
  std::vector<Tensor> values = trainer_->learned();
  size_t at = 0;
  for (Tensor& value : values) {
    const size_t count = value.bytes.size() / sizeof(float);
    if (at + count > global.size()) break;
    std::memcpy(value.bytes.data(), global.data() + at, value.bytes.size());
    at += count;
  }
  return trainer_->step().trained(model, values);
}

}  // namespace skerry::learner
