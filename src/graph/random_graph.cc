// Grows a graph node by node from the makers of graph/random/, and takes one apart.
#include "graph/random_graph.h"

#include <algorithm>

#include "base/check.h"
#include "graph/evaluation.h"
#include "graph/operator.h"
#include "graph/random/builder.h"
#include "graph/verify.h"

namespace skerry::graph {
namespace {

using random::Builder;
using random::Maker;

bool is_allowed(const Maker& maker, const RandomGraphOptions& options) {
  if (options.continuous && !maker.continuous) return false;
  if (!options.allows) return true;
  for (std::string_view ops = maker.ops; !ops.empty();) {
    const size_t end = std::min(ops.find(' '), ops.size());
    const auto op = Op::find(ops.substr(0, end));
    SKERRY_CHECK(op.has_value(), "a maker of an operator that is none");
    if (!options.allows(*op)) return false;
    ops.remove_prefix(std::min(end + 1, ops.size()));
  }
  return true;
}

using Family = std::vector<const Maker*>;

std::vector<Family> families_of(const RandomGraphOptions& options) {
  std::vector<std::span<const Maker>> all = {random::element_makers(), random::layer_makers(),
                                             random::layer_makers(), random::movement_makers(),
                                             random::quantised_makers()};
  if (options.subgraphs) all.push_back(random::control_makers());
  std::vector<Family> families;
  for (const auto& makers : all) {
    Family family;
    for (const Maker& maker : makers) {
      if (is_allowed(maker, options)) family.push_back(&maker);
    }
    if (!family.empty()) families.push_back(std::move(family));
  }
  return families;
}

void add_inputs(Builder& builder) {
  static const std::vector<std::vector<int64_t>> kTails = {
      {4}, {6}, {3, 5}, {4, 4}, {3, 6, 6}, {4, 5, 7}, {2, 4, 4}, {8, 8, 1}, {1, 8, 8}};
  for (int64_t i = builder.between(1, 2); i > 0; --i) {
    Shape shape = fixed_shape(builder.one_of(kTails));
    const bool open = builder.options().open_batch && builder.chance(30);
    shape.insert(shape.begin(), open ? Dim::named("batch") : Dim(builder.between(1, 2)));
    builder.offer(&builder.graph().add_input("x", {DataType::kFp32, std::move(shape)}));
  }
}

// Nodes, constants and (where `inputs`) inputs that nothing reads.
void erase_unused(Graph& graph, bool inputs) {
  for (bool changed = true; changed;) {
    changed = false;
    std::vector<Node*> nodes;
    for (const auto& node : graph.nodes()) nodes.push_back(node.get());
    for (Node* node : nodes) {
      const bool used = std::ranges::any_of(
          node->outputs(), [](const auto& output) { return output && !output->uses().empty(); });
      if (used) continue;
      graph.erase(*node);
      changed = true;
    }
  }
  std::vector<Value*> values;
  for (const auto& constant : graph.constants()) values.push_back(constant.get());
  for (const auto& input : graph.inputs()) {
    if (inputs) values.push_back(input.get());
  }
  for (Value* value : values) {
    if (value->uses().empty()) graph.erase(*value);
  }
}

}  // namespace

std::unique_ptr<Graph> random_graph(uint64_t seed, const RandomGraphOptions& options) {
  auto graph = std::make_unique<Graph>();
  graph->name = "random";
  Builder builder(*graph, seed, options);
  const std::vector<Family> families = families_of(options);
  SKERRY_CHECK(!families.empty(), "no operator is allowed");
  add_inputs(builder);
  const auto most = static_cast<int64_t>(options.nodes);
  const auto wanted = static_cast<size_t>(builder.between((most + 1) / 2, most));
  // Makers find nothing that suits them again and again; some options leave few that do.
  for (int tries = 0; graph->nodes().size() < wanted && tries < 500; ++tries) {
    (void)builder.one_of(builder.one_of(families))->make(builder);
  }
  for (const auto& node : graph->nodes()) {
    for (const auto& output : node->outputs()) {
      const bool is_offered =
          std::ranges::find(builder.values(), output.get()) != builder.values().end();
      if (output && output->uses().empty() && is_offered) graph->add_output(*output);
    }
  }
  if (graph->outputs().empty()) graph->add_output(graph->add("Identity", {builder.values()[0]}));
  erase_unused(*graph, true);
  SKERRY_CHECK(TypeInference().infer(*graph), "a random graph without types");
  const auto verified = verify(*graph);
  SKERRY_CHECK(verified, "a random graph is none: " + verified.error().message());
  return graph;
}

std::vector<tensor::Tensor> random_inputs(const Graph& graph, uint64_t seed, int64_t open_size) {
  std::mt19937_64 random(seed);
  std::vector<tensor::Tensor> inputs;
  for (const auto& input : graph.inputs()) {
    const Type& type = input->type();
    SKERRY_CHECK(type.shape && type.element != DataType::kBytes, "an input that nobody can make");
    std::vector<int64_t> shape;
    for (const Dim& dim : *type.shape) shape.push_back(dim.is_fixed() ? dim.size() : open_size);
    auto wide = Array::make(DataType::kFp64, shape, uint64_t{1} << 30);
    auto array = Array::make(type.element, shape, uint64_t{1} << 30);
    SKERRY_CHECK(wide && array, "an input that is too large");
    for (double& value : wide->as<double>()) {
      // Few bits, as with the weights.
      value = static_cast<double>(static_cast<int64_t>(random() % 513) - 256) / 128;
    }
    if (tensor::is_float(type.element)) {
      inputs.push_back(convert_float(*wide, type.element).to_tensor(input->name()));
      continue;
    }
    const size_t size = Array::element_size(type.element);
    for (size_t i = 0; i < array->count(); ++i) {
      array->bytes[i * size] = std::byte(random() % (type.element == DataType::kBool ? 2 : 7));
    }
    inputs.push_back(array->to_tensor(input->name()));
  }
  return inputs;
}

// --- Shrinking ----------------------------------------------------------------------------------

namespace {

Node* node_at(Graph& graph, size_t index) {
  auto at = graph.nodes().begin();
  std::advance(at, static_cast<std::ptrdiff_t>(index));
  return at->get();
}

// Values are cut off from what makes them: they become inputs.
bool cut_above(Graph& graph, size_t index) {
  Node* node = node_at(graph, index);
  for (const auto& output : node->outputs()) {
    if (!output || output->uses().empty()) continue;
    output->replace_uses(graph.add_input("cut", output->type()));
  }
  return true;
}

// A node is passed over: what reads it reads one of its inputs.
bool bypass(Graph& graph, size_t index) {
  Node* node = node_at(graph, index);
  Value* output = node->output(0);
  for (Value* input : node->inputs()) {
    if (input == nullptr || output == nullptr || input->constant() != nullptr) continue;
    if (input->type().element != output->type().element ||
        input->type().shape != output->type().shape) {
      continue;
    }
    output->replace_uses(*input);
    return true;
  }
  return false;
}

// What is behind a node goes: its output is the graph's.
bool cut_below(Graph& graph, size_t index) {
  Value* output = node_at(graph, index)->output(0);
  if (output == nullptr) return false;
  graph.set_output(0, *output);
  while (graph.outputs().size() > 1) graph.remove_output(1);
  return true;
}

bool drop_output(Graph& graph, size_t index) {
  if (index >= graph.outputs().size() || graph.outputs().size() == 1) return false;
  graph.remove_output(index);
  return true;
}

size_t size_of(const Graph& graph) {
  return 4 * graph.nodes().size() + 2 * graph.outputs().size() + graph.inputs().size();
}

}  // namespace

std::unique_ptr<Graph> shrunk(const Graph& graph, const std::function<bool(const Graph&)>& fails) {
  constexpr bool (*kChanges[])(Graph&, size_t) = {drop_output, cut_below, cut_above, bypass};
  std::unique_ptr<Graph> smallest = graph.clone();
  for (bool smaller = true; smaller;) {
    smaller = false;
    for (const auto change : kChanges) {
      for (size_t i = 0; i < smallest->nodes().size(); ++i) {
        auto candidate = smallest->clone();
        if (!change(*candidate, i)) continue;
        erase_unused(*candidate, true);
        if (size_of(*candidate) >= size_of(*smallest)) continue;
        if (!TypeInference().infer(*candidate) || !verify(*candidate)) continue;
        if (!fails(*candidate)) continue;
        smallest = std::move(candidate);
        smaller = true;
      }
    }
  }
  return smallest;
}

}  // namespace skerry::graph
