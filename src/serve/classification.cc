// Rows ranked, and their best written as text.
#include "serve/classification.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <span>
#include <vector>

#include "serve/numeric.h"

namespace skerry::serve {
namespace {

template <class T>
T score_at(std::span<const std::byte> row, size_t index) {
  T value{};
  std::memcpy(&value, row.data() + index * sizeof value, sizeof value);
  return value;
}

template <class T>
bool is_nan(T value) {
  if constexpr (std::floating_point<T>) return std::isnan(value);
  return false;
}

// The clients of Triton expect the six digits of printf's %f.
template <class T>
std::string text_of(T value, uint32_t index) {
  if constexpr (std::floating_point<T>) return fmt::format("{:.6f}:{}", value, index);
  if constexpr (sizeof(T) == 1) return fmt::format("{}:{}", static_cast<int>(value), index);
  return fmt::format("{}:{}", value, index);
}

template <class T>
void append_best(std::span<const std::byte> row, size_t best, std::vector<uint32_t>& order,
                 tensor::Bytes& out) {
  std::iota(order.begin(), order.end(), 0u);
  const auto is_better = [row](uint32_t a, uint32_t b) {
    const T first = score_at<T>(row, a);
    const T second = score_at<T>(row, b);
    if (is_nan(first) || is_nan(second)) {
      return is_nan(first) == is_nan(second) ? a < b : is_nan(second);
    }
    return first == second ? a < b : first > second;
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(best), order.end(),
                    is_better);
  for (size_t i = 0; i < best; ++i) {
    tensor::append_bytes(out, text_of(score_at<T>(row, order[i]), order[i]));
  }
}

}  // namespace

Result<tensor::Tensor> classify(const tensor::Tensor& scores, const tensor::TensorSpec& spec,
                                uint64_t classes) {
  SKERRY_ASSIGN(const size_t elements, tensor::element_count(scores.shape));
  const bool has_rows = spec.shape.size() > 1 && spec.shape[0] == -1;
  const size_t rows = has_rows ? static_cast<size_t>(scores.shape[0]) : 1;
  const size_t row_elements = rows == 0 ? 0 : elements / rows;
  const auto best = static_cast<size_t>(std::min<uint64_t>(classes, row_elements));
  tensor::Tensor result{scores.name, tensor::DataType::kBytes, {}, {}};
  if (has_rows) result.shape.push_back(static_cast<int64_t>(rows));
  result.shape.push_back(static_cast<int64_t>(best));
  auto ranked = visit_numeric(scores.type, [&]<class T>(T) -> Result<void> {
    std::vector<uint32_t> order(row_elements);
    const size_t row_bytes = row_elements * sizeof(T);
    for (size_t row = 0; row < rows; ++row) {
      append_best<T>(std::span(scores.bytes).subspan(row * row_bytes, row_bytes), best, order,
                     result.bytes);
    }
    return {};
  });
  if (!ranked) {
    return fail(ranked.error().code(), fmt::format("output '{}' has no classification: {}",
                                                   scores.name, ranked.error().message()));
  }
  return result;
}

}  // namespace skerry::serve
