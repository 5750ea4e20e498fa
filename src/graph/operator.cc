// The table of operators, put together from the families' rows when it is first asked for.
#include "graph/operator.h"

#include <charconv>

#include "base/check.h"
#include "graph/ops/families.h"

namespace skerry::graph {
namespace {

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (end > 0) words.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

void add_to(Arity& arity, std::string_view word) {
  const size_t colon = word.find(':');
  arity.kinds.push_back(colon == std::string_view::npos ? ' ' : word.back());
  word = word.substr(0, colon);
  const char last = word.back();
  const bool marked = last == '?' || last == '*' || last == '+';
  arity.names.emplace_back(word.substr(0, word.size() - (marked ? 1 : 0)));
  if (last == '*' || last == '+') {
    arity.max = SIZE_MAX;
  } else {
    ++arity.max;
  }
  if (!marked || last == '+') arity.min = arity.names.size();
}

Attribute default_of(AttributeKind kind, std::string_view text) {
  switch (kind) {
    case AttributeKind::kInt: {
      int64_t value = 0;
      std::from_chars(text.data(), text.data() + text.size(), value);
      return value;
    }
    case AttributeKind::kFloat: {
      float value = 0;
      std::from_chars(text.data(), text.data() + text.size(), value);
      return value;
    }
    case AttributeKind::kType: {
      const auto type = tensor::find_data_type(text);
      SKERRY_CHECK(type.has_value(), "a default type of the operator table");
      return *type;
    }
    default:
      return std::string(text);
  }
}

AttributeKind kind_of(std::string_view name) {
  constexpr std::string_view kNames[] = {"int",     "float", "string", "ints", "floats",
                                         "strings", "type",  "tensor", "graph"};
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return static_cast<AttributeKind>(i);
  }
  check_failed("kind_of", "a kind of attribute in the operator table", __FILE__, __LINE__);
}

void add_attribute(Operator& made, std::string_view word) {
  const size_t colon = word.find(':');
  AttributeSpec spec{.name = std::string(word.substr(0, colon))};
  word.remove_prefix(colon + 1);
  const size_t equals = word.find('=');
  spec.required = word.back() == '!' && equals == std::string_view::npos;
  spec.kind = kind_of(word.substr(0, spec.required ? word.size() - 1 : equals));
  if (equals != std::string_view::npos) {
    spec.default_value = default_of(spec.kind, word.substr(equals + 1));
  }
  if (spec.kind == AttributeKind::kGraph) {
    made.subgraphs.push_back(spec.name);
  } else {
    made.attributes.push_back(std::move(spec));
  }
}

Operator from_row(const OperatorRow& row) {
  Operator made{.op = row.op,
                .infer = row.infer,
                .evaluate = row.evaluate,
                .macs = row.macs,
                .halves = row.halves};
  bool outputs = false;
  for (const std::string_view word : words_of(row.signature)) {
    if (word == "->") {
      outputs = true;
    } else {
      add_to(outputs ? made.outputs : made.inputs, word);
    }
  }
  for (const std::string_view word : words_of(row.attributes)) add_attribute(made, word);
  return made;
}

std::vector<Operator> make_table() {
  std::vector<std::optional<Operator>> rows(Op::kCount);
  for (const auto family : ops::kFamilies) {
    for (const OperatorRow& row : family()) {
      SKERRY_CHECK(!rows[row.op.index()], "an operator has two rows");
      rows[row.op.index()] = from_row(row);
    }
  }
  std::vector<Operator> table;
  for (size_t i = 0; i < rows.size(); ++i) {
    SKERRY_CHECK(rows[i].has_value(),
                 "an operator without a row: " + std::string(internal::kNames[i]));
    table.push_back(std::move(*rows[i]));
  }
  return table;
}

}  // namespace

std::optional<Op> Op::find(std::string_view name) {
  for (size_t i = 0; i < kCount; ++i) {
    if (internal::kNames[i] == name) return Op(i);
  }
  return {};
}

std::string_view Op::domain() const {
  constexpr Op kFirstOfMl = "ArrayFeatureExtractor";
  constexpr Op kFirstOfQuantiser = "QGemm";
  if (index_ < kFirstOfMl.index_) return "";
  return index_ < kFirstOfQuantiser.index_ ? "ai.onnx.ml" : "com.microsoft";
}

const AttributeSpec* Operator::attribute(std::string_view name) const {
  for (const AttributeSpec& spec : attributes) {
    if (spec.name == name) return &spec;
  }
  return nullptr;
}

const Operator& operator_of(Op op) {
  static const std::vector<Operator> kTable = make_table();
  return kTable[op.index()];
}

}  // namespace skerry::graph
