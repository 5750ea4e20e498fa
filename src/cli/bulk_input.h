// What `skerry infer bulk` reads: items in a fixed order, each an inference's inputs.
//
//   DIR         every file of it by name: FILE.npy holds the only input, FILE.json an object of all
//   FILE.npy    each row an item, named by its number
//   FILE.jsonl  each line an item, named by its number: an object of input names and nested arrays,
//               or the only input's array alone
//   FILE.csv    each line the numbers of the only input; a first line that is none is a heading
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tensor/tensor.h"

namespace skerry::cli {

class BulkInput {
 public:
  // The inputs of one request in the protocol's words, and the bytes of binary tensors behind it.
  struct Request {
    std::string inputs;  // a JSON array
    std::string binary;
  };

  // `model`: the inputs that it takes.
  static Result<BulkInput> open(const std::string& path, std::vector<tensor::TensorSpec> model);

  size_t size() const;
  std::string name(size_t item) const;
  // How many items one request may carry.
  size_t most_at_once() const;
  // Items [first, first + count). The error says what is wrong with them.
  Result<Request> read(size_t first, size_t count) const;

 private:
  Result<void> open_rows(const std::string& path);
  Result<void> open_lines(const std::string& path, bool is_csv);
  Result<void> open_directory(const std::string& path);
  Result<Request> of_tensor(const tensor::TensorView& tensor) const;
  Result<Request> of_json(std::string_view text) const;

  std::vector<tensor::TensorSpec> model_;
  std::optional<tensor::Tensor> rows_;  // FILE.npy
  std::string text_;                    // FILE.jsonl, FILE.csv
  bool is_csv_ = false;
  std::vector<std::pair<size_t, size_t>> lines_;  // where each begins, and its length
  std::string directory_;
  std::vector<std::string> files_;
};

}  // namespace skerry::cli
