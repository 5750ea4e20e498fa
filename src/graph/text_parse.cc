// Text to graphs: a recursive descent with a limit on its depth.
#include <fmt/format.h>

#include <charconv>

#include "base/encoding.h"
#include "graph/evaluation.h"
#include "graph/inference.h"
#include "graph/ops/quantisation.h"
#include "graph/text.h"
#include "graph/verify.h"

namespace skerry::graph {
namespace {

constexpr int kMaxDepth = 32;

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  Result<std::unique_ptr<Graph>> parse() {
    auto graph = std::make_unique<Graph>();
    if (auto done = parse_graph(*graph, 0); !done) {
      return fail(done.error().code(), fmt::format("line {}: {}", line_, done.error().message()));
    }
    skip_blank();
    if (!rest_.empty()) return refuse("text behind the graph");
    SKERRY_TRY(verify(*graph));
    return graph;
  }

 private:
  // --- Words --------------------------------------------------------------------------------
  template <class... Args>
  std::unexpected<Error> refuse(fmt::format_string<Args...> text, Args&&... args) {
    return fail(Code::kInvalidArgument, fmt::format(text, std::forward<Args>(args)...));
  }

  void skip_blank() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\n' || rest_[0] == '\t')) {
      line_ += rest_[0] == '\n' ? 1 : 0;
      rest_.remove_prefix(1);
    }
  }

  bool accept(std::string_view token) {
    skip_blank();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  Result<void> expect(std::string_view token) {
    if (accept(token)) return {};
    return refuse("expected '{}' before '{}'", token, rest_.substr(0, 20));
  }

  std::string_view word() {
    skip_blank();
    size_t size = 0;
    while (size < rest_.size() && (std::isalnum(static_cast<unsigned char>(rest_[size])) != 0 ||
                                   std::string_view("_.:/+-").contains(rest_[size]))) {
      ++size;
    }
    const std::string_view found = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return found;
  }

  Result<std::string> quoted() {
    SKERRY_TRY(expect("\""));
    std::string text;
    while (!rest_.empty() && rest_[0] != '"') {
      char c = rest_[0];
      rest_.remove_prefix(1);
      if (c == '\n') ++line_;
      if (c == '\\' && rest_.starts_with("x") && rest_.size() >= 3) {
        int code = 0;
        std::from_chars(rest_.data() + 1, rest_.data() + 3, code, 16);
        c = static_cast<char>(code);
        rest_.remove_prefix(3);
      } else if (c == '\\' && !rest_.empty()) {
        c = rest_[0];
        rest_.remove_prefix(1);
      }
      text += c;
    }
    if (rest_.empty()) return refuse("a text in quotes has no end");
    rest_.remove_prefix(1);
    return text;
  }

  template <class T>
  Result<T> number() {
    std::string_view text = word();
    if constexpr (std::is_floating_point_v<T>) {
      if (text.ends_with('f') && text != "inf" && text != "-inf") text.remove_suffix(1);
    }
    T value{};
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || stop != text.data() + text.size()) {
      return refuse("'{}' is not such a number", text);
    }
    return value;
  }

  // element, element … up to `end`.
  template <class F>
  Result<void> list(std::string_view end, F&& element) {
    if (accept(end)) return {};
    do {
      SKERRY_TRY(element());
    } while (accept(","));
    return expect(end);
  }

  template <class T>
  Result<std::vector<T>> numbers(std::string_view end) {
    std::vector<T> values;
    SKERRY_TRY(list(end, [&]() -> Result<void> {
      SKERRY_ASSIGN(const T value, number<T>());
      values.push_back(value);
      return {};
    }));
    return values;
  }

  // --- Types and constants ------------------------------------------------------------------
  Result<DataType> data_type() {
    const std::string_view name = word();
    const auto type = tensor::find_data_type(name);
    if (!type) return refuse("'{}' is no element type", name);
    return *type;
  }

  Result<Dim> dim() {
    skip_blank();
    if (rest_.starts_with('"')) {
      SKERRY_ASSIGN(std::string symbol, quoted());
      return Dim::named(std::move(symbol));
    }
    if (accept("?")) return Dim();
    if (rest_.empty() || std::isdigit(static_cast<unsigned char>(rest_[0])) == 0) {
      const std::string symbol(word());
      if (symbol.empty() || symbol[0] == '-') return refuse("a dimension is missing");
      return Dim::named(symbol);
    }
    SKERRY_ASSIGN(const int64_t size, number<int64_t>());
    return Dim(size);
  }

  Result<Type> type() {
    Type type;
    SKERRY_ASSIGN(type.element, data_type());
    SKERRY_TRY(expect("["));
    if (accept("*")) {
      SKERRY_TRY(expect("]"));
    } else {
      type.shape.emplace();
      SKERRY_TRY(list("]", [&]() -> Result<void> {
        SKERRY_ASSIGN(Dim next, dim());
        type.shape->push_back(std::move(next));
        return {};
      }));
    }
    if (!accept("q(axis=")) return type;
    Quantisation quantisation;
    SKERRY_ASSIGN(quantisation.axis, number<int64_t>());
    SKERRY_TRY(expect(","));
    SKERRY_TRY(expect("scales=["));
    SKERRY_ASSIGN(quantisation.scales, numbers<float>("]"));
    SKERRY_TRY(expect(","));
    SKERRY_TRY(expect("zero_points=["));
    SKERRY_ASSIGN(quantisation.zero_points, numbers<int64_t>("]"));
    type.quantisation = std::make_shared<const Quantisation>(std::move(quantisation));
    SKERRY_TRY(expect(")"));
    return type;
  }

  template <class T>
  Result<void> elements(tensor::Bytes& bytes, size_t size) {
    SKERRY_ASSIGN(const auto values, numbers<T>("}"));
    bytes.resize(values.size() * size);
    for (size_t i = 0; i < values.size(); ++i) std::memcpy(&bytes[i * size], &values[i], size);
    return {};
  }

  Result<tensor::Bytes> written_bytes(DataType type) {
    tensor::Bytes bytes;
    if (type == DataType::kBytes) {
      SKERRY_TRY(list("}", [&]() -> Result<void> {
        SKERRY_ASSIGN(const std::string text, quoted());
        tensor::append_bytes(bytes, text);
        return {};
      }));
    } else if (type == DataType::kFp32) {
      SKERRY_TRY(elements<float>(bytes, 4));
    } else if (tensor::is_float(type)) {
      Array array{.type = DataType::kFp64};
      SKERRY_TRY(elements<double>(array.bytes, 8));
      bytes = convert_float(array, type).bytes;
    } else if (type == DataType::kUint64) {
      SKERRY_TRY(elements<uint64_t>(bytes, 8));
    } else {
      Array array{.type = type};
      SKERRY_TRY(elements<int64_t>(array.bytes, Array::element_size(type)));
      bytes = array.to_tensor("").bytes;
    }
    return bytes;
  }

  Result<Constant> constant() {
    SKERRY_ASSIGN(const Type declared, type());
    auto shape = sizes_of(declared);
    if (!shape) return refuse("a constant has an open shape");
    if (accept("base64")) {
      SKERRY_ASSIGN(const std::string text, quoted());
      SKERRY_ASSIGN(const std::string decoded, base64_decode(text));
      tensor::Bytes bytes(decoded.size());
      if (!bytes.empty()) std::memcpy(bytes.data(), decoded.data(), decoded.size());
      return Constant::make(declared.element, std::move(*shape), std::move(bytes));
    }
    SKERRY_TRY(expect("{"));
    SKERRY_ASSIGN(tensor::Bytes bytes, written_bytes(declared.element));
    return Constant::make(declared.element, std::move(*shape), std::move(bytes));
  }

  Result<Attribute> attribute() {
    skip_blank();
    if (rest_.starts_with('"')) return quoted();
    if (accept("tensor ")) return constant();
    if (accept("type ")) return data_type();
    if (accept("f[")) return numbers<float>("]");
    if (accept("[")) return numbers<int64_t>("]");
    if (accept("s[")) {
      std::vector<std::string> texts;
      SKERRY_TRY(list("]", [&]() -> Result<void> {
        SKERRY_ASSIGN(std::string text, quoted());
        texts.push_back(std::move(text));
        return {};
      }));
      return texts;
    }
    const std::string_view before = rest_;
    const std::string_view text = word();
    rest_ = before;
    if (text.ends_with('f')) return number<float>();
    return number<int64_t>();
  }

  // --- Values and nodes ---------------------------------------------------------------------
  Result<std::string> name() {
    SKERRY_TRY(expect("%"));
    if (rest_.starts_with('"')) return quoted();
    std::string_view found = word();
    // The colon before a type.
    if (found.ends_with(':')) {
      found.remove_suffix(1);
      rest_ = std::string_view(rest_.data() - 1, rest_.size() + 1);
    }
    if (found.empty()) return refuse("a name is missing");
    return std::string(found);
  }

  Result<std::string> new_name(const Graph& graph) {
    SKERRY_ASSIGN(std::string found, name());
    if (graph.find(found) != nullptr) return refuse("'{}' is made twice", found);
    return found;
  }

  Result<Value*> value(const Graph& graph) {
    if (accept("_")) return nullptr;
    SKERRY_ASSIGN(const std::string found, name());
    Value* value = graph.find(found);
    if (value == nullptr) return refuse("'{}' is not made before", found);
    return value;
  }

  Result<void> parse_node(Graph& graph, int depth) {
    NodeSpec spec{.op = "Identity"};
    std::vector<std::optional<Type>> types;
    do {
      types.emplace_back();
      if (accept("_")) {
        spec.outputs.emplace_back();
        continue;
      }
      SKERRY_ASSIGN(auto output, new_name(graph));
      spec.outputs.push_back(std::move(output));
      if (!accept(":")) continue;
      SKERRY_ASSIGN(types.back(), type());
    } while (accept(","));
    SKERRY_TRY(expect("="));
    const std::string_view op_name = word();
    const auto op = Op::find(op_name);
    if (!op) return refuse("there is no operator '{}'", op_name);
    spec.op = *op;
    SKERRY_TRY(expect("("));
    SKERRY_TRY(list(")", [&]() -> Result<void> {
      SKERRY_ASSIGN(Value * input, value(graph));
      spec.inputs.push_back(input);
      return {};
    }));
    if (accept("{")) {
      SKERRY_TRY(list("}", [&]() -> Result<void> {
        std::string key(word());
        SKERRY_TRY(expect("="));
        SKERRY_ASSIGN(spec.attributes[key], attribute());
        return {};
      }));
    }
    skip_blank();
    if (rest_.starts_with('"')) {
      SKERRY_ASSIGN(spec.name, quoted());
    }
    Node& node = graph.add_node(std::move(spec));
    while (accept("graph ")) SKERRY_TRY(parse_body(node.add_subgraph(), depth + 1));
    SKERRY_TRY(check_signature(node));
    SKERRY_TRY(inference_.infer(node));
    for (size_t i = 0; i < types.size(); ++i) {
      if (types[i] && node.output(i) != nullptr) {
        if (!fits(node.output(i)->type(), *types[i])) {
          return refuse("'{}' is {}, it says {}", node.output(i)->name(),
                        to_string(node.output(i)->type()), to_string(*types[i]));
        }
        node.output(i)->set_type(std::move(*types[i]));
      }
    }
    return {};
  }

  Result<void> parse_graph(Graph& graph, int depth) {
    SKERRY_TRY(expect("graph "));
    return parse_body(graph, depth);
  }

  Result<void> parse_body(Graph& graph, int depth) {
    if (depth > kMaxDepth) return refuse("graphs are nested too deep");
    SKERRY_ASSIGN(graph.name, quoted());
    SKERRY_TRY(expect("{"));
    while (accept("input ")) {
      SKERRY_ASSIGN(const std::string input, new_name(graph));
      SKERRY_TRY(expect(":"));
      SKERRY_ASSIGN(Type declared, type());
      graph.add_input(input, std::move(declared));
    }
    while (accept("const ")) {
      SKERRY_ASSIGN(const std::string made, new_name(graph));
      SKERRY_TRY(expect("="));
      SKERRY_ASSIGN(Constant value, constant());
      graph.add_constant(made, std::move(value));
    }
    while (!accept("return ")) SKERRY_TRY(parse_node(graph, depth));
    do {
      SKERRY_ASSIGN(Value * output, value(graph));
      if (output == nullptr) return refuse("an output is absent");
      graph.add_output(*output);
    } while (accept(","));
    return expect("}");
  }

  std::string_view rest_;
  size_t line_ = 1;
  TypeInference inference_;
};

}  // namespace

Result<std::unique_ptr<Graph>> parse_text(std::string_view text) {
  return Parser(text).parse();
}

}  // namespace skerry::graph
