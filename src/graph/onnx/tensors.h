// TensorProtos to constants: raw, typed and external data.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "graph/onnx/import.h"
#include "graph/onnx/proto.h"

namespace skerry::graph::onnx {

class TensorSource {
 public:
  // `owner` keeps the model's bytes alive.
  TensorSource(std::shared_ptr<const void> owner, std::string directory, ImportOptions options)
      : owner_(std::move(owner)), directory_(std::move(directory)), options_(options) {}

  Result<Constant> constant(const TensorProto& tensor);
  uint64_t external_bytes() const { return external_bytes_; }

 private:
  Result<Constant> external(const TensorProto& tensor, DataType type);
  Result<std::shared_ptr<const tensor::Bytes>> file(const std::string& location);

  std::shared_ptr<const void> owner_;
  std::string directory_;
  ImportOptions options_;
  std::map<std::string, std::shared_ptr<const tensor::Bytes>> files_;
  uint64_t external_bytes_ = 0;
  uint64_t made_bytes_ = 0;
};

// A whole file below `directory`, whatever else lies there.
Result<std::shared_ptr<const tensor::Bytes>> read_file_below(const std::string& directory,
                                                             const std::string& name,
                                                             uint64_t max_bytes);

// The file that `path` leads to, links and all; kNotFound where there is none.
Result<std::shared_ptr<const tensor::Bytes>> read_whole_file(const std::string& path,
                                                             uint64_t max_bytes);

}  // namespace skerry::graph::onnx
