// Weights by their place in the layer that reads them.
#include "train/adapt.h"

#include <fnmatch.h>

#include <algorithm>
#include <cmath>

#include "train/draw.h"
#include "train/step.h"

namespace skerry::train {
namespace {

constexpr uint64_t kWeights = 4;

// The same name, another constant.
void replace_constant(Graph& model, Value& old, const Sizes& shape,
                      const std::vector<float>& values) {
  Value& fresh = model.add_constant(old.name(), Constant::of(DataType::kFp32, shape, values));
  model.swap_names(old, fresh);
  old.replace_uses(fresh);
  model.erase(old);
}

std::vector<float> drawn(Draw& draw, const Sizes& shape, double fan_in, double gain) {
  size_t count = 1;
  for (const int64_t size : shape) count *= static_cast<size_t>(size);
  std::vector<float> values(count);
  const double deviation = std::sqrt(gain / std::max(fan_in, 1.0));
  for (float& value : values) value = static_cast<float>(deviation * draw.normal());
  return values;
}

bool is_norm(const Node& node) {
  return node.op().name().ends_with("Normalization");
}

// How many inputs one output of the weights sums.
double fan_in(const Node& node, const Sizes& shape) {
  if (shape.size() < 2) return 1;
  if (node.op() == "MatMul") return static_cast<double>(shape[shape.size() - 2]);
  if (node.op() == "Gemm") {
    return static_cast<double>(node.int_of("transB") != 0 ? shape[1] : shape[0]);
  }
  if (node.op() == "LSTM") return static_cast<double>(shape.back());
  double count = node.op() == "ConvTranspose" ? static_cast<double>(shape[0]) : 1;
  for (size_t i = node.op() == "ConvTranspose" ? 2 : 1; i < shape.size(); ++i) {
    count *= static_cast<double>(shape[i]);
  }
  return count;
}

const Node& reader_of(const Value& value) {
  const Node* node = value.uses()[0].node;
  while (node->op() == "Transpose" || node->op() == "Reshape" || node->op() == "Identity") {
    const auto& uses = node->output(0)->uses();
    if (uses.empty() || uses[0].node == nullptr) break;
    node = uses[0].node;
  }
  return *node;
}

bool is_last(Op op) {
  return op == "Gemm" || op == "MatMul";
}

bool passes_through(const Node& node) {
  for (const Op op :
       {Op("Softmax"), Op("LogSoftmax"), Op("Sigmoid"), Op("Identity"), Op("Dropout"), Op("Add")}) {
    if (node.op() == op) return true;
  }
  return false;
}

// The last layer and what is added behind it.
struct Head {
  Node* layer = nullptr;
  Value* added = nullptr;  // a constant
};

Head head_of(const Graph& model) {
  Head head;
  Value* value = model.outputs().empty() ? nullptr : model.outputs()[0];
  while (value != nullptr && value->producer() != nullptr) {
    Node& node = *value->producer();
    if (is_last(node.op()) && node.input(1)->constant() != nullptr) {
      head.layer = &node;
      return head;
    }
    if (!passes_through(node)) break;
    value = node.input(0);
    if (node.op() == "Add") {
      const bool first = node.input(0)->constant() != nullptr;
      if (!first && node.input(1)->constant() == nullptr) break;
      head.added = node.input(first ? 0 : 1);
      value = node.input(first ? 1 : 0);
    }
  }
  return {};
}

}  // namespace

void reinitialise(Graph& model, uint64_t seed) {
  Draw draw(seed, kWeights);
  for (const std::string& name : parameters_of(model)) {
    Value& value = *model.find(name);
    const Node& node = reader_of(value);
    const Sizes shape = value.constant()->shape();
    const auto count = value.constant()->count();
    const auto at = std::ranges::find(node.inputs(), &value) - node.inputs().begin();
    std::vector<float> values;
    if (is_norm(node)) {
      values.assign(count, at == 1 ? 1.0F : 0.0F);
    } else if (node.op() == "PRelu") {
      values.assign(count, 0.25F);
    } else if (shape.size() < 2 || node.op() == "Add" || (node.op() == "LSTM" && at == 3)) {
      values.assign(count, 0);
    } else {
      values = drawn(draw, shape, fan_in(node, shape), node.op() == "LSTM" ? 1 : 2);
    }
    replace_constant(model, value, shape, values);
  }
  for (const auto& node : model.nodes()) {
    if (node->op() != "BatchNormalization") continue;
    for (const size_t index : {size_t{3}, size_t{4}}) {
      Value* value = node->input(index);
      if (value->constant() == nullptr || value->type().element != DataType::kFp32) continue;
      replace_constant(model, *value, value->constant()->shape(),
                       std::vector<float>(value->constant()->count(), index == 3 ? 0.0F : 1.0F));
    }
  }
}

Result<void> replace_head(Graph& model, int64_t classes, uint64_t seed) {
  if (classes < 1) return fail(Code::kInvalidArgument, "a head has at least one class");
  const Head head = head_of(model);
  const bool plain = head.layer != nullptr &&
                     head.layer->input(1)->constant()->shape().size() == 2 &&
                     head.layer->input(1)->uses().size() == 1;
  if (!plain) {
    return fail(Code::kUnsupported,
                "the model does not end with a layer of its own weights (Gemm or MatMul), so that "
                "it cannot get another head");
  }
  Node& layer = *head.layer;
  const bool turned = layer.op() == "Gemm" && layer.int_of("transB") != 0;
  Sizes shape = layer.input(1)->constant()->shape();
  const int64_t inputs = shape[turned ? 1 : 0];
  shape = turned ? Sizes{classes, inputs} : Sizes{inputs, classes};
  Draw draw(seed, kWeights);
  replace_constant(model, *layer.input(1), shape,
                   drawn(draw, shape, static_cast<double>(inputs), 1));
  Value* bias = layer.op() == "Gemm" ? layer.input(2) : nullptr;
  for (Value* value : {bias, head.added}) {
    if (value == nullptr || value->constant() == nullptr) continue;
    replace_constant(model, *value, {classes}, std::vector<float>(static_cast<size_t>(classes), 0));
  }
  graph::TypeInference inference;
  return inference.infer(model);
}

Result<std::set<std::string, std::less<>>> frozen_by(const Graph& model,
                                                     const std::vector<std::string>& patterns) {
  std::set<std::string, std::less<>> frozen;
  const auto names = parameters_of(model);
  for (const std::string& pattern : patterns) {
    if (pattern == "body") {
      const Head head = head_of(model);
      if (head.layer == nullptr) return fail(Code::kUnsupported, "the model has no last layer");
      for (const std::string& name : names) {
        const Value* value = model.find(name);
        const bool of_head =
            value == head.added ||
            std::ranges::find(head.layer->inputs(), value) != head.layer->inputs().end();
        if (!of_head) frozen.insert(name);
      }
      continue;
    }
    size_t found = 0;
    for (const std::string& name : names) {
      const Node& node = reader_of(*model.find(name));
      if (fnmatch(pattern.c_str(), name.c_str(), 0) == 0 ||
          fnmatch(pattern.c_str(), node.name().c_str(), 0) == 0) {
        frozen.insert(name);
        ++found;
      }
    }
    if (found == 0) {
      return fail(Code::kNotFound, "no parameter and no layer is called '" + pattern +
                                       "'; skerry model inspect shows them");
    }
  }
  return frozen;
}

}  // namespace skerry::train
