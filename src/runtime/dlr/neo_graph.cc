// The graph's JSON; the weights are read in neo_params.cc.
#include "runtime/dlr/neo_graph.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "runtime/dlr/neo_params.h"
#include "runtime/dlr/neo_types.h"

namespace skerry::runtime {
namespace {

using nlohmann::json;
using tensor::DataType;

constexpr size_t kMaxNodes = 100'000;
constexpr size_t kMaxRank = 32;

// Deeper than any graph goes; what is deeper would exhaust the stack of whoever prints it.
constexpr int kMaxDepth = 16;

// Caught in read_neo_graph(), as nlohmann's exceptions are.
struct Wrong {
  Code code;
  std::string what;
};

template <class... Parts>
void need(bool holds, fmt::format_string<Parts...> what, Parts&&... parts) {
  if (!holds) throw Wrong{Code::kCorrupt, fmt::format(what, std::forward<Parts>(parts)...)};
}

size_t index_of(const json& value, size_t count, std::string_view what) {
  need(value.is_number_unsigned() && value.get<uint64_t>() < count,
       "an index of '{}' is out of range", what);
  return value.get<size_t>();
}

// Entries are the results of nodes, numbered through; the executor has one tensor for each.
class Reader {
 public:
  Reader(const json& document, const NeoParams& params) : document_(document), params_(params) {}

  NeoGraph read() {
    read_nodes();
    read_entries();
    read_inputs();
    for (const json& head : part(document_, "heads")) {
      graph_.outputs.push_back({"", types_[entry_of(head)], shapes_[entry_of(head)]});
    }
    need(!graph_.outputs.empty(), "the graph has no outputs");
    return std::move(graph_);
  }

 private:
  static const json& part(const json& of, const char* name) {
    const json& found = of.at(name);
    need(found.is_array(), "'{}' is no list", name);
    return found;
  }
  // {"list_str", […]}
  static const json& attribute(const json& attrs, const char* name, const char* kind) {
    const json& pair = part(attrs, name);
    need(pair.size() == 2 && pair[0] == kind && pair[1].is_array(), "'{}' is no {}", name, kind);
    return pair[1];
  }

  // [node, index of its result, version]
  size_t entry_of(const json& reference) const {
    need(reference.is_array() && reference.size() >= 2, "what refers to a node is no pair");
    const size_t node = index_of(reference[0], first_entry_.size() - 1, "nodes");
    const size_t count = first_entry_[node + 1] - first_entry_[node];
    return first_entry_[node] + index_of(reference[1], count, "outputs of a node");
  }

  void read_nodes() {
    const json& nodes = part(document_, "nodes");
    need(!nodes.empty() && nodes.size() <= kMaxNodes, "there are {} nodes", nodes.size());
    std::set<std::string> functions;
    for (const json& node : nodes) {
      const std::string op = node.at("op");
      need(op == "null" || op == "tvm_op", "'{}' is no kind of node", op);
      names_.push_back(node.at("name"));
      const json& inputs = part(node, "inputs");
      // Only what stands before: the executor runs them in this order.
      for (const json& input : inputs) entry_of(input);
      size_t outputs = 1;
      if (op == "tvm_op") {
        const json& attrs = node.at("attrs");
        outputs = number(attrs, "num_outputs");
        need(number(attrs, "num_inputs") == inputs.size(), "a node's num_inputs is wrong");
        need(outputs > 0, "a node has no outputs");
        number(attrs, "flatten_data");
        const std::string function = attrs.at("func_name");
        if (function != "__nop") functions.insert(function);
      } else {
        need(inputs.empty(), "an input has inputs");
        is_null_.insert(names_.size() - 1);
      }
      first_entry_.push_back(first_entry_.back() + outputs);
    }
    graph_.functions.assign(functions.begin(), functions.end());
  }

  // "3", as the executor wants it.
  static size_t number(const json& attrs, const char* name) {
    const std::string text = attrs.at(name);
    need(!text.empty() && text.size() <= 5 &&
             std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; }),
         "'{}' is no number", name);
    return std::stoul(text);
  }

  void read_entries() {
    const json& rows = part(document_, "node_row_ptr");
    need(rows == json(first_entry_), "'node_row_ptr' does not fit the nodes");
    const json& attrs = document_.at("attrs");
    const json& types = attribute(attrs, "dltype", "list_str");
    const json& shapes = attribute(attrs, "shape", "list_shape");
    const json& storage = attribute(attrs, "storage_id", "list_int");
    const size_t count = first_entry_.back();
    need(types.size() == count && shapes.size() == count && storage.size() == count,
         "'attrs' does not fit the nodes");
    std::map<size_t, uint64_t> sizes;  // of each storage
    for (size_t i = 0; i < count; ++i) {
      types_.push_back(type_of(types[i]));
      shapes_.push_back(shape_of(shapes[i]));
      uint64_t& size = sizes[index_of(storage[i], count, "storage_id")];
      size = std::max(size, bytes_of(i));
    }
    for (const auto& [id, size] : sizes) {
      need(size < std::numeric_limits<uint64_t>::max() / 2 - graph_.storage_bytes,
           "the tensors are too large");
      graph_.storage_bytes += size;
    }
  }

  static DataType type_of(const json& name) {
    const std::string text = name;
    const auto* known = std::ranges::find(kNeoTypes, text, &NeoType::name);
    if (known != kNeoTypes.end()) return known->ours;
    throw Wrong{Code::kUnsupported, fmt::format("element type '{}' is not supported", text)};
  }

  static std::vector<int64_t> shape_of(const json& list) {
    need(list.is_array() && list.size() <= kMaxRank, "a shape has {} dimensions", list.size());
    std::vector<int64_t> shape;
    for (const json& dimension : list) {
      need(dimension.is_number_unsigned() && dimension.get<uint64_t>() > 0 &&
               dimension.get<uint64_t>() <= std::numeric_limits<int64_t>::max(),
           "a dimension is not 1 or more");
      shape.push_back(dimension.get<int64_t>());
    }
    return shape;
  }

  uint64_t bytes_of(size_t entry) const {
    const auto count = tensor::element_count(shapes_[entry]);
    const auto size = count ? tensor::byte_size(types_[entry], *count) : fail(count.error());
    need(size.has_value(), "a tensor is too large");
    return *size;
  }

  void read_inputs() {
    std::set<std::string> seen;
    for (const json& index : part(document_, "arg_nodes")) {
      const size_t node = index_of(index, names_.size(), "arg_nodes");
      const std::string& name = names_[node];
      need(is_null_.contains(node), "'{}' among the arguments is computed", name);
      need(seen.insert(name).second, "the argument '{}' is there twice", name);
      const size_t entry = first_entry_[node];
      const auto weight = params_.find(name);
      if (weight == params_.end()) {
        graph_.inputs.push_back({name, types_[entry], shapes_[entry]});
        continue;
      }
      need(weight->second.type == types_[entry] && weight->second.shape == shapes_[entry],
           "the weight '{}' is not what the graph takes", name);
    }
    need(seen.size() == is_null_.size(), "not every input is among the arguments");
  }

  const json& document_;
  const NeoParams& params_;
  NeoGraph graph_;
  std::vector<std::string> names_;         // of the nodes
  std::vector<size_t> first_entry_ = {0};  // of each node, and where the next one's would be
  std::set<size_t> is_null_;
  std::vector<DataType> types_;  // of the entries
  std::vector<std::vector<int64_t>> shapes_;
};

void name_outputs(const json& meta, NeoGraph& graph) {
  const auto model = meta.value("Model", json::object());
  const auto outputs = model.value("Outputs", json::array());
  need(outputs.empty() || outputs.size() == graph.outputs.size(),
       "the .meta names {} outputs, the graph has {}", outputs.size(), graph.outputs.size());
  std::set<std::string> names;
  for (size_t i = 0; i < graph.outputs.size(); ++i) {
    graph.outputs[i].name =
        outputs.empty() ? fmt::format("output{}", i) : outputs[i].at("name").get<std::string>();
    need(names.insert(graph.outputs[i].name).second, "the .meta names two outputs '{}'",
         graph.outputs[i].name);
  }
  const auto requirements = meta.value("Requirements", json::object());
  const auto device = requirements.value("TargetDeviceType", std::string("cpu"));
  if (device == "cpu") return;
  throw Wrong{Code::kUnsupported,
              fmt::format("it is compiled for '{}'; compile it for a CPU", device)};
}

json parse(std::string_view text) {
  return json::parse(text, [](int depth, json::parse_event_t, const json&) {
    need(depth <= kMaxDepth, "it is nested more than {} deep", kMaxDepth);
    return true;
  });
}

}  // namespace

Result<NeoGraph> read_neo_graph(std::string_view text, std::string_view params,
                                std::string_view meta) {
  SKERRY_ASSIGN(const NeoParams weights, read_neo_params(params));
  try {
    const json document = parse(text);
    NeoGraph graph = Reader(document, weights).read();
    name_outputs(meta.empty() ? json::object() : parse(meta), graph);
    graph.text = document.dump();
    return graph;
  } catch (const json::exception& e) {
    return fail(Code::kCorrupt, fmt::format("this is no graph of Neo: {}", e.what()));
  } catch (const Wrong& wrong) {
    return fail(wrong.code, wrong.what);
  }
}

Result<void> check_shared_object(std::string_view file) {
  const auto damaged = [] {
    return fail(Code::kCorrupt, "the shared object is damaged or not all of one");
  };
  const auto inside = [&](uint64_t at, uint64_t count, uint64_t each) {
    return at <= file.size() && (count == 0 || (file.size() - at) / count >= each);
  };
  Elf64_Ehdr head{};
  if (file.size() < sizeof head) return damaged();
  std::memcpy(&head, file.data(), sizeof head);
  if (std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64 ||
      head.e_type != ET_DYN || head.e_phentsize != sizeof(Elf64_Phdr) ||
      !inside(head.e_phoff, head.e_phnum, sizeof(Elf64_Phdr)) ||
      !inside(head.e_shoff, head.e_shnum, head.e_shentsize)) {
    return damaged();
  }
  for (size_t i = 0; i < head.e_phnum; ++i) {
    Elf64_Phdr segment{};
    std::memcpy(&segment, file.data() + head.e_phoff + i * sizeof segment, sizeof segment);
    if (segment.p_type == PT_LOAD && !inside(segment.p_offset, 1, segment.p_filesz)) {
      return damaged();
    }
  }
  return {};
}

}  // namespace skerry::runtime
