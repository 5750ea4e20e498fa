// top_k: the k largest along the last dimension, largest first, and their indices; equal ones in
// the order of their indices, NaN last. Fewer where there are fewer.
#include <algorithm>
#include <numeric>

#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

constexpr int64_t kMost = 65'536;

class TopK : public Step {
 public:
  explicit TopK(size_t k) : k_(k) {}

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    const Value& in = inputs[0];
    if (in.shape.empty()) return fail(Code::kInvalidArgument, "a scalar has no largest elements");
    SKERRY_ASSIGN(const Floats scores, Floats::of(in));
    const auto size = static_cast<size_t>(in.shape.back());
    const size_t k = std::min(k_, size);
    const size_t rows = size == 0 ? 0 : scores.size() / size;
    std::vector<float> values;
    std::vector<int64_t> indices;
    std::vector<int64_t> order(size);
    for (size_t row = 0; row < rows; ++row) {
      const auto of = scores.span().subspan(row * size, size);
      std::iota(order.begin(), order.end(), 0);
      const auto before = [&](int64_t a, int64_t b) {
        const float left = of[static_cast<size_t>(a)];
        const float right = of[static_cast<size_t>(b)];
        if (left != left || right != right) return right != right && (left == left || a < b);
        return left > right || (left == right && a < b);
      };
      const auto middle = order.begin() + static_cast<ptrdiff_t>(k);
      std::partial_sort(order.begin(), middle, order.end(), before);
      for (auto index = order.begin(); index != middle; ++index) {
        values.push_back(of[static_cast<size_t>(*index)]);
        indices.push_back(*index);
      }
    }
    Shape shape = in.shape;
    shape.back() = static_cast<int64_t>(k);
    return std::vector{own(DataType::kFp32, shape, values), own(DataType::kInt64, shape, indices)};
  }

 private:
  size_t k_;
};

}  // namespace

Result<StepPtr> make_top_k(Settings& settings) {
  SKERRY_ASSIGN(const int64_t k, settings.integer("k", 1, kMost));
  return std::make_unique<TopK>(static_cast<size_t>(k));
}

}  // namespace skerry::pipeline
