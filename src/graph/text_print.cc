// Graphs to text.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/encoding.h"
#include "graph/evaluation.h"
#include "graph/text.h"

namespace skerry::graph {
namespace {

constexpr size_t kMaxWritten = 64;  // elements of a constant that are written as numbers

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == ':' || c == '/' || c == '-';
}

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.append(1, '\\').append(1, c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string name_of(const Value* value) {
  if (value == nullptr) return "_";
  const std::string& name = value->name();
  // A colon at the end would be taken for the one before the type.
  const bool plain = !name.empty() && std::ranges::all_of(name, is_plain) && name.back() != ':';
  return "%" + (plain ? name : in_quotes(name));
}

std::string type_text(const Type& type) {
  std::string text(tensor::name_of(type.element));
  text += '[';
  if (!type.shape) {
    text += '*';
  } else {
    for (size_t i = 0; i < type.shape->size(); ++i) {
      const Dim& dim = (*type.shape)[i];
      const bool plain = dim.is_fixed() || dim.is_unknown();
      text.append(i > 0 ? "," : "").append(plain ? to_string(dim) : in_quotes(dim.symbol()));
    }
  }
  text += ']';
  if (type.quantisation) {
    text += fmt::format(" q(axis={}, scales=[{}], zero_points=[{}])", type.quantisation->axis,
                        fmt::join(type.quantisation->scales, ","),
                        fmt::join(type.quantisation->zero_points, ","));
  }
  return text;
}

// A number that has no short text that reads back the same (NaN with a payload) goes as Base64.
bool is_writable(const Constant& constant) {
  if (constant.count() > kMaxWritten) return false;
  if (!tensor::is_float(constant.type())) return true;
  return std::ranges::none_of(Array::from(constant.view()).to_doubles(),
                              [](double value) { return std::isnan(value); });
}

std::string constant_text(const Constant& constant) {
  std::string text = type_text(constant.value_type());
  if (!is_writable(constant)) {
    const auto bytes = constant.bytes();
    return text + " base64 " +
           in_quotes(base64_encode({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
  }
  const Array array = Array::from(constant.view());
  std::vector<std::string> elements;
  if (constant.type() == DataType::kBytes) {
    for (const std::string& element : array.strings) elements.push_back(in_quotes(element));
  } else if (constant.type() == DataType::kUint64) {
    for (const uint64_t value : array.as<uint64_t>()) elements.push_back(std::to_string(value));
  } else if (tensor::is_float(constant.type())) {
    const bool single = constant.type() == DataType::kFp32;
    for (const double value : array.to_doubles()) {
      elements.push_back(single ? fmt::format("{}", static_cast<float>(value))
                                : fmt::format("{}", value));
    }
  } else {
    for (const int64_t value : array.to_ints()) elements.push_back(std::to_string(value));
  }
  return text + fmt::format(" {{{}}}", fmt::join(elements, ", "));
}

std::string attribute_text(const Attribute& attribute) {
  return std::visit(
      []<class T>(const T& value) -> std::string {
        if constexpr (std::is_same_v<T, int64_t>) {
          return std::to_string(value);
        } else if constexpr (std::is_same_v<T, float>) {
          return fmt::format("{}f", value);
        } else if constexpr (std::is_same_v<T, std::string>) {
          return in_quotes(value);
        } else if constexpr (std::is_same_v<T, std::vector<int64_t>>) {
          return fmt::format("[{}]", fmt::join(value, ", "));
        } else if constexpr (std::is_same_v<T, std::vector<float>>) {
          return fmt::format("f[{}]", fmt::join(value, ", "));
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          std::vector<std::string> texts;
          for (const std::string& text : value) texts.push_back(in_quotes(text));
          return fmt::format("s[{}]", fmt::join(texts, ", "));
        } else if constexpr (std::is_same_v<T, DataType>) {
          return "type " + std::string(tensor::name_of(value));
        } else {
          return "tensor " + constant_text(value);
        }
      },
      attribute);
}

void print(const Graph& graph, int depth, std::string& out);

void print_node(const Node& node, int depth, std::string& out) {
  const std::string indent(static_cast<size_t>(depth) * 2, ' ');
  out += indent;
  for (size_t i = 0; i < node.outputs().size(); ++i) {
    const Value* output = node.output(i);
    out.append(i > 0 ? ", " : "").append(name_of(output));
    if (output != nullptr) out.append(": ").append(type_text(output->type()));
  }
  out.append(" = ").append(node.op().name()).append("(");
  for (size_t i = 0; i < node.inputs().size(); ++i) {
    out.append(i > 0 ? ", " : "").append(name_of(node.input(i)));
  }
  out += ")";
  if (!node.attributes().empty()) {
    out += " {";
    bool first = true;
    for (const auto& [name, value] : node.attributes()) {
      out.append(first ? "" : ", ").append(name).append("=").append(attribute_text(value));
      first = false;
    }
    out += "}";
  }
  if (!node.name().empty()) out.append(" ").append(in_quotes(node.name()));
  out += "\n";
  for (const auto& subgraph : node.subgraphs()) print(*subgraph, depth + 1, out);
}

void print(const Graph& graph, int depth, std::string& out) {
  const std::string indent(static_cast<size_t>(depth) * 2, ' ');
  out += fmt::format("{}graph {} {{\n", indent, in_quotes(graph.name));
  for (const auto& input : graph.inputs()) {
    out +=
        fmt::format("{}  input {}: {}\n", indent, name_of(input.get()), type_text(input->type()));
  }
  for (const auto& constant : graph.constants()) {
    out += fmt::format("{}  const {} = {}\n", indent, name_of(constant.get()),
                       constant_text(*constant->constant()));
  }
  for (const auto& node : graph.nodes()) print_node(*node, depth + 1, out);
  out += indent + "  return ";
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    out.append(i > 0 ? ", " : "").append(name_of(graph.outputs()[i]));
  }
  out += fmt::format("\n{}}}\n", indent);
}

}  // namespace

std::string to_text(const Graph& graph) {
  std::string out;
  print(graph, 0, out);
  return out;
}

}  // namespace skerry::graph
