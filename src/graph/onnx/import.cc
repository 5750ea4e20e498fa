// From protobuf messages to a graph. Names of values are looked up from the innermost scope out;
// the nodes of a function are made where it is called, in a scope of their own.
#include "graph/onnx/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <filesystem>
#include <unordered_set>

#include "graph/inference.h"
#include "graph/onnx/properties.h"
#include "graph/onnx/proto.h"
#include "graph/onnx/tensors.h"
#include "graph/onnx/upgrade.h"
#include "graph/verify.h"

namespace skerry::graph::onnx {
namespace {

constexpr int kMaxDepth = 32;                  // of subgraphs and of functions that call functions
constexpr size_t kMaxNodes = size_t{1} << 18;  // functions multiply what a file holds
constexpr size_t kMaxRank = 64;
constexpr int64_t kOldestOpset = 1;  // before 7, what has the form of 7
constexpr int64_t kNewestOpset = 23;

using Opsets = std::map<std::string_view, int64_t>;

std::string describe(const NodeProto& node) {
  const std::string_view name = !node.name.empty()      ? node.name
                                : !node.outputs.empty() ? node.outputs[0]
                                                        : "";
  const std::string domain =
      node.domain.empty() || node.domain == "ai.onnx.ml" ? "" : std::string(node.domain) + ".";
  return fmt::format("{}{} '{}'", domain, node.op_type, name);
}

// Operators that import knows under other names than a graph.
bool is_known(const NodeProto& node) {
  for (const std::string_view other : {"Constant", "Upsample", "Scatter"}) {
    if (node.op_type == other && node.domain.empty()) return true;
  }
  if (node.op_type == "ZipMap" && node.domain == "ai.onnx.ml") return true;
  const auto op = Op::find(node.op_type);
  return op && op->domain() == node.domain;
}

struct Scope {
  std::unordered_map<std::string_view, Value*> values;
  const Scope* outer = nullptr;
  const FunctionProto* function = nullptr;  // whose nodes are made, and what it was called with
  const std::map<std::string_view, const AttributeProto*>* arguments = nullptr;
  const Opsets* opsets = nullptr;

  Value* find(std::string_view name) const {
    for (const Scope* scope = this; scope != nullptr; scope = scope->outer) {
      const auto found = scope->values.find(name);
      if (found != scope->values.end()) return found->second;
    }
    return nullptr;
  }
};

// Indices of `nodes` in an order in which each reads what is made before; as they are where that
// is so already.
class NodeOrder {
 public:
  static Result<std::vector<size_t>> of(const std::vector<NodeProto>& nodes) {
    NodeOrder order;
    return order.find(nodes);
  }

 private:
  // Names that a node reads, itself or in its subgraphs.
  Result<void> collect(const NodeProto& node, std::vector<std::string_view>& names, int depth) {
    if (depth > kMaxDepth) return fail(Code::kUnsupported, "subgraphs are nested too deep");
    names.insert(names.end(), node.inputs.begin(), node.inputs.end());
    for (const AttributeProto& attribute : node.attributes) {
      if (attribute.g.empty()) continue;
      SKERRY_ASSIGN(const GraphProto graph, parse_graph(attribute.g));
      for (const NodeProto& inner : graph.nodes) SKERRY_TRY(collect(inner, names, depth + 1));
      for (const ValueProto& output : graph.outputs) names.push_back(output.name);
    }
    return {};
  }

  Result<std::vector<size_t>> find(const std::vector<NodeProto>& nodes) {
    std::unordered_map<std::string_view, size_t> producer;
    for (size_t i = 0; i < nodes.size(); ++i) {
      for (const std::string_view output : nodes[i].outputs) producer.try_emplace(output, i);
    }
    std::vector<std::vector<size_t>> readers(nodes.size());
    std::vector<size_t> waits(nodes.size(), 0);
    std::vector<std::string_view> names;
    bool sorted = true;
    for (size_t i = 0; i < nodes.size(); ++i) {
      names.clear();
      SKERRY_TRY(collect(nodes[i], names, 0));
      for (const std::string_view name : names) {
        const auto made = producer.find(name);
        // A subgraph may have its own value of that name: a node never waits for itself there.
        if (made == producer.end() || name.empty()) continue;
        const bool direct = std::ranges::find(nodes[i].inputs, name) != nodes[i].inputs.end();
        if (made->second == i && !direct) continue;
        sorted = sorted && made->second < i;
        readers[made->second].push_back(i);
        ++waits[i];
      }
    }
    std::vector<size_t> order;
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (sorted || waits[i] == 0) order.push_back(i);
    }
    for (size_t i = 0; !sorted && i < order.size(); ++i) {
      for (const size_t reader : readers[order[i]]) {
        if (--waits[reader] == 0) order.push_back(reader);
      }
    }
    if (order.size() == nodes.size()) return order;
    const auto stuck = std::ranges::find_if(waits, [](size_t count) { return count > 0; });
    return fail(Code::kInvalidArgument,
                describe(nodes[static_cast<size_t>(stuck - waits.begin())]) +
                    " waits for its own output: the graph has a cycle");
  }
};

class Importer {
 public:
  Importer(const ModelProto& model, TensorSource& tensors) : model_(model), tensors_(tensors) {
    for (const FunctionProto& function : model.functions) {
      functions_[{function.domain, function.name, function.overload}] = &function;
    }
  }

  Result<std::unique_ptr<Graph>> import() {
    auto graph = std::make_unique<Graph>();
    Scope scope{.opsets = &model_.opsets};
    SKERRY_TRY(fill(*graph, model_.graph, scope, 0, {}));
    SKERRY_TRY(verify(*graph));
    return graph;
  }

 private:
  // `types`: of the inputs that do not say theirs, as far as they are known.
  Result<void> fill(Graph& graph, std::string_view bytes, Scope& scope, int depth,
                    const std::vector<Type>& types);
  Result<void> add_inputs(Graph& graph, const GraphProto& proto, Scope& scope,
                          const std::vector<Type>& types);
  Result<void> add_nodes(Graph& graph, const std::vector<NodeProto>& nodes, Scope& scope,
                         int depth);
  Result<void> add_node(Graph& graph, const NodeProto& proto, Scope& scope, int depth);
  Result<void> add_constant(Graph& graph, const NodeProto& proto, Scope& scope);
  Result<void> pass_over(const NodeProto& proto, Scope& scope);
  Result<void> add_call(Graph& graph, const NodeProto& proto, const FunctionProto& function,
                        Scope& scope, int depth);
  Result<std::vector<Value*>> inputs_of(const NodeProto& proto, const Scope& scope);
  Result<void> finish(Graph& graph, Pending& pending, const NodeProto& proto, Scope& scope,
                      int depth);
  Result<Attribute> attribute_of(const AttributeProto& proto);
  Result<const AttributeProto*> resolved(const AttributeProto& proto, const Scope& scope);
  Result<void> check_and_infer(Node& node);
  Result<void> bind(Scope& scope, std::string_view name, Value* value);

  const ModelProto& model_;
  TensorSource& tensors_;
  TypeInference inference_;
  std::map<std::tuple<std::string_view, std::string_view, std::string_view>, const FunctionProto*>
      functions_;
  size_t nodes_ = 0;
};

Result<void> Importer::bind(Scope& scope, std::string_view name, Value* value) {
  if (name.empty() || scope.values.emplace(name, value).second) return {};
  return fail(Code::kInvalidArgument, fmt::format("the value '{}' is made twice", name));
}

Result<void> check_rank(const Type& type) {
  if (!type.shape || type.rank() <= kMaxRank) return {};
  return fail(Code::kUnsupported, fmt::format("{} dimensions are too many", type.rank()));
}

Result<void> Importer::check_and_infer(Node& node) {
  SKERRY_TRY(check_signature(node));
  SKERRY_TRY(inference_.infer(node));
  for (const auto& output : node.outputs()) {
    if (output) SKERRY_TRY(check_rank(output->type()));
  }
  return {};
}

// From our own metadata, where it is there.
Result<void> set_quantisation(Type& type, const ValueProto& value) {
  const auto found = value.properties.find(std::string(kPropertyPrefix) + "quantisation");
  if (found == value.properties.end()) return {};
  auto quantisation = parse_quantisation(found->second);
  if (!quantisation) {
    return fail(quantisation.error().with_context(fmt::format("'{}'", value.name)));
  }
  type.quantisation = std::make_shared<const Quantisation>(std::move(*quantisation));
  return {};
}

Result<Type> type_of(const ValueProto& value) {
  if (value.kind != "tensor" && !value.kind.empty()) {
    return fail(Code::kUnsupported,
                fmt::format("'{}' is a {}; only tensors are supported", value.name, value.kind));
  }
  auto element = data_type_of(value.element);
  if (!element) return fail(element.error().with_context(fmt::format("'{}'", value.name)));
  Type type{*element, value.shape};
  SKERRY_TRY(check_rank(type));
  SKERRY_TRY(set_quantisation(type, value));
  return type;
}

Result<void> Importer::add_inputs(Graph& graph, const GraphProto& proto, Scope& scope,
                                  const std::vector<Type>& types) {
  std::unordered_set<std::string_view> initialised;
  for (const TensorProto& tensor : proto.initializers) initialised.insert(tensor.name);
  for (const ValueProto& input : proto.inputs) {
    if (initialised.contains(input.name)) continue;  // a constant with a default for its name
    // The inputs of a subgraph may leave their types to the node around it.
    const size_t index = graph.inputs().size();
    Type type = index < types.size() ? types[index] : Type();
    if (graph.owner() == nullptr || (input.element != 0 && !input.kind.empty())) {
      SKERRY_ASSIGN(type, type_of(input));
    }
    SKERRY_TRY(bind(scope, input.name, &graph.add_input(input.name, std::move(type))));
  }
  for (const TensorProto& tensor : proto.initializers) {
    SKERRY_ASSIGN(Constant constant, tensors_.constant(tensor));
    SKERRY_TRY(bind(scope, tensor.name, &graph.add_constant(tensor.name, std::move(constant))));
  }
  return {};
}

Result<void> Importer::fill(Graph& graph, std::string_view bytes, Scope& scope, int depth,
                            const std::vector<Type>& types) {
  if (depth > kMaxDepth) return fail(Code::kUnsupported, "subgraphs are nested too deep");
  SKERRY_ASSIGN(const GraphProto proto, parse_graph(bytes));
  graph.name = std::string(proto.name);
  SKERRY_TRY(add_inputs(graph, proto, scope, types));
  SKERRY_TRY(add_nodes(graph, proto.nodes, scope, depth));
  if (proto.outputs.empty()) return fail(Code::kInvalidArgument, "the graph has no output");
  for (const ValueProto& output : proto.outputs) {
    Value* value = scope.find(output.name);
    if (value == nullptr) {
      return fail(Code::kInvalidArgument,
                  fmt::format("the output '{}' is made by no node", output.name));
    }
    Type type = value->type();
    // What is said of an output counts where nothing is known of it.
    if (!type.shape && output.shape && output.shape->size() <= kMaxRank) type.shape = output.shape;
    SKERRY_TRY(set_quantisation(type, output));
    value->set_type(std::move(type));
    graph.add_output(*value);
  }
  return {};
}

Result<void> Importer::add_nodes(Graph& graph, const std::vector<NodeProto>& nodes, Scope& scope,
                                 int depth) {
  SKERRY_ASSIGN(const auto order, NodeOrder::of(nodes));
  for (const size_t i : order) {
    if (auto added = add_node(graph, nodes[i], scope, depth); !added) {
      const std::string who = describe(nodes[i]);
      // Operators say who they are; what comes from below or inside a subgraph does not.
      if (added.error().message().find(who) != std::string::npos) return added;
      return fail(added.error().with_context(who));
    }
  }
  return {};
}

Result<std::vector<Value*>> Importer::inputs_of(const NodeProto& proto, const Scope& scope) {
  std::vector<Value*> inputs;
  for (const std::string_view name : proto.inputs) {
    inputs.push_back(name.empty() ? nullptr : scope.find(name));
    if (!name.empty() && inputs.back() == nullptr) {
      // An input that a caller of a function leaves out is bound to nothing, which is no error.
      const bool parameter = scope.function != nullptr && scope.values.contains(name);
      if (!parameter) {
        return fail(Code::kInvalidArgument, fmt::format("reads '{}', which nothing makes", name));
      }
    }
  }
  while (!inputs.empty() && inputs.back() == nullptr) inputs.pop_back();
  return inputs;
}

Result<const AttributeProto*> Importer::resolved(const AttributeProto& proto, const Scope& scope) {
  if (proto.reference.empty()) return &proto;
  if (scope.arguments == nullptr) {
    return fail(Code::kInvalidArgument,
                fmt::format("refers to an attribute '{}' outside of a function", proto.reference));
  }
  const auto found = scope.arguments->find(proto.reference);
  return found != scope.arguments->end() ? found->second : nullptr;
}

Result<Attribute> Importer::attribute_of(const AttributeProto& proto) {
  switch (proto.type) {
    case 1:
      return proto.f;
    case 2:
      return proto.i;
    case 3:
      return std::string(proto.s);
    case 4: {
      if (!proto.t) break;
      SKERRY_ASSIGN(Constant constant, tensors_.constant(*proto.t));
      return constant;
    }
    case 6:
      return proto.floats;
    case 7:
      return proto.ints;
    case 8:
      return std::vector<std::string>(proto.strings.begin(), proto.strings.end());
    default:
      break;
  }
  return fail(Code::kUnsupported,
              fmt::format("its attribute '{}' has a type {} that is not supported", proto.name,
                          proto.type));
}

Result<void> Importer::add_constant(Graph& graph, const NodeProto& proto, Scope& scope) {
  if (proto.attributes.size() != 1 || proto.outputs.size() != 1) {
    return fail(Code::kInvalidArgument, "has not one attribute and one output");
  }
  SKERRY_ASSIGN(const AttributeProto* given, resolved(proto.attributes[0], scope));
  if (given == nullptr) return fail(Code::kInvalidArgument, "has no value");
  SKERRY_ASSIGN(const Attribute value, attribute_of(*given));
  const auto constant = std::visit(
      []<class T>(const T& held) -> Result<Constant> {
        if constexpr (std::is_same_v<T, Constant>) {
          return held;
        } else if constexpr (std::is_same_v<T, int64_t>) {
          return Constant::of_int(held);
        } else if constexpr (std::is_same_v<T, float>) {
          return Constant::of_float(held);
        } else if constexpr (std::is_same_v<T, std::string>) {
          return Constant::of_strings({}, std::span(&held, 1));
        } else if constexpr (std::is_same_v<T, std::vector<int64_t>>) {
          return Constant::of_ints(held);
        } else if constexpr (std::is_same_v<T, std::vector<float>>) {
          return Constant::of(DataType::kFp32, {static_cast<int64_t>(held.size())}, held);
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          return Constant::of_strings({static_cast<int64_t>(held.size())}, held);
        } else {
          return fail(Code::kUnsupported, "has a value that is no tensor");
        }
      },
      value);
  if (!constant) return fail(constant.error());
  return bind(scope, proto.outputs[0], &graph.add_constant(proto.outputs[0], *constant));
}

// ZipMap makes maps of the scores that classifiers end with; here they stay a tensor.
Result<void> Importer::pass_over(const NodeProto& proto, Scope& scope) {
  SKERRY_ASSIGN(const auto inputs, inputs_of(proto, scope));
  if (inputs.size() != 1 || proto.outputs.size() != 1) {
    return fail(Code::kInvalidArgument, "has not one input and one output");
  }
  return bind(scope, proto.outputs[0], inputs[0]);
}

Result<void> Importer::add_call(Graph& graph, const NodeProto& proto, const FunctionProto& function,
                                Scope& scope, int depth) {
  if (depth > kMaxDepth) return fail(Code::kUnsupported, "functions call functions without end");
  SKERRY_ASSIGN(const auto inputs, inputs_of(proto, scope));
  std::map<std::string_view, const AttributeProto*> arguments;
  for (const AttributeProto& attribute : function.defaults) arguments[attribute.name] = &attribute;
  for (const AttributeProto& attribute : proto.attributes) {
    SKERRY_ASSIGN(arguments[attribute.name], resolved(attribute, scope));
  }
  std::erase_if(arguments, [](const auto& argument) { return argument.second == nullptr; });
  Scope inner{.function = &function, .arguments = &arguments, .opsets = &function.opsets};
  for (size_t i = 0; i < function.inputs.size(); ++i) {
    SKERRY_TRY(bind(inner, function.inputs[i], i < inputs.size() ? inputs[i] : nullptr));
  }
  SKERRY_TRY(add_nodes(graph, function.nodes, inner, depth + 1));
  for (size_t i = 0; i < proto.outputs.size(); ++i) {
    Value* value = i < function.outputs.size() ? inner.find(function.outputs[i]) : nullptr;
    if (value == nullptr) return fail(Code::kInvalidArgument, "an output that its function lacks");
    SKERRY_TRY(bind(scope, proto.outputs[i], value));
  }
  return {};
}

Result<void> Importer::add_node(Graph& graph, const NodeProto& proto, Scope& scope, int depth) {
  if (++nodes_ > kMaxNodes) return fail(Code::kUnsupported, "the model has too many nodes");
  const auto function = functions_.find({proto.domain, proto.op_type, proto.overload});
  if (function != functions_.end()) return add_call(graph, proto, *function->second, scope, depth);
  if (!is_known(proto)) return fail(Code::kUnsupported, "the operator is not supported");
  if (proto.op_type == "Constant") return add_constant(graph, proto, scope);
  if (proto.op_type == "ZipMap") return pass_over(proto, scope);
  const auto version = scope.opsets->find(proto.domain);
  const bool other = !proto.domain.empty();
  if (!other && (version == scope.opsets->end() || version->second < kOldestOpset ||
                 version->second > kNewestOpset)) {
    return fail(Code::kUnsupported,
                fmt::format("operator set {} is not one of {} to {}",
                            version == scope.opsets->end() ? 0 : version->second, kOldestOpset,
                            kNewestOpset));
  }
  Pending pending{.op_type = std::string(proto.op_type),
                  .spec = {.op = "Identity", .name = std::string(proto.name)},
                  .version = other ? kNewestOpset : version->second,
                  .graph = &graph};
  pending.make = [&](Op op, std::vector<Value*> inputs, Attributes attributes) -> Result<Value*> {
    Value& made =
        graph.add(op, std::move(inputs), std::move(attributes),
                  fmt::format("{}/{}", proto.outputs.empty() ? "" : proto.outputs[0], op.name()));
    SKERRY_TRY(check_and_infer(*made.producer()));
    return &made;
  };
  SKERRY_ASSIGN(pending.spec.inputs, inputs_of(proto, scope));
  pending.spec.outputs.assign(proto.outputs.begin(), proto.outputs.end());
  while (!pending.spec.outputs.empty() && pending.spec.outputs.back().empty()) {
    pending.spec.outputs.pop_back();
  }
  return finish(graph, pending, proto, scope, depth);
}

Result<void> Importer::finish(Graph& graph, Pending& pending, const NodeProto& proto, Scope& scope,
                              int depth) {
  std::map<std::string_view, std::string_view> subgraphs;
  for (const AttributeProto& attribute : proto.attributes) {
    SKERRY_ASSIGN(const AttributeProto* given, resolved(attribute, scope));
    if (given == nullptr) continue;
    if (given->type == 5) {
      subgraphs[attribute.name] = given->g;
      continue;
    }
    SKERRY_ASSIGN(Attribute value, attribute_of(*given));
    pending.spec.attributes.insert_or_assign(std::string(attribute.name), std::move(value));
  }
  for (const auto& [key, value] : proto.properties) {
    if (!key.starts_with(kPropertyPrefix)) continue;
    const std::string name(key.substr(kPropertyPrefix.size()));
    if (is_property(name)) pending.spec.attributes.insert_or_assign(name, std::string(value));
  }
  SKERRY_TRY(upgrade(pending));
  const auto op = Op::find(pending.op_type);
  if (!op) return fail(Code::kUnsupported, "the operator is not supported");
  pending.spec.op = *op;
  const Operator& definition = operator_of(pending.spec.op);
  for (auto& [name, value] : pending.spec.attributes) {
    const AttributeSpec* spec = definition.attribute(name);
    if (spec == nullptr || spec->kind != AttributeKind::kType) continue;
    if (!std::holds_alternative<int64_t>(value)) continue;
    SKERRY_ASSIGN(value, data_type_of(std::get<int64_t>(value)));
  }
  Node& node = graph.add_node(std::move(pending.spec));
  // Loop and Scan hand their inputs on; their shapes differ from iteration to iteration.
  std::vector<Type> types;
  for (const Value* input : node.inputs()) {
    types.push_back(Type{input != nullptr ? input->type().element : DataType::kInt64});
  }
  if (node.op() == "Loop" && types.size() > 1) types[1].element = DataType::kBool;
  for (const std::string& name : definition.subgraphs) {
    Scope inner{.outer = &scope, .arguments = scope.arguments, .opsets = scope.opsets};
    const auto given = subgraphs.find(name);
    if (given == subgraphs.end()) {
      return fail(Code::kInvalidArgument, fmt::format("its subgraph '{}' is missing", name));
    }
    SKERRY_TRY(fill(node.add_subgraph(), given->second, inner, depth + 1, types));
  }
  SKERRY_TRY(check_and_infer(node));
  for (size_t i = 0; i < node.outputs().size(); ++i) {
    if (Value* output = node.output(i)) SKERRY_TRY(bind(scope, proto.outputs[i], output));
  }
  return {};
}

}  // namespace

Result<Imported> import_bytes(std::shared_ptr<const tensor::Bytes> bytes,
                              const std::string& directory, const ImportOptions& options) {
  const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  SKERRY_ASSIGN(const ModelProto model, parse_model(text));
  TensorSource tensors(bytes, directory, options);
  Importer importer(model, tensors);
  Imported imported;
  SKERRY_ASSIGN(imported.graph, importer.import());
  imported.ir_version = model.ir_version;
  const auto opset = model.opsets.find("");
  imported.opset = opset == model.opsets.end() ? 0 : opset->second;
  imported.producer = fmt::format("{} {}", model.producer, model.producer_version);
  imported.bytes = bytes->size() + tensors.external_bytes();
  return imported;
}

Result<Imported> import_file(const std::string& path, const ImportOptions& options) {
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(path, error);
  if (error) return fail(errno_error("open", path, error.value()));
  SKERRY_ASSIGN(auto bytes, read_whole_file(path, options.max_file_bytes));
  auto imported = import_bytes(std::move(bytes), real.parent_path().string(), options);
  if (!imported) return fail(imported.error().with_context(path));
  return imported;
}

Result<std::vector<UnsupportedNode>> unsupported_nodes(const tensor::Bytes& bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  SKERRY_ASSIGN(const ModelProto model, parse_model(text));
  std::vector<UnsupportedNode> found;
  const auto is_function = [&](const NodeProto& node) {
    return std::ranges::any_of(model.functions, [&](const FunctionProto& function) {
      return function.domain == node.domain && function.name == node.op_type;
    });
  };
  std::deque<std::pair<GraphProto, int>> graphs;
  SKERRY_ASSIGN(GraphProto main, parse_graph(model.graph));
  graphs.emplace_back(std::move(main), 0);
  for (const FunctionProto& function : model.functions) {
    graphs.emplace_back(GraphProto{.nodes = function.nodes}, 0);
  }
  while (!graphs.empty()) {
    const auto [graph, depth] = std::move(graphs.front());
    graphs.pop_front();
    if (depth > kMaxDepth) return fail(Code::kUnsupported, "subgraphs are nested too deep");
    for (const NodeProto& node : graph.nodes) {
      if (!is_known(node) && !is_function(node)) {
        const std::string_view name =
            !node.name.empty() || node.outputs.empty() ? node.name : node.outputs[0];
        found.push_back({describe(node).substr(0, describe(node).find(' ')), std::string(name),
                         "the operator is not supported"});
      }
      for (const AttributeProto& attribute : node.attributes) {
        if (attribute.g.empty()) continue;
        SKERRY_ASSIGN(GraphProto inner, parse_graph(attribute.g));
        graphs.emplace_back(std::move(inner), depth + 1);
      }
    }
  }
  return found;
}

}  // namespace skerry::graph::onnx
