// One function a message, as in proto.cc, the other way round.
#include "graph/onnx/export.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <unordered_set>

#include "base/check.h"
#include "base/protobuf_writer.h"
#include "graph/decompose.h"
#include "graph/onnx/properties.h"
#include "graph/onnx/proto.h"
#include "graph/operator.h"
#include "io/files.h"

namespace skerry::graph::onnx {
namespace {

constexpr uint64_t kMostInOneFile = (uint64_t{1} << 31) - (uint64_t{1} << 20);
constexpr uint64_t kExternalAlignment = 4096;  // so that readers can map the weights
constexpr uint64_t kSmallestExternal = 1024;
constexpr int64_t kMlOpset = 4;

// Operators, and forms of them, that came after the oldest operator set that is exported.
int64_t opset_of(const Node& node) {
  return node.op() == "RMSNormalization" || node.op() == "Attention" ? 23 : kOldestExported;
}

bool has_attention(const Graph& graph) {
  return std::ranges::any_of(graph.nodes(), [](const auto& node) {
    return node->op() == "Attention" ||
           std::ranges::any_of(node->subgraphs(),
                               [](const auto& inner) { return has_attention(*inner); });
  });
}

// A copy with the parts of operators that ONNX, or the wanted set of it, lacks; null where it lacks
// none.
Result<std::unique_ptr<Graph>> in_known_operators(const Graph& graph,
                                                  const ExportOptions& options) {
  const bool older = options.opset.value_or(kNewestExported) < 23 && has_attention(graph);
  const bool wide = has_int16_operators(graph);
  if (!older && !wide) return nullptr;
  std::unique_ptr<Graph> copy = graph.clone();
  if (older) SKERRY_TRY(decompose_attention(*copy));
  if (wide) SKERRY_TRY(decompose_int16(*copy));
  return copy;
}

Result<void> find_opset(const Graph& graph, const ExportOptions& options, int64_t& opset,
                        bool& has_ml, bool& has_contrib) {
  for (const auto& node : graph.nodes()) {
    const int64_t needed = opset_of(*node);
    if (options.opset && *options.opset < needed) {
      return fail(Code::kInvalidArgument, fmt::format("{} needs operator set {}, not {}",
                                                      node->describe(), needed, *options.opset));
    }
    opset = std::max(opset, needed);
    has_ml = has_ml || node->op().domain() == "ai.onnx.ml";
    has_contrib = has_contrib || node->op().domain() == "com.microsoft";
    for (const auto& inner : node->subgraphs()) {
      SKERRY_TRY(find_opset(*inner, options, opset, has_ml, has_contrib));
    }
  }
  return {};
}

uint64_t constant_bytes(const Graph& graph) {
  uint64_t sum = 0;
  for (const auto& constant : graph.constants()) sum += constant->constant()->bytes().size();
  for (const auto& node : graph.nodes()) {
    for (const auto& inner : node->subgraphs()) sum += constant_bytes(*inner);
  }
  return sum;
}

ProtobufWriter property(std::string_view key, std::string_view value) {
  ProtobufWriter entry;
  entry.text(1, key);
  entry.text(2, value);
  return entry;
}

// Constants in the second file: where each starts.
struct External {
  std::string name;
  uint64_t from = UINT64_MAX;  // this many bytes and more
  uint64_t size = 0;
  std::vector<std::pair<uint64_t, std::span<const std::byte>>> parts = {};

  uint64_t add(std::span<const std::byte> bytes) {
    size = (size + kExternalAlignment - 1) / kExternalAlignment * kExternalAlignment;
    const uint64_t at = size;
    parts.emplace_back(at, bytes);
    size += bytes.size();
    return at;
  }
};

class Exporter {
 public:
  explicit Exporter(External& external) : external_(external) {}

  ProtobufWriter graph(const Graph& graph) {
    ProtobufWriter out;
    std::vector<std::string> names;
    ProtobufWriter copies = output_names(graph, names);
    for (const auto& node : graph.nodes()) out.message(1, this->node(*node));
    out.fields(std::move(copies));
    out.text(2, graph.name.empty() ? "graph" : graph.name);
    for (const auto& constant : graph.constants()) {
      out.message(5, tensor(constant->name(), *constant->constant()));
    }
    for (const auto& input : graph.inputs()) out.message(11, value(input->name(), input->type()));
    for (size_t i = 0; i < names.size(); ++i) {
      out.message(12, value(names[i], graph.outputs()[i]->type()));
    }
    return out;
  }

 private:
  // In ONNX an output is made in its own graph and is an output once: what is not is copied.
  ProtobufWriter output_names(const Graph& graph, std::vector<std::string>& names) {
    ProtobufWriter nodes;
    std::unordered_set<std::string> taken;
    for (const Value* output : graph.outputs()) {
      std::string name = output->name();
      if (&output->graph() != &graph || taken.contains(name)) {
        do {
          name = fmt::format("{}/copy_{}", output->name(), ++copies_);
        } while (graph.find(name) != nullptr);
        ProtobufWriter copy;
        copy.text(1, output->name());
        copy.text(2, name);
        copy.text(4, "Identity");
        nodes.message(1, std::move(copy));
      }
      taken.insert(name);
      names.push_back(std::move(name));
    }
    return nodes;
  }

  // Names of nodes may repeat in a graph; ONNX Runtime refuses a model where they do.
  std::string unique(const std::string& name) {
    std::string free = name;
    for (size_t i = 2; !node_names_.insert(free).second; ++i) free = fmt::format("{}_{}", name, i);
    return free;
  }

  ProtobufWriter node(const Node& node) {
    ProtobufWriter out;
    const Operator& definition = node.definition();
    for (const Value* input : node.inputs()) out.text(1, input != nullptr ? input->name() : "");
    for (const auto& output : node.outputs()) out.text(2, output ? output->name() : "");
    if (!node.name().empty()) out.text(3, unique(node.name()));
    out.text(4, node.op().name());
    for (const auto& [name, value] : node.attributes()) {
      if (is_property(name)) continue;
      out.message(5, attribute(name, definition.attribute(name)->kind, value));
    }
    for (size_t i = 0; i < node.subgraphs().size(); ++i) {
      ProtobufWriter inner;
      inner.text(1, definition.subgraphs[i]);
      inner.message(6, graph(*node.subgraphs()[i]));
      inner.number(20, 5);
      out.message(5, std::move(inner));
    }
    if (!node.op().domain().empty()) out.text(7, node.op().domain());
    for (const auto& [name, value] : node.attributes()) {
      const auto* text = std::get_if<std::string>(&value);
      if (is_property(name) && text != nullptr) {
        out.message(9, property(std::string(kPropertyPrefix) + name, *text));
      }
    }
    return out;
  }

  ProtobufWriter attribute(const std::string& name, AttributeKind kind, const Attribute& value) {
    ProtobufWriter out;
    out.text(1, name);
    switch (kind) {
      case AttributeKind::kInt:
        out.number(3, std::get<int64_t>(value));
        out.number(20, 2);
        break;
      case AttributeKind::kFloat:
        out.single(2, std::get<float>(value));
        out.number(20, 1);
        break;
      case AttributeKind::kString:
        out.text(4, std::get<std::string>(value));
        out.number(20, 3);
        break;
      case AttributeKind::kInts:
        for (const int64_t one : std::get<std::vector<int64_t>>(value)) out.number(8, one);
        out.number(20, 7);
        break;
      case AttributeKind::kFloats:
        for (const float one : std::get<std::vector<float>>(value)) out.single(7, one);
        out.number(20, 6);
        break;
      case AttributeKind::kStrings:
        for (const auto& one : std::get<std::vector<std::string>>(value)) out.text(9, one);
        out.number(20, 8);
        break;
      case AttributeKind::kType:
        out.number(3, number_of(std::get<DataType>(value)));
        out.number(20, 2);
        break;
      case AttributeKind::kTensor:
        out.message(5, tensor("", std::get<Constant>(value)));
        out.number(20, 4);
        break;
      case AttributeKind::kGraph:
        break;  // no attribute in a graph
    }
    return out;
  }

  ProtobufWriter tensor(std::string_view name, const Constant& constant) {
    ProtobufWriter out;
    out.numbers(1, constant.shape());
    out.number(2, number_of(constant.type()));
    if (!name.empty()) out.text(8, name);
    if (constant.type() == DataType::kBytes) {
      const auto strings = tensor::split_bytes(constant.bytes(), constant.count());
      SKERRY_CHECK(strings.has_value(), "a constant's strings do not add up");
      for (const std::string_view text : *strings) out.text(6, text);
    } else if (!name.empty() && constant.bytes().size() >= external_.from) {
      const uint64_t offset = external_.add(constant.bytes());
      out.message(13, property("location", external_.name));
      out.message(13, property("offset", std::to_string(offset)));
      out.message(13, property("length", std::to_string(constant.bytes().size())));
      out.number(14, 1);
    } else {
      out.borrowed(9, constant.bytes());
    }
    return out;
  }

  static ProtobufWriter value(std::string_view name, const Type& type) {
    ProtobufWriter tensor;
    tensor.number(1, number_of(type.element));
    if (type.shape) {
      ProtobufWriter shape;
      for (const Dim& dim : *type.shape) {
        ProtobufWriter one;
        if (dim.is_fixed()) {
          one.number(1, dim.size());
        } else if (!dim.is_unknown()) {
          one.text(2, dim.symbol());
        }
        shape.message(1, std::move(one));
      }
      tensor.message(2, std::move(shape));
    }
    ProtobufWriter kind;
    kind.message(1, std::move(tensor));
    ProtobufWriter out;
    out.text(1, name);
    out.message(2, std::move(kind));
    if (type.quantisation) {
      out.message(4, property(std::string(kPropertyPrefix) + "quantisation",
                              quantisation_text(*type.quantisation)));
    }
    return out;
  }

  External& external_;
  std::unordered_set<std::string> node_names_;
  size_t copies_ = 0;
};

Result<ProtobufWriter> model_of(const Graph& graph, const ExportOptions& options,
                                External& external) {
  int64_t opset = options.opset.value_or(kOldestExported);
  if (opset < kOldestExported || opset > kNewestExported) {
    return fail(Code::kInvalidArgument, fmt::format("operator set {} is not one of {} to {}", opset,
                                                    kOldestExported, kNewestExported));
  }
  bool has_ml = false;
  bool has_contrib = false;
  SKERRY_TRY(find_opset(graph, options, opset, has_ml, has_contrib));
  if (options.external_from) {
    external.from = *options.external_from;
  } else if (constant_bytes(graph) > kMostInOneFile) {
    external.from = kSmallestExternal;
  }
  const auto operator_set = [](std::string_view domain, int64_t version) {
    ProtobufWriter out;
    out.text(1, domain);
    out.number(2, version);
    return out;
  };
  ProtobufWriter model;
  model.number(1, opset >= 23 ? 11 : 10);
  model.text(2, "skerry");
  model.message(7, Exporter(external).graph(graph));
  model.message(8, operator_set("", opset));
  if (has_ml) model.message(8, operator_set("ai.onnx.ml", kMlOpset));
  if (has_contrib) model.message(8, operator_set("com.microsoft", 1));
  if (model.size() > kMostInOneFile) {
    return fail(Code::kResourceExhausted,
                "the model is larger than the 2 GiB of one ONNX file; let its constants go into a "
                "second one");
  }
  return model;
}

Result<void> sync_and_rename(io::Files& files, io::File& file, const std::string& from,
                             const std::string& to) {
  SKERRY_TRY(file.sync());
  SKERRY_TRY(files.rename(from, to));
  return files.sync_directory(io::parent_of(to));
}

Result<void> write_external(io::Files& files, const std::string& path, const External& external) {
  const std::string temporary = path + ".tmp";
  SKERRY_ASSIGN(const auto file, files.open(temporary, io::OpenMode::kTruncate, 0644));
  uint64_t at = 0;
  for (const auto& [offset, bytes] : external.parts) {
    SKERRY_TRY(file->write(std::string(offset - at, '\0')));
    SKERRY_TRY(file->write({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
    at = offset + bytes.size();
  }
  return sync_and_rename(files, *file, temporary, path);
}

}  // namespace

Result<tensor::Bytes> export_bytes(const Graph& graph, const ExportOptions& options) {
  External none;
  SKERRY_ASSIGN(const auto older, in_known_operators(graph, options));
  SKERRY_ASSIGN(const ProtobufWriter model,
                model_of(older ? *older : graph, {.opset = options.opset}, none));
  if (!none.parts.empty()) {
    return fail(Code::kResourceExhausted, "the model is larger than the 2 GiB of one ONNX file");
  }
  tensor::Bytes bytes;
  bytes.reserve(model.size());
  model.for_each_part([&](std::string_view part) {
    const auto first = reinterpret_cast<const std::byte*>(part.data());
    bytes.insert(bytes.end(), first, first + part.size());
  });
  return bytes;
}

Result<void> export_file(const Graph& graph, const std::string& path,
                         const ExportOptions& options) {
  const std::string data = path + ".data";
  External external{.name = data.substr(data.rfind('/') + 1)};
  SKERRY_ASSIGN(const auto older, in_known_operators(graph, options));
  SKERRY_ASSIGN(const ProtobufWriter model, model_of(older ? *older : graph, options, external));
  io::RealFiles files;
  // The weights first: a model never refers to what is not there yet.
  if (!external.parts.empty()) SKERRY_TRY(write_external(files, data, external));
  const std::string temporary = path + ".tmp";
  SKERRY_ASSIGN(const auto file, files.open(temporary, io::OpenMode::kTruncate, 0644));
  Result<void> written;
  model.for_each_part([&](std::string_view part) {
    if (written) written = file->write(part);
  });
  SKERRY_TRY(std::move(written));
  return sync_and_rename(files, *file, temporary, path);
}

}  // namespace skerry::graph::onnx
