// Running steps: what one gives is what the next one takes, moved and never copied.
#include "train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "graph/model_file.h"
#include "optimise/names.h"

namespace skerry::train {
namespace {

using tensor::Tensor;
using tensor::TensorView;

TensorView named(const Tensor& tensor, std::string_view name) {
  TensorView view = tensor.view();
  view.name = name;
  return view;
}

std::span<const float> floats_of(const Tensor& tensor) {
  return {reinterpret_cast<const float*>(tensor.bytes.data()), tensor.bytes.size() / sizeof(float)};
}

// Rows whose largest score is at their label; of one score, on its side of `middle`.
size_t count_correct(const Tensor& scores, const std::vector<int64_t>& labels, float middle) {
  const auto numbers = floats_of(scores);
  const size_t rows = labels.size();
  if (rows == 0 || scores.shape.empty()) return 0;
  const size_t classes = numbers.size() / static_cast<size_t>(scores.shape[0]);
  size_t correct = 0;
  for (size_t row = 0; row < rows; ++row) {
    const auto of_row = numbers.subspan(row * classes, classes);
    const int64_t found = classes == 1 ? (of_row[0] > middle ? 1 : 0)
                                       : std::ranges::max_element(of_row) - of_row.begin();
    correct += found == labels[row] ? 1 : 0;
  }
  return correct;
}

Result<optimise::Engine> loaded(Graph& graph, const std::string& path,
                                const optimise::EngineSpec& engine, size_t threads) {
  optimise::name_nodes_apart(graph);
  SKERRY_TRY(graph::write_model_file(graph, path));
  return optimise::Engine::load(path, engine, threads);
}

Tensor* find(std::vector<Tensor>& tensors, const std::string& name) {
  const auto found = std::ranges::find(tensors, name, &Tensor::name);
  return found == tensors.end() ? nullptr : &*found;
}

}  // namespace

Result<Trainer> Trainer::open(Step step, const Graph& model, const optimise::EngineSpec& engine,
                              const std::string& directory, size_t threads) {
  SKERRY_ASSIGN(auto one_step, loaded(*step.graph, directory + "/step.onnx", engine, threads));
  SKERRY_ASSIGN(auto forward, loaded(*step.forward, directory + "/forward.onnx", engine, threads));
  Trainer trainer(std::move(step), std::move(one_step), std::move(forward));
  trainer.carried_ = trainer.step_.carried();
  trainer.state_ = trainer.step_.initial(model);
  trainer.set_anchors();
  return trainer;
}

void Trainer::set_anchors() {
  anchors_.clear();
  for (size_t i = 0; i < step_.updated.anchors.size(); ++i) {
    anchors_.push_back(state_[i]);
    anchors_.back().name = step_.updated.anchors[i];
  }
}

Result<StepResult> Trainer::run(const Batch& batch, std::span<const Tensor> teacher) {
  std::vector<TensorView> inputs = tensor::views_of(batch.inputs);
  inputs.push_back(named(batch.target, step_.target));
  if (!step_.teacher.empty()) inputs.push_back(named(teacher[0], step_.teacher));
  if (!step_.teacher_features.empty()) inputs.push_back(named(teacher[1], step_.teacher_features));
  for (const auto* kept : {&state_, &anchors_}) {
    for (const Tensor& tensor : *kept) inputs.push_back(tensor.view());
  }
  SKERRY_ASSIGN(std::vector<Tensor> outputs, one_step_.run(inputs));
  StepResult result;
  result.loss = static_cast<double>(floats_of(*find(outputs, step_.loss))[0]);
  result.gradient_norm = static_cast<double>(floats_of(*find(outputs, step_.updated.norm))[0]);
  if (!std::isfinite(result.loss) || !std::isfinite(result.gradient_norm)) {
    return fail(Code::kFailedPrecondition,
                fmt::format("the loss is {} and the gradients' length {}: try a lower --rate, or "
                            "--clip 1, and look for numbers in the data that are none",
                            result.loss, result.gradient_norm));
  }
  // Scores before softmax or sigmoid.
  result.correct = count_correct(*find(outputs, step_.scores), batch.labels, 0);
  for (size_t i = 0; i < carried_.size(); ++i) {
    Tensor& fresh = *find(outputs, carried_[i].output);
    fresh.name = carried_[i].input;
    state_[i] = std::move(fresh);
  }
  return result;
}

std::vector<Tensor> Trainer::learned() const {
  const size_t parameters = step_.parameters.size();
  const auto kept = static_cast<std::ptrdiff_t>(parameters + step_.statistics.size());
  std::vector<Tensor> values(state_.begin(), state_.begin() + kept);
  const size_t averages = step_.updated.averages.size();
  for (size_t i = 0; i < averages; ++i) {
    values[i].bytes = state_[state_.size() - averages + i].bytes;
  }
  return values;
}

Result<void> Trainer::set_state(std::vector<Tensor> state) {
  bool same = state.size() == state_.size();
  for (size_t i = 0; same && i < state.size(); ++i) {
    same = state[i].name == state_[i].name && state[i].shape == state_[i].shape &&
           state[i].type == state_[i].type;
  }
  if (!same) {
    return fail(Code::kInvalidArgument, "these are the parameters of another model or optimiser");
  }
  state_ = std::move(state);
  return {};
}

Result<Evaluation> Trainer::evaluate(const Batches& batches, const std::vector<size_t>& rows,
                                     const Complete& complete) {
  const std::vector<Tensor> values = learned();
  const auto size = static_cast<size_t>(step_.batch);
  Evaluation result;
  double total = 0;
  for (size_t at = 0; at < rows.size(); at += size) {
    const size_t count = std::min(size, rows.size() - at);
    const auto first = rows.begin() + static_cast<std::ptrdiff_t>(at);
    std::vector<size_t> chosen(first, first + static_cast<std::ptrdiff_t>(count));
    chosen.resize(size, chosen.back());  // the last row again, not counted
    SKERRY_ASSIGN(Batch batch, batches.take(chosen));
    if (complete) SKERRY_TRY(complete(batch));
    std::vector<TensorView> inputs = tensor::views_of(batch.inputs);
    inputs.push_back(named(batch.target, step_.target));
    for (const Tensor& value : values) inputs.push_back(value.view());
    SKERRY_ASSIGN(const auto outputs, forward_.run(inputs));
    for (size_t i = 0; i < count; ++i) total += static_cast<double>(floats_of(outputs[1])[i]);
    if (!batch.labels.empty()) batch.labels.resize(count);
    result.correct += count_correct(outputs[0], batch.labels, step_.middle);
    result.rows += count;
  }
  result.loss = result.rows == 0 ? 0 : total / static_cast<double>(result.rows);
  return result;
}

}  // namespace skerry::train
