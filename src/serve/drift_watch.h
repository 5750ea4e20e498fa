// Whether what a served model sees, and answers, still looks as in training: windows of its
// requests beside the reference.json of its package (docs/data/model-reference.md). Features are
// named by the tensors that they come from:
//
//   x       the element of input (or output) "x", which has one an item
//   x[3]    its fourth element
//   x.mean  of all elements of an item; x.deviation, x.min, x.max likewise
//
// An item is a row where the contract leaves the first dimension open, else the whole tensor.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "monitor/drift.h"
#include "tensor/tensor.h"

namespace skerry::serve {

class DriftWatch {
 public:
  // kInvalidArgument where a feature is of no tensor of the model.
  static Result<std::unique_ptr<DriftWatch>> make(monitor::Reference reference,
                                                  std::span<const tensor::TensorSpec> inputs,
                                                  std::span<const tensor::TensorSpec> outputs,
                                                  monitor::DriftWindow::Limits limits);

  // A row of all features for each item of a request; those of outputs are not known yet. Of a
  // request with more than kMaxItems only the first ones.
  using Rows = std::vector<std::vector<double>>;
  Rows look_at(std::span<const tensor::Tensor> inputs) const;
  // What came out for them. True where a window is full, and verdict() is new.
  bool add(Rows rows, std::span<const tensor::Tensor> outputs, int64_t now_ms);

  // Of the last full window; empty before.
  const std::vector<monitor::FeatureDrift>& verdict() const { return verdict_; }
  std::vector<std::string> drifted() const;  // names
  std::string to_json() const;

 private:
  enum class What { kElement, kMean, kDeviation, kMin, kMax };
  struct Source {
    std::string tensor;
    What what = What::kElement;
    size_t element = 0;
    bool of_output = false;
    bool has_rows = false;
  };
  static constexpr size_t kMaxItems = 64;

  explicit DriftWatch(monitor::DriftWindow window) : window_(std::move(window)) {}
  static Result<Source> source_of(const std::string& feature, const tensor::TensorSpec& spec,
                                  bool of_output);
  void read(std::span<const tensor::Tensor> tensors, bool outputs, Rows& rows) const;

  monitor::DriftWindow window_;
  std::vector<Source> sources_;  // of each feature
  std::vector<monitor::FeatureDrift> verdict_;
  uint64_t windows_ = 0, drifted_windows_ = 0;
};

}  // namespace skerry::serve
