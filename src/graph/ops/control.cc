// Operators with subgraphs. Their shape functions are for whole graphs; in a run every part has
// the shapes that it has.
#include <algorithm>

#include "graph/ops/common.h"
#include "graph/ops/families.h"

namespace skerry::graph::ops {
namespace {

// What both can be: dimensions that differ are open.
Result<Type> joined(const Inference& inference, const Type& a, const Type& b) {
  if (a.element != b.element) {
    return inference.refuse("a value is {} on one way and {} on another", to_string(a),
                            to_string(b));
  }
  if (!a.shape || !b.shape || a.rank() != b.rank()) return Type{a.element, std::nullopt};
  Shape shape = *a.shape;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] != (*b.shape)[i]) shape[i] = Dim();
  }
  return Type{a.element, std::move(shape)};
}

Result<void> infer_if(Inference& inference) {
  SKERRY_ASSIGN(const auto then_types, inference.subgraph_types(0, {}));
  SKERRY_ASSIGN(const auto else_types, inference.subgraph_types(1, {}));
  const size_t count = inference.output_count();
  if (then_types.size() != count || else_types.size() != count) {
    return inference.refuse("its branches give {} and {} values for {} outputs", then_types.size(),
                            else_types.size(), count);
  }
  for (size_t i = 0; i < count; ++i) {
    SKERRY_ASSIGN(Type type, joined(inference, then_types[i], else_types[i]));
    inference.set(i, type.element, std::move(type.shape));
  }
  return {};
}

Result<void> run_if(Evaluation& run) {
  if (run.in(0).count() != 1) return run.refuse("its condition is not one value");
  const bool condition = run.in(0).as<uint8_t>()[0] != 0;
  SKERRY_ASSIGN(auto results, run.run_subgraph(*run.node().subgraphs()[condition ? 0 : 1], {}));
  for (size_t i = 0; i < run.outputs.size(); ++i) run.out(i) = std::move(results[i]);
  return {};
}

// --- Loop: M, cond, carried… → carried…, scanned… ------------------------------------------------

Result<void> infer_loop(Inference& inference) {
  const Graph& body = *inference.node().subgraphs()[0];
  const size_t carried = inference.input_count() - std::min<size_t>(2, inference.input_count());
  if (body.inputs().size() != carried + 2 || body.outputs().size() < carried + 1 ||
      body.outputs().size() - 1 != inference.output_count()) {
    return inference.refuse("its body has {} inputs and {} outputs for {} carried values",
                            body.inputs().size(), body.outputs().size(), carried);
  }
  std::vector<Type> inputs = {{DataType::kInt64, Shape()}, {DataType::kBool, Shape()}};
  for (size_t i = 0; i < carried; ++i) {
    if (!inference.has(i + 2)) return inference.refuse("a carried value is absent");
    inputs.push_back(inference.type(i + 2));
  }
  std::vector<Type> results;
  // Shapes that change on the way round are open; at most each dimension once.
  for (int round = 0; round < 3; ++round) {
    SKERRY_ASSIGN(results, inference.subgraph_types(0, inputs));
    for (size_t i = 0; i < carried; ++i) {
      SKERRY_ASSIGN(inputs[i + 2], joined(inference, inputs[i + 2], results[i + 1]));
    }
  }
  for (size_t i = 0; i < inference.output_count(); ++i) {
    Type type = i < carried ? inputs[i + 2] : results[i + 1];
    if (i >= carried && type.shape) type.shape->insert(type.shape->begin(), Dim());
    inference.set(i, type.element, std::move(type.shape));
  }
  return {};
}

// The slices of all iterations on top of each other.
Result<void> stack(Evaluation& run, size_t output, const std::vector<Array>& slices, size_t axis,
                   const Type& empty) {
  if (slices.empty()) {
    std::vector<int64_t> shape = {0};
    for (const Dim& dim : empty.shape.value_or(Shape()))
      shape.push_back(dim.is_fixed() ? dim.size() : 0);
    return run.allocate(output, empty.element, std::move(shape));
  }
  std::vector<int64_t> shape = slices[0].shape;
  if (axis > shape.size()) return run.refuse("axis {} of its output", axis);
  shape.insert(shape.begin() + static_cast<int64_t>(axis), static_cast<int64_t>(slices.size()));
  SKERRY_TRY(run.allocate(output, slices[0].type, shape));
  const AxisView view = view_along(shape, axis);
  for (size_t s = 0; s < slices.size(); ++s) {
    if (slices[s].shape != slices[0].shape) return run.refuse("iterations give different shapes");
    move_elements(slices[s], run.out(output), [&](size_t i) {
      const auto at = static_cast<int64_t>(i);
      const bool mine = at / view.inner % view.size == static_cast<int64_t>(s);
      return mine ? at / view.inner / view.size * view.inner + at % view.inner : -1;
    });
  }
  return {};
}

Array bool_array(bool value) {
  Array array{.type = DataType::kBool};
  array.bytes.assign(1, std::byte(value ? 1 : 0));
  return array;
}

Array int_array(int64_t value) {
  return Array::from(Constant::of_int(value).view());
}

Result<bool> truth(const Evaluation& run, const Array& array) {
  if (array.type != DataType::kBool || array.count() != 1) {
    return run.refuse("its condition is not one truth value");
  }
  return array.as<uint8_t>()[0] != 0;
}

Result<void> run_loop(Evaluation& run) {
  const Graph& body = *run.node().subgraphs()[0];
  const size_t carried_count = run.input_count() - std::min<size_t>(2, run.input_count());
  const int64_t limit = run.has(0) && run.in(0).count() == 1 ? run.in(0).to_ints()[0] : INT64_MAX;
  bool condition = true;
  if (run.has(1)) {
    SKERRY_ASSIGN(condition, truth(run, run.in(1)));
  }
  std::vector<Array> carried;
  for (size_t i = 0; i < carried_count; ++i) carried.push_back(run.in(i + 2));
  std::vector<std::vector<Array>> scanned(run.outputs.size() - carried_count);
  for (int64_t n = 0; n < limit && condition; ++n) {
    std::vector<Array> inputs = {int_array(n), bool_array(condition)};
    for (Array& value : carried) inputs.push_back(std::move(value));
    SKERRY_ASSIGN(auto results, run.run_subgraph(body, std::move(inputs)));
    SKERRY_ASSIGN(condition, truth(run, results[0]));
    for (size_t i = 0; i < carried_count; ++i) carried[i] = std::move(results[i + 1]);
    for (size_t i = 0; i < scanned.size(); ++i) {
      scanned[i].push_back(std::move(results[i + 1 + carried_count]));
    }
  }
  for (size_t i = 0; i < carried_count; ++i) run.out(i) = std::move(carried[i]);
  for (size_t i = 0; i < scanned.size(); ++i) {
    SKERRY_TRY(stack(run, carried_count + i, scanned[i], 0,
                     body.outputs()[1 + carried_count + i]->type()));
  }
  return {};
}

// --- Scan: state…, sequences… → state…, sequences…
// ------------------------------------------------

struct ScanForm {
  size_t states = 0, sequences = 0;
  std::vector<int64_t> in_axes, in_reverse, out_axes, out_reverse;
};

Result<ScanForm> scan_form(const Node& node, size_t inputs) {
  ScanForm form;
  const Graph& body = *node.subgraphs()[0];
  const int64_t sequences = node.int_of("num_scan_inputs");
  if (sequences < 1 || static_cast<size_t>(sequences) > inputs || body.inputs().size() != inputs ||
      body.outputs().size() != node.outputs().size() ||
      body.outputs().size() + static_cast<size_t>(sequences) < inputs) {
    return fail(Code::kInvalidArgument,
                node.describe() + ": its body does not go with its inputs and outputs");
  }
  form.sequences = static_cast<size_t>(sequences);
  form.states = inputs - form.sequences;
  form.in_axes = node.ints_of("scan_input_axes");
  form.in_reverse = node.ints_of("scan_input_directions");
  form.out_axes = node.ints_of("scan_output_axes");
  form.out_reverse = node.ints_of("scan_output_directions");
  form.in_axes.resize(form.sequences, 0);
  form.in_reverse.resize(form.sequences, 0);
  form.out_axes.resize(node.outputs().size() - form.states, 0);
  form.out_reverse.resize(node.outputs().size() - form.states, 0);
  return form;
}

Result<void> infer_scan(Inference& inference) {
  SKERRY_ASSIGN(const ScanForm form, scan_form(inference.node(), inference.input_count()));
  std::vector<Type> inputs;
  Dim length;
  for (size_t i = 0; i < inference.input_count(); ++i) {
    inputs.push_back(inference.type(i));
    if (i < form.states || !inputs[i].shape) continue;
    SKERRY_ASSIGN(const size_t axis,
                  inference.axis(form.in_axes[i - form.states], inputs[i].rank()));
    const auto at = inputs[i].shape->begin() + static_cast<int64_t>(axis);
    if (at->is_fixed() || length.is_unknown()) length = *at;
    inputs[i].shape->erase(at);
  }
  SKERRY_ASSIGN(const auto results, inference.subgraph_types(0, inputs));
  for (size_t i = 0; i < results.size(); ++i) {
    Type type = results[i];
    if (i >= form.states && type.shape) {
      SKERRY_ASSIGN(const size_t axis,
                    inference.axis(form.out_axes[i - form.states], type.rank() + 1));
      type.shape->insert(type.shape->begin() + static_cast<int64_t>(axis), length);
    }
    inference.set(i, type.element, std::move(type.shape));
  }
  return {};
}

Array slice_at(const Array& in, size_t axis, int64_t at) {
  const AxisView view = view_along(in.shape, axis);
  Array out{.type = in.type, .shape = in.shape};
  out.shape.erase(out.shape.begin() + static_cast<int64_t>(axis));
  const auto count = static_cast<size_t>(view.outer * view.inner);
  if (in.type == DataType::kBytes) {
    out.strings.resize(count);
  } else {
    out.bytes.resize(count * Array::element_size(in.type));
  }
  move_elements(in, out, [&](size_t i) {
    const auto index = static_cast<int64_t>(i);
    return (index / view.inner * view.size + at) * view.inner + index % view.inner;
  });
  return out;
}

Result<void> run_scan(Evaluation& run) {
  SKERRY_ASSIGN(const ScanForm form, scan_form(run.node(), run.input_count()));
  const Graph& body = *run.node().subgraphs()[0];
  const Inference inference(run.node(), {}, {});
  std::vector<Array> states;
  for (size_t i = 0; i < form.states; ++i) states.push_back(run.in(i));
  std::vector<size_t> axes;
  for (size_t i = 0; i < form.sequences; ++i) {
    SKERRY_ASSIGN(const size_t axis,
                  inference.axis(form.in_axes[i], run.in(form.states + i).rank()));
    axes.push_back(axis);
  }
  const int64_t length = run.in(form.states).shape[axes[0]];
  for (size_t i = 0; i < form.sequences; ++i) {
    if (run.in(form.states + i).shape[axes[i]] != length) return run.refuse("lengths differ");
  }
  std::vector<std::vector<Array>> scanned(run.outputs.size() - form.states);
  for (int64_t n = 0; n < length; ++n) {
    std::vector<Array> inputs = std::move(states);
    states.clear();
    for (size_t i = 0; i < form.sequences; ++i) {
      const int64_t at = form.in_reverse[i] != 0 ? length - 1 - n : n;
      inputs.push_back(slice_at(run.in(form.states + i), axes[i], at));
    }
    SKERRY_ASSIGN(auto results, run.run_subgraph(body, std::move(inputs)));
    for (size_t i = 0; i < results.size(); ++i) {
      if (i < form.states) {
        states.push_back(std::move(results[i]));
      } else {
        scanned[i - form.states].push_back(std::move(results[i]));
      }
    }
  }
  for (size_t i = 0; i < form.states; ++i) run.out(i) = std::move(states[i]);
  for (size_t i = 0; i < scanned.size(); ++i) {
    if (form.out_reverse[i] != 0) std::ranges::reverse(scanned[i]);
    const size_t rank = scanned[i].empty() ? 0 : scanned[i][0].rank();
    SKERRY_ASSIGN(const size_t axis, inference.axis(form.out_axes[i], rank + 1));
    SKERRY_TRY(
        stack(run, form.states + i, scanned[i], axis, body.outputs()[form.states + i]->type()));
  }
  return {};
}

}  // namespace

std::span<const OperatorRow> control_rows() {
  constexpr auto kBytes = Halves::kAsBytes;
  static const OperatorRow kRows[] = {
      {"If", "cond:b -> outputs+", "then_branch:graph else_branch:graph", infer_if, run_if, nullptr,
       kBytes},
      {"Loop", "M?:i cond?:b v_initial* -> v_final_and_scan_outputs+", "body:graph", infer_loop,
       run_loop, nullptr, kBytes},
      {"Scan", "initial_state_and_scan_inputs+ -> final_state_and_scan_outputs+",
       "body:graph num_scan_inputs:int! scan_input_axes:ints scan_input_directions:ints "
       "scan_output_axes:ints scan_output_directions:ints",
       infer_scan, run_scan, nullptr, kBytes},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
