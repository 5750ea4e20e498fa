// From sums of integers to integers of another scale, in the arithmetic that a node asks for with
// its attribute `rounding`: "even", as ONNX has it (reals, ties to even), or "litert", LiteRT's
// fixed-point multipliers.
#pragma once

#include "graph/inference.h"
#include "graph/ops/fixed_point.h"
#include "graph/ops/quantisation.h"

namespace skerry::graph::ops {

inline bool is_litert(const Node& node) {
  return node.string_of("rounding") == "litert";
}

inline Result<void> check_rounding(const Inference& inference) {
  const std::string& rounding = inference.node().string_of("rounding");
  if (rounding == "even" || rounding == "litert") return {};
  return inference.refuse("its rounding '{}' is neither even nor litert", rounding);
}

// One multiplier, or one a channel.
class Requantiser {
 public:
  // Of in_scale · scales[channel] / out_scale, to `out`'s type.
  Requantiser(const Node& node, DataType in, double in_scale, std::span<const double> scales,
              double out_scale, int64_t zero)
      : litert_(is_litert(node)),
        wide_(in == DataType::kInt16),
        once_(node.op() == "QGemm"),
        zero_(zero) {
    for (const double scale : scales) {
      reals_.push_back(in_scale * scale / out_scale);
      if (litert_) fixed_.push_back(FixedMultiplier::of(reals_.back()));
    }
  }

  void store(Array& out, size_t at, size_t channel, int64_t sum) const {
    const size_t i = reals_.size() > 1 ? channel : 0;
    if (!litert_) return store_quantised(out, at, static_cast<double>(sum) * reals_[i], zero_);
    const int64_t scaled = wide_   ? fixed_[i].times_wide(sum)
                           : once_ ? fixed_[i].times_once(sum)
                                   : fixed_[i].times(static_cast<int32_t>(sum));
    store_saturated(out, at, scaled + zero_);
  }

  static void store_saturated(Array& out, size_t at, int64_t value) {
    const auto [lowest, highest] = range_of(out.type);
    store_integer(out, at, std::clamp(value, lowest, highest));
  }

 private:
  bool litert_;
  bool wide_;
  bool once_;
  int64_t zero_;
  std::vector<double> reals_;
  std::vector<FixedMultiplier> fixed_;
};

}  // namespace skerry::graph::ops
