// Comparisons and choices between two.
#include "graph/ops/common.h"
#include "graph/ops/families.h"

namespace skerry::graph::ops {
namespace {

Result<void> infer_compare(Inference& inference) {
  SKERRY_TRY(infer_broadcast(inference));
  inference.outputs()[0].element = DataType::kBool;
  return {};
}

template <auto F>
Result<void> compare(Evaluation& run) {
  const Array& a = run.in(0);
  const Array& b = run.in(1);
  Array& out = run.out(0);
  Walk<2> walk(out.shape,
               {broadcast_strides(a.shape, out.shape), broadcast_strides(b.shape, out.shape)});
  const auto all = [&](const auto& x, const auto& y) -> Result<void> {
    for (uint8_t& result : out.as<uint8_t>()) {
      result = F(x[static_cast<size_t>(walk.at()[0])], y[static_cast<size_t>(walk.at()[1])]);
      walk.next();
    }
    return {};
  };
  if (a.type == DataType::kBytes) return all(a.strings, b.strings);
  return visit_number(run, a.type, [&]<class T>(T) { return all(a.as<T>(), b.as<T>()); });
}

Result<void> infer_where(Inference& inference) {
  SKERRY_TRY(inference.same_element(1, 2));
  std::optional<Shape> shape;
  if (inference.ranked(0) && inference.ranked(1) && inference.ranked(2)) {
    SKERRY_ASSIGN(shape, broadcast(inference, inference.shape(0), inference.shape(1)));
    SKERRY_ASSIGN(shape, broadcast(inference, *shape, inference.shape(2)));
  }
  inference.set(0, inference.element(1), std::move(shape));
  return {};
}

Result<void> where(Evaluation& run) {
  Array& out = run.out(0);
  const auto condition = run.in(0).as<uint8_t>();
  for (const size_t choice : {1u, 2u}) {
    Walk<2> walk(out.shape, {broadcast_strides(run.in(0).shape, out.shape),
                             broadcast_strides(run.in(choice).shape, out.shape)});
    move_elements(run.in(choice), out, [&](size_t) {
      const bool first = condition[static_cast<size_t>(walk.at()[0])] != 0;
      const int64_t from = first == (choice == 1) ? walk.at()[1] : -1;
      walk.next();
      return from;
    });
  }
  return {};
}

}  // namespace

std::span<const OperatorRow> compare_rows() {
  static const OperatorRow kRows[] = {
      {"Equal", "A B -> C", "", infer_compare,
       compare<[](const auto& a, const auto& b) { return a == b; }>},
      {"Greater", "A B -> C", "", infer_compare,
       compare<[](const auto& a, const auto& b) { return a > b; }>},
      {"GreaterOrEqual", "A B -> C", "", infer_compare,
       compare<[](const auto& a, const auto& b) { return a >= b; }>},
      {"Less", "A B -> C", "", infer_compare,
       compare<[](const auto& a, const auto& b) { return a < b; }>},
      {"LessOrEqual", "A B -> C", "", infer_compare,
       compare<[](const auto& a, const auto& b) { return a <= b; }>},
      {"Where", "condition X Y -> output", "", infer_where, where, nullptr, Halves::kAsBytes},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
