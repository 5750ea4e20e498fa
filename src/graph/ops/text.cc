// Strings, and the distinct elements of anything.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "graph/ops/common.h"
#include "graph/ops/families.h"

namespace skerry::graph::ops {
namespace {

// --- StringNormalizer ---------------------------------------------------------------------------

Result<void> infer_normalizer(Inference& inference) {
  inference.set(0, DataType::kBytes);
  if (!inference.ranked(0)) return {};
  Shape shape = inference.shape(0);
  const bool row = shape.size() == 2 && shape[0].is(1);
  if (shape.size() != 1 && !row) {
    return inference.refuse("takes [words] or [1, words], it is given {}",
                            to_string(inference.type(0)));
  }
  shape.back() = Dim();
  inference.set(0, DataType::kBytes, std::move(shape));
  return {};
}

// ASCII letters only: what locales make of others is not a model's matter.
std::string cased(std::string text, const std::string& action) {
  for (char& c : text) {
    if (action == "LOWER" && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (action == "UPPER" && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

Result<void> normalize_strings(Evaluation& run) {
  const std::string& action = run.node().string_of("case_change_action");
  const bool sensitive = run.node().int_of("is_case_sensitive") != 0;
  std::vector<std::string> stopwords = run.node().strings_of("stopwords");
  const auto key = [&](const std::string& word) { return sensitive ? word : cased(word, "LOWER"); };
  for (std::string& word : stopwords) word = key(word);
  std::vector<std::string> kept;
  for (const std::string& word : run.in(0).strings) {
    if (std::ranges::find(stopwords, key(word)) == stopwords.end())
      kept.push_back(cased(word, action));
  }
  if (kept.empty()) kept.emplace_back();  // an output is never empty
  std::vector<int64_t> shape = run.in(0).shape;
  shape.back() = static_cast<int64_t>(kept.size());
  SKERRY_TRY(run.allocate(0, DataType::kBytes, std::move(shape)));
  run.out(0).strings = std::move(kept);
  return {};
}

// --- Unique: Y, first index of each, where each element went, how often each is there
// -------------

Result<void> infer_unique(Inference& inference) {
  std::optional<Shape> shape = Shape(1);
  if (inference.node().find("axis") != nullptr) {
    shape = inference.type(0).shape;
    if (shape) {
      SKERRY_ASSIGN(const size_t axis,
                    inference.axis(inference.node().int_of("axis"), shape->size()));
      (*shape)[axis] = Dim();
    }
  }
  inference.set(0, inference.element(0), std::move(shape));
  for (const size_t i : {1u, 2u, 3u}) inference.set(i, DataType::kInt64, Shape(1));
  return {};
}

// Slices of an array along an axis, compared element by element.
class Slices {
 public:
  Slices(const Array& in, size_t axis) : in_(in), view_(view_along(in.shape, axis)) {
    if (in.type != DataType::kBytes) numbers_ = in.to_doubles();
    if (in.type == DataType::kInt64) ints_ = in.to_ints();
  }
  int64_t count() const { return view_.size; }
  bool less(int64_t a, int64_t b) const { return compare(a, b) < 0; }
  bool same(int64_t a, int64_t b) const { return compare(a, b) == 0; }

 private:
  // NaN is above everything and equal to itself, so that this is an order.
  static int order_of(double x, double y) {
    if (x < y) return -1;
    if (x > y) return 1;
    return static_cast<int>(std::isnan(x)) - static_cast<int>(std::isnan(y));
  }
  int compare(int64_t a, int64_t b) const {
    for (int64_t i = 0; i < view_.outer * view_.inner; ++i) {
      const int64_t first = i / view_.inner * view_.size * view_.inner + i % view_.inner;
      const auto x = static_cast<size_t>(first + a * view_.inner);
      const auto y = static_cast<size_t>(first + b * view_.inner);
      int order = 0;
      if (in_.type == DataType::kBytes) {
        order = in_.strings[x].compare(in_.strings[y]);
      } else if (!ints_.empty()) {
        order = ints_[x] < ints_[y] ? -1 : ints_[x] > ints_[y] ? 1 : 0;
      } else {
        order = order_of(numbers_[x], numbers_[y]);
      }
      if (order != 0) return order;
    }
    return 0;
  }

  const Array& in_;
  AxisView view_;
  std::vector<double> numbers_;
  std::vector<int64_t> ints_;
};

Result<void> store_ints(Evaluation& run, size_t output, const std::vector<int64_t>& values) {
  SKERRY_TRY(run.allocate(output, DataType::kInt64, {static_cast<int64_t>(values.size())}));
  std::ranges::copy(values, run.out(output).as<int64_t>().begin());
  return {};
}

Result<void> unique(Evaluation& run) {
  Array flat = run.in(0);
  const bool has_axis = run.node().find("axis") != nullptr;
  if (!has_axis) flat.shape = {static_cast<int64_t>(flat.count())};
  const size_t axis = has_axis ? Evaluation::axis(run.node().int_of("axis"), flat.rank()) : 0;
  const Slices slices(flat, axis);
  std::vector<int64_t> order(static_cast<size_t>(slices.count()));
  std::iota(order.begin(), order.end(), 0);
  std::ranges::sort(order, [&](int64_t a, int64_t b) {
    return slices.less(a, b) || (slices.same(a, b) && a < b);
  });
  std::vector<int64_t> firsts;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i == 0 || !slices.same(order[i - 1], order[i])) firsts.push_back(order[i]);
  }
  if (run.node().int_of("sorted") == 0) std::ranges::sort(firsts);
  std::vector<int64_t> places(order.size(), 0);
  std::vector<int64_t> counts(firsts.size(), 0);
  for (size_t i = 0; i < places.size(); ++i) {
    for (size_t k = 0; k < firsts.size(); ++k) {
      if (!slices.same(firsts[k], static_cast<int64_t>(i))) continue;
      places[i] = static_cast<int64_t>(k);
      ++counts[k];
    }
  }
  std::vector<int64_t> shape = flat.shape;
  shape[axis] = static_cast<int64_t>(firsts.size());
  const AxisView view = view_along(flat.shape, axis);
  SKERRY_TRY(run.allocate(0, flat.type, std::move(shape)));
  const auto kept = static_cast<int64_t>(firsts.size());
  move_elements(flat, run.out(0), [&](size_t i) {
    const auto at = static_cast<int64_t>(i);
    const int64_t pick = firsts[static_cast<size_t>(at / view.inner % kept)];
    return (at / view.inner / kept * view.size + pick) * view.inner + at % view.inner;
  });
  if (run.wants(1)) {
    SKERRY_TRY(store_ints(run, 1, firsts));
  }
  if (run.wants(2)) {
    SKERRY_TRY(store_ints(run, 2, places));
  }
  return run.wants(3) ? store_ints(run, 3, counts) : Result<void>();
}

}  // namespace

std::span<const OperatorRow> text_rows() {
  static const OperatorRow kRows[] = {
      {"StringNormalizer", "X:s -> Y",
       "case_change_action:string=NONE is_case_sensitive:int=0 locale:string stopwords:strings",
       infer_normalizer, normalize_strings, nullptr, Halves::kAsBytes},
      {"Unique", "X -> Y indices? inverse_indices? counts?", "axis:int sorted:int=1", infer_unique,
       unique, nullptr, Halves::kAsBytes},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
