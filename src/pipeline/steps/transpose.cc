// transpose: dimension i of the result is dimension order[i] of the input, as in NumPy. Images come
// as [height, width, channels]; most models want [2, 0, 1] of that.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

class Transpose : public Step {
 public:
  explicit Transpose(std::vector<size_t> order) : order_(std::move(order)) {}

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token&) const override {
    const Value& in = inputs[0];
    const size_t size = tensor::size_of(in.type);
    if (in.shape.size() != order_.size() || size == 0) {
      return fail(Code::kInvalidArgument, fmt::format("it takes numbers of {} dimensions, not {}",
                                                      order_.size(), in.describe()));
    }
    // Elements between neighbours along each dimension of the result.
    std::vector<size_t> strides(order_.size(), 1);
    Shape shape;
    for (size_t i = 0; i < order_.size(); ++i) {
      shape.push_back(in.shape[order_[i]]);
      strides[i] = around(in.shape, order_[i]).behind;
    }
    tensor::Bytes bytes(in.bytes.size());
    std::vector<int64_t> at(shape.size(), 0);
    size_t from = 0;
    for (size_t to = 0; to < bytes.size(); to += size) {
      std::memcpy(bytes.data() + to, in.bytes.data() + from * size, size);
      for (size_t i = at.size(); i-- > 0;) {
        from += strides[i];
        if (++at[i] < shape[i]) break;
        from -= strides[i] * static_cast<size_t>(std::exchange(at[i], 0));
      }
    }
    return std::vector{own(in.type, std::move(shape), std::move(bytes))};
  }

 private:
  std::vector<size_t> order_;
};

}  // namespace

Result<StepPtr> make_transpose(Settings& settings) {
  SKERRY_ASSIGN(const auto given, settings.integers("order"));
  std::vector<int64_t> sorted = given;
  std::ranges::sort(sorted);
  std::vector<int64_t> whole(given.size());
  std::iota(whole.begin(), whole.end(), 0);
  if (sorted != whole || given.size() > 16) {
    return settings.wrong("order", "must name each dimension once, from 0");
  }
  return std::make_unique<Transpose>(std::vector<size_t>(given.begin(), given.end()));
}

}  // namespace skerry::pipeline
