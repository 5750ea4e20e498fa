// From a model to a step: parameters become inputs, what depends on shapes becomes constant, then
// loss, gradients and optimiser are added.
#include "train/step.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "graph/statistics.h"
#include "optimise/pass.h"
#include "optimise/rewrite.h"
#include "train/decompose.h"
#include "train/gradient.h"

namespace skerry::train {
namespace {

constexpr size_t kMeanInput = 3;
constexpr size_t kVarianceInput = 4;

bool is_bias(const Node& node, size_t index) {
  const Value* value = node.input(index);
  const Value* other = node.input(1 - index);
  // What is added to the model's input prepares data.
  return other->producer() != nullptr && graph::count_of(value->type()).value_or(0) > 1;
}

// What is divided by, but for its shape.
const Value* scale_of(const Node& division) {
  const Node* shaped = optimise::made_by(division.input(1), "Reshape");
  return shaped != nullptr ? shaped->input(0) : division.input(1);
}

bool is_parameter_of(const Node& node, size_t index) {
  const Op op = node.op();
  if (op == "MatMul") return true;
  // Weights and scales of quantisation-aware training (train/qat.h).
  if (op == "Exp") return true;
  if (op == "Div") return index == 0 && optimise::made_by(scale_of(node), "Exp") != nullptr;
  if (op == "Add") return is_bias(node, index);
  if (op == "Gather") return index == 0;
  if (op == "PRelu" || op == "RMSNormalization") return index == 1;
  if (op == "LSTM") return index >= 1 && index <= 3;
  for (const Op layer :
       {Op("Conv"), Op("ConvTranspose"), Op("Gemm"), Op("BatchNormalization"),
        Op("InstanceNormalization"), Op("LayerNormalization"), Op("GroupNormalization")}) {
    if (op == layer) return index == 1 || index == 2;
  }
  return false;
}

// Also through what only moves it.
bool is_read_as_parameter(const Value& value) {
  return std::ranges::any_of(value.uses(), [](const graph::Use& use) {
    if (use.node == nullptr) return false;
    for (const Op op :
         {Op("Transpose"), Op("Reshape"), Op("Unsqueeze"), Op("Squeeze"), Op("Identity")}) {
      if (use.node->op() == op && use.index == 0) {
        return is_read_as_parameter(*use.node->output(0));
      }
    }
    return is_parameter_of(*use.node, use.index);
  });
}

// The constant's name, at an input in its place.
Value& promote(Graph& graph, Value& constant) {
  Value& input = graph.add_input(constant.name(), constant.type());
  graph.swap_names(constant, input);
  constant.replace_uses(input);
  graph.erase(constant);
  return input;
}

// The batch norms whose scale is trained.
std::vector<Value*> statistics_inputs(const Graph& graph) {
  std::vector<Value*> found;
  for (const auto& node : graph.nodes()) {
    if (node->op() != "BatchNormalization" || node->input(1)->constant() != nullptr) continue;
    for (const size_t index : {kMeanInput, kVarianceInput}) {
      Value* value = node->input(index);
      if (value->constant() != nullptr && value->uses().size() == 1) found.push_back(value);
    }
  }
  return found;
}

Result<std::unique_ptr<Graph>> with_batch(const Graph& model, int64_t batch) {
  const auto copy = model.clone();
  for (const auto& input : copy->inputs()) {
    graph::Type type = input->type();
    if (!type.shape || type.shape->empty()) continue;
    // A model for one row at a time may well take several.
    if (!(*type.shape)[0].is_fixed() || (*type.shape)[0].is(1))
      (*type.shape)[0] = graph::Dim(batch);
    input->set_type(std::move(type));
  }
  auto fixed = graph::with_open_dimensions(*copy, batch);
  if (!fixed) return fail(fixed.error().with_context("for a batch of several rows"));
  return fixed;
}

Result<void> fold_shapes(Graph& graph) {
  SKERRY_TRY(optimise::run_passes(
      graph, {.only = {"infer-shapes", "remove-no-ops", "fold-constants", "dead-code"}}));
  return {};
}

// What is behind the answers' softmax or sigmoid, which the loss has in it.
Value* scores_of(Value* answers, const LossOptions& loss) {
  const Node* node = answers->producer();
  if (node == nullptr || !is_classification(loss.loss)) return answers;
  const auto rank = static_cast<int64_t>(sizes_of(*answers).size());
  if (node->op() == "Softmax" || node->op() == "LogSoftmax") {
    const int64_t axis = node->int_of("axis");
    return axis == -1 || axis == rank - 1 ? node->input(0) : answers;
  }
  return node->op() == "Sigmoid" && sizes_of(*answers).back() == 1 ? node->input(0) : answers;
}

std::string add_named_output(Builder& make, Value* value, const std::string& name) {
  Value* named = make.op("Identity", {value}, {}, name);
  make.graph().add_output(*named);
  return named->name();
}

class StepMaker {
 public:
  StepMaker(const Graph& model, const StepOptions& options) : model_(model), options_(options) {}

  Result<Step> make() {
    SKERRY_TRY(promote_parameters());
    SKERRY_TRY(add_losses());
    SKERRY_TRY(add_updates());
    return std::move(step_);
  }

 private:
  Result<void> promote_parameters() {
    step_.batch = options_.batch;
    SKERRY_ASSIGN(step_.graph, with_batch(model_, options_.batch));
    Graph& graph = *step_.graph;
    if (graph.outputs().empty()) return fail(Code::kInvalidArgument, "the model has no output");
    for (const std::string& name : parameters_of(model_)) {
      if (!options_.frozen.contains(name))
        parameters_.push_back(&promote(graph, *graph.find(name)));
    }
    if (parameters_.empty()) {
      return fail(Code::kInvalidArgument,
                  "nothing is left to train: the model has no weights, or all are frozen");
    }
    for (Value* statistic : statistics_inputs(graph)) promote(graph, *statistic);
    while (graph.outputs().size() > 1) graph.remove_output(graph.outputs().size() - 1);
    SKERRY_TRY(fold_shapes(graph));
    const Value& answers = *graph.outputs()[0];
    const auto shape = graph::sizes_of(answers.type());
    const bool rows = shape && !shape->empty() && (*shape)[0] == options_.batch;
    if (!rows || answers.type().element != DataType::kFp32) {
      return fail(Code::kInvalidArgument,
                  fmt::format("the first output, {}, has no row for each of the {} of a batch; "
                              "export the model with an open batch",
                              graph::to_string(answers.type()), options_.batch));
    }
    step_.answer = *shape;
    if (shape->size() < 2 && is_classification(options_.loss.loss)) {
      return fail(Code::kInvalidArgument, "the first output has no scores for classes");
    }
    return add_forward();
  }

  Result<void> add_forward() {
    const graph::Type type = step_.graph->outputs()[0]->type();
    step_.target = step_.graph->add_input("target", type).name();
    step_.forward = step_.graph->clone();
    Graph& graph = *step_.forward;
    Builder make(graph);
    Value* answers = graph.outputs()[0];
    Value* scores = scores_of(answers, options_.loss);
    if (scores != answers && step_.answer.back() == 1) step_.middle = 0.5F;  // behind a sigmoid
    graph.add_output(*add_row_losses(make, options_.loss, scores, graph.find(step_.target)));
    return {};
  }

  Result<void> add_losses() {
    Graph& graph = *step_.graph;
    const bool matches = options_.distillation && !options_.distillation->features.empty();
    if (matches) {
      Value* value = graph.find(options_.distillation->features);
      if (value == nullptr) {
        return fail(Code::kNotFound,
                    "the model has no value '" + options_.distillation->features + "'");
      }
      graph.add_output(*value);  // so that it is found again, whatever makes it then
    }
    SKERRY_TRY(decompose(graph, {.statistics = &statistics_}));
    Value* features = matches ? graph.outputs()[1] : nullptr;
    if (matches) graph.remove_output(1);
    Builder make(graph);
    Value* scores = scores_of(graph.outputs()[0], options_.loss);
    const graph::Type type{DataType::kFp32, graph::fixed_shape(step_.answer)};
    loss_ = add_loss(make, options_.loss, scores, graph.find(step_.target));
    if (options_.distillation) SKERRY_TRY(add_teacher(make, scores, features, type));
    graph.remove_output(0);
    step_.loss = add_named_output(make, loss_, "loss");
    step_.scores = add_named_output(make, scores, "scores");
    return {};
  }

  Result<void> add_teacher(Builder& make, Value* scores, Value* features, graph::Type type) {
    const Distillation& how = *options_.distillation;
    Value& teacher = make.graph().add_input("teacher", std::move(type));
    step_.teacher = teacher.name();
    Value* soft = add_distillation(make, scores, &teacher, how.temperature);
    loss_ = make.add(make.scale(loss_, 1 - how.weight), make.scale(soft, how.weight));
    if (features == nullptr) return {};
    Value& wanted = make.graph().add_input(
        "teacher_features", {DataType::kFp32, graph::fixed_shape(how.teacher_features)});
    step_.teacher_features = wanted.name();
    SKERRY_ASSIGN(Value * matched, add_feature_matching(make, features, &wanted));
    loss_ = make.add(loss_, make.scale(matched, how.feature_weight));
    return {};
  }

  Result<void> add_updates() {
    Graph& graph = *step_.graph;
    SKERRY_ASSIGN(const auto gradients, add_gradients(graph, *loss_, parameters_));
    Builder make(graph);
    step_.updated = add_optimiser(make, options_.optimiser, parameters_, gradients);
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const std::string& name = parameters_[i]->name();
      if (options_.keep_zeros) keep_zeros(make, step_.updated.parameters[i], *parameters_[i]);
      step_.parameters.push_back(
          {name, add_named_output(make, step_.updated.parameters[i], "new_" + name),
           sizes_of(*parameters_[i])});
    }
    for (const RunningStatistic& one : statistics_) {
      const std::string& name = one.before->name();
      step_.statistics.push_back(
          {name, add_named_output(make, one.after, "new_" + name), sizes_of(*one.before)});
    }
    step_.updated.parameters.clear();
    SKERRY_TRY(optimise::run_passes(graph, {.only = {"common-subexpressions", "dead-code"}}));
    return {};
  }

  // Weights that pruning has made zero stay so.
  void keep_zeros(Builder& make, Value*& fresh, const Value& parameter) const {
    const Constant& before = *model_.find(parameter.name())->constant();
    if (before.shape().size() < 2) return;
    std::vector<float> mask;
    for (const float value : before.as<float>()) mask.push_back(value == 0 ? 0.0F : 1.0F);
    fresh = make.mul(fresh, make.floats(before.shape(), mask));
  }

  const Graph& model_;
  const StepOptions& options_;
  Step step_;
  std::vector<Value*> parameters_;
  std::vector<RunningStatistic> statistics_;
  Value* loss_ = nullptr;
};

tensor::Tensor tensor_of(const Constant& constant, const std::string& name) {
  tensor::Tensor tensor{.name = name, .type = constant.type(), .shape = constant.shape()};
  tensor.bytes.assign(constant.bytes().begin(), constant.bytes().end());
  return tensor;
}

}  // namespace

std::vector<std::string> parameters_of(const Graph& model) {
  std::vector<std::string> names;
  std::set<const Value*> seen;
  for (const auto& node : model.nodes()) {
    for (const Value* input : node->inputs()) {
      const bool constant = input != nullptr && input->constant() != nullptr;
      if (!constant || input->type().element != DataType::kFp32) continue;
      if (is_read_as_parameter(*input) && seen.insert(input).second) names.push_back(input->name());
    }
  }
  return names;
}

Result<std::unique_ptr<Graph>> make_teacher(const Graph& model, int64_t batch,
                                            const std::string& features) {
  if (model.outputs().empty()) return fail(Code::kInvalidArgument, "the teacher has no output");
  SKERRY_ASSIGN(auto graph, with_batch(model, batch));
  while (graph->outputs().size() > 1) graph->remove_output(graph->outputs().size() - 1);
  if (!graph::sizes_of(graph->outputs()[0]->type())) {
    return fail(Code::kInvalidArgument, "the shape of the teacher's answers is not known");
  }
  graph->set_output(0, *scores_of(graph->outputs()[0], {}));
  if (features.empty()) return graph;
  Value* value = graph->find(features);
  if (value == nullptr || !graph::sizes_of(value->type())) {
    return fail(Code::kNotFound, "the teacher has no value '" + features + "' of known shape");
  }
  graph->add_output(*value);
  return graph;
}

Result<Step> make_step(const Graph& model, const StepOptions& options) {
  if (options.batch < 1) return fail(Code::kInvalidArgument, "a batch has at least one row");
  return StepMaker(model, options).make();
}

std::vector<Carried> Step::carried() const {
  std::vector<Carried> all = parameters;
  for (const auto* more : {&statistics, &updated.memory, &updated.averages}) {
    all.insert(all.end(), more->begin(), more->end());
  }
  return all;
}

std::vector<tensor::Tensor> Step::initial(const Graph& model) const {
  std::vector<tensor::Tensor> all;
  for (const auto* kept : {&parameters, &statistics}) {
    for (const Carried& one : *kept) {
      all.push_back(tensor_of(*model.find(one.input)->constant(), one.input));
    }
  }
  for (const Carried& one : updated.memory) {
    tensor::Tensor zeros{.name = one.input, .type = DataType::kFp32, .shape = one.shape};
    size_t count = 1;
    for (const int64_t size : one.shape) count *= static_cast<size_t>(size);
    zeros.bytes.resize(count * sizeof(float));
    all.push_back(std::move(zeros));
  }
  for (size_t i = 0; i < updated.averages.size(); ++i) {
    all.push_back(
        tensor_of(*model.find(parameters[i].input)->constant(), updated.averages[i].input));
  }
  return all;
}

std::unique_ptr<Graph> Step::trained(const Graph& model,
                                     const std::vector<tensor::Tensor>& values) const {
  auto copy = model.clone();
  for (const auto* kept : {&parameters, &statistics}) {
    for (const Carried& one : *kept) {
      const auto value = std::ranges::find(values, one.input, &tensor::Tensor::name);
      Value* old = copy->find(one.input);
      if (value == values.end() || old == nullptr) continue;
      auto constant = Constant::make(value->type, value->shape, value->bytes);
      if (!constant) continue;
      Value& fresh = copy->add_constant(one.input, std::move(*constant));
      copy->swap_names(*old, fresh);
      old->replace_uses(fresh);
      copy->erase(*old);
    }
  }
  return copy;
}

}  // namespace skerry::train
