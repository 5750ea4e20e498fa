// Data for a model from the files that people have: .npy, .npz (not compressed), IDX (MNIST's
// format), or a folder with NAME.npy for each input. Rows go along the first dimension.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "optimise/quantise/calibration.h"

namespace skerry::optimise {

// Of inputs that are floats: (x / divide − mean) / deviation.
struct Preprocess {
  double divide = 1, mean = 0, deviation = 1;
};

class Dataset {
 public:
  // `data` goes with the inputs of `graph`; `labels`, "" where there are none, is one number a row.
  // kInvalidArgument says what does not fit, kCorrupt and kUnsupported what cannot be read.
  static Result<Dataset> read(const graph::Graph& graph, const std::string& data,
                              const std::string& labels, const Preprocess& preprocess);

  size_t rows() const { return rows_; }
  bool has_labels() const { return !labels_.empty(); }
  int64_t label(size_t row) const { return labels_[row]; }
  // How many rows a run takes: 1, or what the model's inputs insist on.
  size_t rows_per_sample() const { return rows_per_sample_; }
  // From `row` on, in the inputs' types and shapes. kInvalidArgument where there are not enough.
  Result<Sample> sample(size_t row) const;
  // SHA-256 in hex of all that was read.
  const std::string& fingerprint() const { return fingerprint_; }

 private:
  struct Column {
    std::string name;
    graph::DataType type;
    std::vector<int64_t> shape;  // of one sample
    tensor::Tensor data;
  };
  Result<void> add_column(const graph::Value& input, tensor::Tensor data);

  std::vector<Column> columns_;
  std::vector<int64_t> labels_;
  Preprocess preprocess_;
  size_t rows_ = 0;
  size_t rows_per_sample_ = 1;
  std::string fingerprint_;
};

// All tensors of a file, by name; "" is the name of the only one of .npy and IDX. Untrusted.
Result<std::vector<tensor::Tensor>> parse_data_file(std::string_view bytes);

}  // namespace skerry::optimise
