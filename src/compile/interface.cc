// Names are looked up here, once; everything behind works with places.
#include "compile/interface.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "graph/evaluation.h"
#include "graph/inference.h"
#include "graph/verify.h"

namespace skerry::compile {
namespace {

using graph::Graph;
using graph::Value;

template <class Values>
Result<size_t> place_of(const Values& values, std::string_view name, std::string_view what) {
  std::string names;
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i]->name() == name) return i;
    names += fmt::format("{}'{}'", i == 0 ? "" : ", ", values[i]->name());
  }
  return fail(Code::kInvalidArgument,
              fmt::format("the model has no {} '{}'; it has {}", what, name, names));
}

Result<void> set_shapes(Graph& graph, const InterfaceOptions& options) {
  for (const auto& [name, sizes] : options.shapes) {
    SKERRY_ASSIGN(const size_t at, place_of(graph.inputs(), name, "input"));
    graph::Type type = graph.inputs()[at]->type();
    bool fits = !type.shape || type.rank() == sizes.size();
    for (size_t i = 0; fits && i < sizes.size(); ++i) {
      const bool is_other =
          type.shape && (*type.shape)[i].is_fixed() && (*type.shape)[i].size() != sizes[i];
      fits = sizes[i] > 0 && !is_other;
    }
    if (!fits) {
      return fail(Code::kInvalidArgument,
                  fmt::format("the input '{}' is {}: [{}] is no shape of it", name, to_string(type),
                              fmt::join(sizes, ",")));
    }
    type.shape = graph::fixed_shape(sizes);
    graph.inputs()[at]->set_type(std::move(type));
  }
  for (const auto& input : graph.inputs()) {
    graph::Type type = input->type();
    if (!type.shape) {
      return fail(Code::kUnsupported,
                  fmt::format("the input '{}' is {}: compiled models have inputs of one shape "
                              "(--shape)",
                              input->name(), to_string(type)));
    }
    for (graph::Dim& dim : *type.shape) dim = dim.is_fixed() ? dim : graph::Dim(1);
    input->set_type(std::move(type));
  }
  return {};
}

Result<graph::Constant> constant_of(const Value& input, double value) {
  SKERRY_ASSIGN(auto array, graph::Array::make(input.type().element, *graph::sizes_of(input.type()),
                                               uint64_t{1} << 30));
  const auto refused = [&] {
    return fail(Code::kInvalidArgument, fmt::format("{} is no value of the input '{}', which is {}",
                                                    value, input.name(), to_string(input.type())));
  };
  const auto fill = [&]<class T>(T) -> Result<void> {
    const bool is_integer = std::is_integral_v<T>;
    if (is_integer && (value != std::floor(value) ||
                       value < static_cast<double>(std::numeric_limits<T>::lowest()) ||
                       value >= std::ldexp(1.0, std::numeric_limits<T>::digits))) {
      return refused();
    }
    std::ranges::fill(array.template as<T>(), static_cast<T>(value));
    return {};
  };
  switch (input.type().element) {
    case tensor::DataType::kFp32:
      SKERRY_TRY(fill(float{}));
      break;
    case tensor::DataType::kBool:
      if (value != 0 && value != 1) return refused();
      [[fallthrough]];
    case tensor::DataType::kUint8:
      SKERRY_TRY(fill(uint8_t{}));
      break;
    case tensor::DataType::kInt8:
      SKERRY_TRY(fill(int8_t{}));
      break;
    case tensor::DataType::kInt32:
      SKERRY_TRY(fill(int32_t{}));
      break;
    case tensor::DataType::kInt64:
      SKERRY_TRY(fill(int64_t{}));
      break;
    default:
      return refused();
  }
  return graph::Constant::make(array.type, array.shape, std::move(array.bytes));
}

}  // namespace

const FixedInput* Interface::fixed_input(size_t input) const {
  const auto found = std::ranges::find(fixed, input, &FixedInput::input);
  return found == fixed.end() ? nullptr : &*found;
}
const StatePair* Interface::state_of_input(size_t input) const {
  const auto found = std::ranges::find(states, input, &StatePair::input);
  return found == states.end() ? nullptr : &*found;
}
const StatePair* Interface::state_of_output(size_t output) const {
  const auto found = std::ranges::find(states, output, &StatePair::output);
  return found == states.end() ? nullptr : &*found;
}

Result<std::unique_ptr<Graph>> with_interface(const Graph& graph, const InterfaceOptions& options,
                                              Interface& interface) {
  auto copy = graph.clone();
  SKERRY_TRY(set_shapes(*copy, options));
  for (const auto& [name, value] : options.values) {
    SKERRY_ASSIGN(const size_t at, place_of(copy->inputs(), name, "input"));
    Value& input = *copy->inputs()[at];
    SKERRY_ASSIGN(graph::Constant constant, constant_of(input, value));
    input.replace_uses(copy->add_constant(name + ".value", constant));
    interface.fixed.push_back({at, std::move(constant)});
  }
  graph::TypeInference inference;
  SKERRY_TRY(inference.infer(*copy));
  return copy;
}

Result<void> find_states(const Graph& graph, const InterfaceOptions& options,
                         Interface& interface) {
  for (const auto& [from, to] : options.states) {
    StatePair pair;
    SKERRY_ASSIGN(pair.input, place_of(graph.inputs(), from, "input"));
    SKERRY_ASSIGN(pair.output, place_of(graph.outputs(), to, "output"));
    const graph::Type& before = graph.inputs()[pair.input]->type();
    const graph::Type& after = graph.outputs()[pair.output]->type();
    if (before.element != after.element || before.shape != after.shape) {
      return fail(Code::kInvalidArgument,
                  fmt::format("'{}' is {} and '{}' is {}: state has one type", from,
                              to_string(before), to, to_string(after)));
    }
    if (interface.state_of_input(pair.input) != nullptr ||
        interface.state_of_output(pair.output) != nullptr ||
        interface.fixed_input(pair.input) != nullptr) {
      return fail(Code::kInvalidArgument, fmt::format("'{}' or '{}' is named twice", from, to));
    }
    interface.states.push_back(pair);
  }
  return {};
}

}  // namespace skerry::compile
