// Softmax and its relatives, along one axis.
#include <cmath>

#include "graph/ops/common.h"
#include "graph/ops/families.h"

namespace skerry::graph::ops {
namespace {

Result<void> infer_softmax(Inference& inference) {
  if (inference.ranked(0)) {
    SKERRY_TRY(inference.axis(inference.node().int_of("axis"), inference.rank(0)));
  }
  return infer_same(inference);
}

enum class Kind { kSoftmax, kLog, kHard };

template <class T>
void finish_row(std::vector<double>& row, Kind kind) {
  size_t largest = 0;
  for (size_t k = 1; k < row.size(); ++k) largest = row[k] > row[largest] ? k : largest;
  const double shift = row[largest];
  double sum = 0;
  for (const double x : row) sum += std::exp(x - shift);
  for (size_t k = 0; k < row.size(); ++k) {
    switch (kind) {
      case Kind::kSoftmax:
        row[k] = std::exp(row[k] - shift) / sum;
        break;
      case Kind::kLog:
        row[k] = row[k] - shift - std::log(sum);
        break;
      case Kind::kHard:
        row[k] = k == largest ? 1 : 0;
        break;
    }
  }
}

template <Kind K>
Result<void> softmax(Evaluation& run) {
  const size_t axis = Evaluation::axis(run.node().int_of("axis"), run.in(0).rank());
  const AxisView view = view_along(run.in(0).shape, axis);
  return visit_float(run, run.in(0).type, [&]<class T>(T) -> Result<void> {
    std::vector<double> row(static_cast<size_t>(view.size));
    for (int64_t o = 0; !row.empty() && o < view.outer * view.inner; ++o) {
      const int64_t first = o / view.inner * view.size * view.inner + o % view.inner;
      const auto at = [&](size_t k) {
        return static_cast<size_t>(first + static_cast<int64_t>(k) * view.inner);
      };
      for (size_t k = 0; k < row.size(); ++k) row[k] = run.in(0).as<T>()[at(k)];
      finish_row<T>(row, K);
      for (size_t k = 0; k < row.size(); ++k) run.out(0).as<T>()[at(k)] = static_cast<T>(row[k]);
    }
    return {};
  });
}

}  // namespace

std::span<const OperatorRow> softmax_rows() {
  static const OperatorRow kRows[] = {
      {"Softmax", "X -> Y", "axis:int=-1", infer_softmax, softmax<Kind::kSoftmax>},
      {"LogSoftmax", "X -> Y", "axis:int=-1", infer_softmax, softmax<Kind::kLog>},
      {"Hardmax", "X -> Y", "axis:int=-1", infer_softmax, softmax<Kind::kHard>},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
