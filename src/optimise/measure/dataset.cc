// Rows of data as the inputs of a model.
#include "optimise/measure/dataset.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/encoding.h"
#include "base/sha256.h"
#include "graph/executor.h"
#include "io/files.h"

namespace skerry::optimise {
namespace {

using tensor::Tensor;

constexpr uint64_t kMaxFileBytes = uint64_t{4} << 30;

class Reader {
 public:
  Result<std::vector<Tensor>> read(const std::string& path) {
    SKERRY_ASSIGN(const std::string bytes, io::read_file(files_, path, kMaxFileBytes));
    hash_.update(bytes);
    auto tensors = parse_data_file(bytes);
    if (!tensors) return fail(tensors.error().with_context(path));
    return tensors;
  }

  // For each input, in order.
  Result<std::vector<Tensor>> read_inputs(const graph::Graph& graph, const std::string& path) {
    SKERRY_ASSIGN(const io::FileInfo info, files_.stat(path));
    std::vector<Tensor> found;
    if (!info.is_directory) {
      SKERRY_ASSIGN(found, read(path));
    } else {
      for (const auto& input : graph.inputs()) {
        if (input->name().contains('/')) continue;
        SKERRY_ASSIGN(auto tensors, read(path + "/" + input->name() + ".npy"));
        for (Tensor& tensor : tensors) {
          tensor.name = input->name();
          found.push_back(std::move(tensor));
        }
      }
    }
    std::vector<Tensor> ordered;
    for (const auto& input : graph.inputs()) {
      const auto match = std::ranges::find(found, input->name(), &Tensor::name);
      const bool only = graph.inputs().size() == 1 && found.size() == 1;
      if (match == found.end() && !only) {
        return fail(Code::kInvalidArgument,
                    fmt::format("{} has no data for the input '{}'", path, input->name()));
      }
      ordered.push_back(std::move(only ? found[0] : *match));
    }
    return ordered;
  }

  std::string fingerprint() { return hex_encode(hash_.finish()); }

 private:
  io::RealFiles files_;
  Sha256 hash_;
};

// Rows in the type of the input, floats preprocessed.
Tensor converted(const graph::Array& rows, graph::DataType type, const Preprocess& preprocess) {
  if (!tensor::is_float(type)) {
    graph::Array out{.type = type, .shape = rows.shape};
    const size_t size = graph::Array::element_size(type);
    const auto integers = rows.to_ints();
    out.bytes.resize(integers.size() * size);
    for (size_t i = 0; i < integers.size(); ++i) {
      std::memcpy(&out.bytes[i * size], &integers[i], size);
    }
    return out.to_tensor("");
  }
  auto numbers = rows.to_doubles();
  for (double& x : numbers) {
    x = (x / preprocess.divide - preprocess.mean) / preprocess.deviation;
  }
  graph::Array wide{.type = graph::DataType::kFp64, .shape = rows.shape};
  wide.bytes.resize(numbers.size() * sizeof(double));
  if (!numbers.empty()) std::memcpy(wide.bytes.data(), numbers.data(), wide.bytes.size());
  return convert_float(wide, type).to_tensor("");
}

}  // namespace

Result<Dataset> Dataset::read(const graph::Graph& graph, const std::string& data,
                              const std::string& labels, const Preprocess& preprocess) {
  if (graph.inputs().empty()) return fail(Code::kInvalidArgument, "the model has no inputs");
  Dataset set;
  set.preprocess_ = preprocess;
  Reader reader;
  SKERRY_ASSIGN(auto tensors, reader.read_inputs(graph, data));
  for (size_t i = 0; i < tensors.size(); ++i) {
    SKERRY_TRY(set.add_column(*graph.inputs()[i], std::move(tensors[i])));
  }
  if (!labels.empty()) {
    SKERRY_ASSIGN(const auto read, reader.read(labels));
    if (read.size() != 1) return fail(Code::kInvalidArgument, labels + ": more than one tensor");
    const graph::Array array = graph::Array::from(read[0].view());
    if (array.count() != set.rows_ || tensor::is_float(array.type) ||
        array.type == graph::DataType::kBytes) {
      return fail(Code::kInvalidArgument,
                  fmt::format("{} has to be one integer for each of the {} rows, it is {}", labels,
                              set.rows_, tensor::describe(array.type, array.shape)));
    }
    set.labels_ = array.to_ints();
  }
  set.fingerprint_ = reader.fingerprint();
  return set;
}

Result<void> Dataset::add_column(const graph::Value& input, Tensor data) {
  const auto refuse = [&](std::string_view why) {
    return fail(Code::kInvalidArgument, fmt::format("data {} for the input '{}', {}: {}",
                                                    tensor::describe(data.type, data.shape),
                                                    input.name(), to_string(input.type()), why));
  };
  if (!input.type().shape || input.type().shape->empty() || data.shape.empty() ||
      data.type == graph::DataType::kBytes || input.type().element == graph::DataType::kBytes) {
    return refuse("rows along a first dimension are needed on both sides");
  }
  Column column{.name = input.name(), .type = input.type().element};
  const graph::Shape& wanted = *input.type().shape;
  int64_t row = 1;
  const bool same_rank = wanted.size() == data.shape.size();
  for (size_t i = 1; i < wanted.size(); ++i) {
    if (!wanted[i].is_fixed() && !same_rank) return refuse("an open dimension, and another rank");
    column.shape.push_back(wanted[i].is_fixed() ? wanted[i].size() : data.shape[i]);
    row *= column.shape.back();
  }
  const size_t rows = static_cast<size_t>(data.shape[0]);
  SKERRY_ASSIGN(const size_t count, tensor::element_count(data.shape));
  if (row <= 0 || rows == 0 || count / rows != static_cast<size_t>(row)) {
    return refuse("a row has another number of elements");
  }
  const size_t batch = wanted[0].is_fixed() ? static_cast<size_t>(wanted[0].size()) : 1;
  if (batch == 0 || (!columns_.empty() && (rows != rows_ || batch != rows_per_sample_))) {
    return refuse("another number of rows than the other inputs");
  }
  column.shape.insert(column.shape.begin(), static_cast<int64_t>(batch));
  column.data = std::move(data);
  rows_ = rows;
  rows_per_sample_ = batch;
  columns_.push_back(std::move(column));
  return {};
}

Result<Sample> Dataset::sample(size_t row) const {
  if (rows_per_sample_ > rows_ || row > rows_ - rows_per_sample_) {
    return fail(Code::kInvalidArgument,
                fmt::format("{} rows from row {} on are wanted, there are {}", rows_per_sample_,
                            row, rows_));
  }
  Sample sample;
  for (const Column& column : columns_) {
    const size_t row_bytes = column.data.bytes.size() / rows_;
    const std::span<const std::byte> bytes(column.data.bytes.data() + row * row_bytes,
                                           rows_per_sample_ * row_bytes);
    const graph::Array rows =
        graph::Array::from({column.name, column.data.type, column.shape, bytes});
    Tensor tensor = converted(rows, column.type, preprocess_);
    tensor.name = column.name;
    sample.push_back(std::move(tensor));
  }
  return sample;
}

}  // namespace skerry::optimise
