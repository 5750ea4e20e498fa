// The Runtime interface: loads a model file and runs it. One folder per implementation; null/ is
// the smallest, to copy. Every implementation passes runtime/conformance_test.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::runtime {

// Element types under their Open Inference Protocol names ("FP32", "INT64", …). BYTES is a list of
// strings, each with a 4-byte little-endian length before it.
enum class DataType {
  kBool,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kFp16,
  kFp32,
  kFp64,
  kBytes
};

std::string_view name_of(DataType type);                  // "FP32"
Result<DataType> parse_data_type(std::string_view name);  // kInvalidArgument lists the known names
size_t size_of(DataType type);                            // bytes of one element; 0 for kBytes

struct TensorSpec {
  std::string name;
  DataType type = DataType::kFp32;
  std::vector<int64_t> shape;  // -1: any size
};

// Row-major, little-endian, dense. The bytes belong to whoever made the view.
struct TensorView {
  std::string_view name;
  DataType type = DataType::kFp32;
  std::span<const int64_t> shape;
  std::span<const std::byte> bytes;
};

struct Tensor {
  std::string name;
  DataType type = DataType::kFp32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
  TensorView view() const { return {name, type, shape, bytes}; }
};

// Product of a shape; kInvalidArgument on a negative dimension or overflow.
Result<size_t> element_count(std::span<const int64_t> shape);

// A loaded model. run() may be called from several threads at once.
class Model {
 public:
  virtual ~Model() = default;
  virtual const std::vector<TensorSpec>& inputs() const = 0;
  virtual const std::vector<TensorSpec>& outputs() const = 0;
  // Every input once, in any order. Outputs: those named in `wanted` in that order, all where it is
  // empty. kInvalidArgument names the input and what was expected; kInternal carries the runtime's
  // own message.
  virtual Result<std::vector<Tensor>> run(std::span<const TensorView> inputs,
                                          std::span<const std::string> wanted) = 0;
};

struct LoadOptions {
  int threads = 1;  // of one run()
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  virtual std::string_view name() const = 0;  // "onnxruntime"
  virtual std::string version() const = 0;    // the vendor's
  // Untrusted bytes: a damaged model is kCorrupt, an operator it lacks kUnsupported.
  virtual Result<std::unique_ptr<Model>> load(const std::string& path,
                                              const LoadOptions& options) = 0;
};

}  // namespace skerry::runtime
