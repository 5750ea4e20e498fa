// Sums of products by labels, determinants.
#include <algorithm>
#include <cmath>
#include <map>

#include "graph/ops/common.h"
#include "graph/ops/families.h"

namespace skerry::graph::ops {
namespace {

// --- Einsum -------------------------------------------------------------------------------------

// A label is a letter, or (from kEllipsis on) a dimension under "...", counted from the last.
constexpr int kEllipsis = 256;
using Labels = std::vector<int>;

struct Equation {
  std::vector<Labels> terms;
  Labels output;
  std::map<int, int64_t> sizes;
};

// The labels of one term for `rank` dimensions; `rank` < 0: of the output, with `dots` of them.
Result<Labels> labels_of(const Inference& inference, std::string_view term, int64_t rank,
                         int dots) {
  Labels labels;
  const auto letters =
      static_cast<int64_t>(std::ranges::count_if(term, [](char c) { return c != '.'; }));
  for (size_t i = 0; i < term.size(); ++i) {
    if (term.substr(i, 3) == "...") {
      const int64_t count = rank < 0 ? dots : rank - letters;
      for (int64_t k = count; k > 0; --k) labels.push_back(kEllipsis + static_cast<int>(k) - 1);
      i += 2;
    } else if (std::isalpha(static_cast<unsigned char>(term[i])) != 0) {
      labels.push_back(term[i]);
    } else {
      return inference.refuse("'{}' is no term of an equation", term);
    }
  }
  if (rank >= 0 && static_cast<int64_t>(labels.size()) != rank) {
    return inference.refuse("the term '{}' is for another number of dimensions than {}", term,
                            rank);
  }
  return labels;
}

Labels implicit_output(const Equation& equation) {
  std::map<int, int> counts;
  for (const Labels& term : equation.terms) {
    for (const int label : term) ++counts[label];
  }
  Labels output;
  for (auto label = counts.rbegin(); label != counts.rend(); ++label) {
    if (label->first >= kEllipsis) output.push_back(label->first);
  }
  for (const auto& [label, count] : counts) {
    if (label < kEllipsis && count == 1) output.push_back(label);
  }
  return output;
}

Result<Equation> equation_of(const Inference& inference,
                             const std::vector<std::vector<int64_t>>& shapes) {
  std::string text = inference.node().string_of("equation");
  std::erase(text, ' ');
  const size_t arrow = text.find("->");
  std::string_view left = std::string_view(text).substr(0, arrow);
  Equation equation;
  int dots = 0;
  for (const auto& shape : shapes) {
    const size_t comma = std::min(left.find(','), left.size());
    SKERRY_ASSIGN(Labels labels, labels_of(inference, left.substr(0, comma),
                                           static_cast<int64_t>(shape.size()), 0));
    for (size_t i = 0; i < labels.size(); ++i) {
      int64_t& size = equation.sizes.try_emplace(labels[i], shape[i]).first->second;
      if (size == 1) size = shape[i];
      if (size != shape[i] && shape[i] != 1) {
        return inference.refuse("one label stands for {} and for {}", size, shape[i]);
      }
      if (labels[i] >= kEllipsis) dots = std::max(dots, labels[i] - kEllipsis + 1);
    }
    equation.terms.push_back(std::move(labels));
    left.remove_prefix(std::min(comma + 1, left.size()));
  }
  if (!left.empty()) return inference.refuse("its equation has more terms than inputs");
  if (arrow == std::string::npos) {
    equation.output = implicit_output(equation);
  } else {
    SKERRY_ASSIGN(equation.output,
                  labels_of(inference, std::string_view(text).substr(arrow + 2), -1, dots));
  }
  for (const int label : equation.output) {
    if (!equation.sizes.contains(label)) return inference.refuse("an output label is of no input");
    if (std::ranges::count(equation.output, label) > 1) {
      return inference.refuse("an output label is there twice");
    }
  }
  return equation;
}

Result<void> infer_einsum(Inference& inference) {
  inference.set(0, inference.element(0));
  std::vector<std::vector<int64_t>> shapes;
  for (size_t i = 0; i < inference.input_count(); ++i) {
    SKERRY_TRY(inference.same_element(0, i));
    const auto sizes = sizes_of(inference.type(i));
    if (!sizes) return {};
    shapes.push_back(*sizes);
  }
  SKERRY_ASSIGN(const Equation equation, equation_of(inference, shapes));
  Shape shape;
  for (const int label : equation.output) shape.emplace_back(equation.sizes.at(label));
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

Result<void> einsum(Evaluation& run) {
  std::vector<std::vector<int64_t>> shapes;
  for (const Array* input : run.inputs()) shapes.push_back(input->shape);
  SKERRY_ASSIGN(const Equation equation, equation_of(Inference(run.node(), {}, {}), shapes));
  // All labels, the output's first: one walk over their sizes.
  Labels labels = equation.output;
  for (const auto& [label, size] : equation.sizes) {
    if (std::ranges::find(labels, label) == labels.end()) labels.push_back(label);
  }
  std::vector<int64_t> sizes;
  for (const int label : labels) sizes.push_back(equation.sizes.at(label));
  std::vector<std::vector<int64_t>> strides;
  for (size_t i = 0; i < shapes.size(); ++i) {
    const auto own = strides_of(shapes[i]);
    strides.emplace_back(labels.size(), 0);
    for (size_t axis = 0; axis < own.size(); ++axis) {
      const auto at = std::ranges::find(labels, equation.terms[i][axis]) - labels.begin();
      if (shapes[i][axis] != 1) strides[i][static_cast<size_t>(at)] += own[axis];
    }
  }
  const int64_t sums = product(std::span(sizes).subspan(equation.output.size()));
  return visit_number(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    using Sum = std::conditional_t<std::is_floating_point_v<T>, double, uint64_t>;
    Walk<1> walk(sizes, {std::vector<int64_t>(sizes.size(), 0)});
    for (T& out : run.out(0).as<T>()) {
      Sum sum = 0;
      for (int64_t k = 0; k < sums; ++k, walk.next()) {
        Sum term = 1;
        for (size_t i = 0; i < strides.size(); ++i) {
          int64_t offset = 0;
          for (size_t axis = 0; axis < sizes.size(); ++axis) {
            offset += walk.index()[axis] * strides[i][axis];
          }
          term *= static_cast<Sum>(run.in(i).as<T>()[static_cast<size_t>(offset)]);
        }
        sum += term;
      }
      out = static_cast<T>(sum);
    }
    return {};
  });
}

std::optional<int64_t> einsum_macs(const Node& node) {
  std::vector<std::vector<int64_t>> shapes;
  for (const Value* input : node.inputs()) {
    const auto sizes = sizes_of(input->type());
    if (!sizes) return {};
    shapes.push_back(*sizes);
  }
  const auto equation = equation_of(Inference(node, {}, {}), shapes);
  if (!equation) return {};
  int64_t macs = 1;
  for (const auto& [label, size] : equation->sizes) {
    if (__builtin_mul_overflow(macs, size, &macs)) return {};
  }
  return macs;
}

// --- Det ----------------------------------------------------------------------------------------

Result<void> infer_det(Inference& inference) {
  inference.set(0, inference.element(0));
  if (!inference.ranked(0)) return {};
  Shape shape = inference.shape(0);
  const size_t rank = shape.size();
  if (rank < 2 || (shape[rank - 1].is_fixed() && shape[rank - 2].is_fixed() &&
                   shape[rank - 1] != shape[rank - 2])) {
    return inference.refuse("takes square matrices, it is given {}", to_string(inference.type(0)));
  }
  shape.resize(rank - 2);
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

// By elimination with partial pivoting.
double determinant(std::vector<double> m, size_t n) {
  double result = 1;
  for (size_t k = 0; k < n; ++k) {
    size_t pivot = k;
    for (size_t row = k + 1; row < n; ++row) {
      if (std::abs(m[row * n + k]) > std::abs(m[pivot * n + k])) pivot = row;
    }
    if (m[pivot * n + k] == 0) return 0;
    if (pivot != k) {
      std::swap_ranges(m.begin() + static_cast<int64_t>(k * n),
                       m.begin() + static_cast<int64_t>((k + 1) * n),
                       m.begin() + static_cast<int64_t>(pivot * n));
      result = -result;
    }
    result *= m[k * n + k];
    for (size_t row = k + 1; row < n; ++row) {
      const double factor = m[row * n + k] / m[k * n + k];
      for (size_t c = k; c < n; ++c) m[row * n + c] -= factor * m[k * n + c];
    }
  }
  return result;
}

Result<void> det(Evaluation& run) {
  const auto n = static_cast<size_t>(run.in(0).shape.back());
  const auto values = run.in(0).to_doubles();
  return visit_float(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    const auto out = run.out(0).as<T>();
    for (size_t i = 0; i < out.size(); ++i) {
      const auto first = values.begin() + static_cast<int64_t>(i * n * n);
      out[i] = static_cast<T>(determinant({first, first + static_cast<int64_t>(n * n)}, n));
    }
    return {};
  });
}

}  // namespace

std::span<const OperatorRow> algebra_rows() {
  static const OperatorRow kRows[] = {
      {"Einsum", "Inputs+ -> Output", "equation:string!", infer_einsum, einsum, einsum_macs},
      {"Det", "X -> Y", "", infer_det, det},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
