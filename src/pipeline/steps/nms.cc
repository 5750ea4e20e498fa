// nms: of boxes [n, 4] (corners x1, y1, x2, y2) and their scores [n] those that overlap no better
// one by more than "iou", best first; boxes below "score" are left out.
#include <algorithm>
#include <numeric>

#include "pipeline/steps/makers.h"

namespace skerry::pipeline {
namespace {

constexpr int64_t kMaxBoxes = 1 << 16;

double overlap(std::span<const float> a, std::span<const float> b) {
  const auto area = [](std::span<const float> box) {
    return std::max(0.0, double{box[2]} - box[0]) * std::max(0.0, double{box[3]} - box[1]);
  };
  const double width = std::min(double{a[2]}, double{b[2]}) - std::max(double{a[0]}, double{b[0]});
  const double height = std::min(double{a[3]}, double{b[3]}) - std::max(double{a[1]}, double{b[1]});
  if (!(width > 0 && height > 0)) return 0;
  return width * height / (area(a) + area(b) - width * height);
}

class Nms : public Step {
 public:
  Nms(double iou, double score, size_t most) : iou_(iou), score_(score), most_(most) {}
  bool is_bounded() const override { return false; }

  Result<std::vector<Value>> run(std::span<const Value> inputs,
                                 const std::stop_token& stop) const override {
    const Value& in = inputs[0];
    const bool fits = in.shape.size() == 2 && in.shape[1] == 4 && in.shape[0] <= kMaxBoxes &&
                      inputs[1].shape.size() == 1 && inputs[1].shape[0] == in.shape[0];
    if (!fits) {
      return fail(Code::kInvalidArgument, "it takes boxes [n, 4] and scores [n], not " +
                                              in.describe() + " and " + inputs[1].describe());
    }
    SKERRY_ASSIGN(const Floats boxes, Floats::of(in));
    SKERRY_ASSIGN(const Floats scores, Floats::of(inputs[1]));
    const auto box = [&](int64_t i) { return boxes.span().subspan(static_cast<size_t>(i) * 4, 4); };
    std::vector<int64_t> order;
    for (size_t i = 0; i < scores.size(); ++i) {
      if (scores[i] >= score_) order.push_back(static_cast<int64_t>(i));
    }
    std::ranges::sort(order, [&](int64_t a, int64_t b) {
      const float left = scores[static_cast<size_t>(a)];
      const float right = scores[static_cast<size_t>(b)];
      return left > right || (left == right && a < b);
    });
    std::vector<int64_t> kept;
    for (const int64_t candidate : order) {
      if (kept.size() == most_) break;
      if (stop.stop_requested()) return fail(Code::kCancelled, "the run was stopped");
      const bool is_covered = std::ranges::any_of(
          kept, [&](int64_t better) { return overlap(box(better), box(candidate)) > iou_; });
      if (!is_covered) kept.push_back(candidate);
    }
    return outputs(kept, box, scores);
  }

 private:
  template <class Box>
  static std::vector<Value> outputs(const std::vector<int64_t>& kept, Box box,
                                    const Floats& scores) {
    std::vector<float> kept_boxes;
    std::vector<float> kept_scores;
    for (const int64_t i : kept) {
      kept_boxes.insert(kept_boxes.end(), box(i).begin(), box(i).end());
      kept_scores.push_back(scores[static_cast<size_t>(i)]);
    }
    const auto count = static_cast<int64_t>(kept.size());
    return {own(DataType::kFp32, {count, 4}, kept_boxes),
            own(DataType::kFp32, {count}, kept_scores), own(DataType::kInt64, {count}, kept)};
  }

  double iou_;
  double score_;
  size_t most_;
};

}  // namespace

Result<StepPtr> make_nms(Settings& settings) {
  SKERRY_ASSIGN(const double iou, settings.number("iou", 0, 1, 0.5));
  SKERRY_ASSIGN(const double score, settings.number("score", -1e30, 1e30, 0));
  SKERRY_ASSIGN(const int64_t most, settings.integer("most", 1, kMaxBoxes, 100));
  return std::make_unique<Nms>(iou, score, static_cast<size_t>(most));
}

}  // namespace skerry::pipeline
