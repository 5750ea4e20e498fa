// Rows of a data set as batches: shuffled and augmented from a seed, so that row, epoch and seed
// alone say what a step sees.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "optimise/measure/dataset.h"
#include "train/builder.h"
#include "train/loss.h"

namespace skerry::train {

// Of inputs that are floats, from the second dimension on.
struct Augmentation {
  bool flip = false;  // along the last axis, every other time
  int64_t shift = 0;  // by up to so many places along the last two axes (one of a series)
  double noise = 0;   // deviation of what is added
  bool any() const { return flip || shift > 0 || noise > 0; }
};
// "flip", "shift=2", "noise=0.05"; kInvalidArgument lists them.
Result<void> parse_augmentation(std::string_view text, Augmentation& into);

struct Batch {
  std::vector<tensor::Tensor> inputs;
  tensor::Tensor target;        // shares of classes, or the answer wanted
  std::vector<int64_t> labels;  // empty where there are none
};

class Batches {
 public:
  // What the data is to the model: labels for `answer` (its shape, rows first), the inputs
  // themselves where there are no labels, or nothing (`unlabelled`, for a teacher's pupil). `data`
  // stays. kInvalidArgument says what does not fit.
  static Result<Batches> open(const optimise::Dataset& data, const Sizes& answer, Loss loss,
                              bool unlabelled);

  size_t rows() const { return data_->rows(); }
  bool has_labels() const { return data_->has_labels(); }
  // Row numbers of one training epoch: a permutation of `rows`.
  static std::vector<size_t> shuffled(const std::vector<size_t>& rows, uint64_t seed,
                                      uint64_t epoch);
  Result<Batch> take(const std::vector<size_t>& rows) const;
  Result<Batch> take_augmented(const std::vector<size_t>& rows, const Augmentation& augmentation,
                               uint64_t seed, uint64_t epoch) const;

 private:
  Result<void> check_labels(Loss loss) const;

  const optimise::Dataset* data_ = nullptr;
  Sizes row_;  // of an answer, without the rows
  bool unlabelled_ = false;
};

}  // namespace skerry::train
