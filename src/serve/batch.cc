// Bytes copied behind each other and apart.
#include "serve/batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace skerry::serve {
namespace {

using tensor::DataType;
using tensor::Tensor;

// Where each run of rows begins in the tensor's bytes, and the end.
Result<std::vector<size_t>> row_offsets(const Tensor& tensor, std::span<const int64_t> rows) {
  std::vector<size_t> offsets = {0};
  const int64_t all = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  SKERRY_ASSIGN(const size_t elements, tensor::element_count(tensor.shape));
  const size_t row_elements = elements / static_cast<size_t>(all);
  if (tensor.type != DataType::kBytes) {
    for (const int64_t count : rows) {
      offsets.push_back(offsets.back() +
                        static_cast<size_t>(count) * row_elements * tensor::size_of(tensor.type));
    }
    return offsets;
  }
  SKERRY_ASSIGN(const auto texts, tensor::split_bytes(tensor.bytes, elements));
  size_t next = 0;
  for (const int64_t count : rows) {
    size_t bytes = 0;
    for (size_t i = 0; i < static_cast<size_t>(count) * row_elements; ++i) {
      bytes += sizeof(uint32_t) + texts[next++].size();
    }
    offsets.push_back(offsets.back() + bytes);
  }
  return offsets;
}

}  // namespace

Result<void> sort_inputs(std::span<const tensor::TensorSpec> specs, Tensors& inputs) {
  const std::vector<tensor::TensorView> views = tensor::views_of(inputs);
  SKERRY_ASSIGN(const auto matched, tensor::match_inputs(specs, views));
  Tensors sorted;
  for (const tensor::TensorView* view : matched) {
    sorted.push_back(std::move(inputs[static_cast<size_t>(view - views.data())]));
  }
  inputs = std::move(sorted);
  return {};
}

std::optional<int64_t> rows_of(std::span<const Tensor> inputs) {
  if (inputs.empty() || inputs[0].shape.empty() || inputs[0].shape[0] == 0) return std::nullopt;
  const int64_t rows = inputs[0].shape[0];
  const auto has_them = [rows](const Tensor& input) {
    return !input.shape.empty() && input.shape[0] == rows;
  };
  return std::ranges::all_of(inputs, has_them) ? std::optional(rows) : std::nullopt;
}

bool is_same_form(std::span<const Tensor> a, std::span<const Tensor> b) {
  return std::ranges::equal(a, b, [](const Tensor& x, const Tensor& y) {
    return x.name == y.name && x.type == y.type &&
           std::ranges::equal(std::span(x.shape).subspan(1), std::span(y.shape).subspan(1));
  });
}

Tensors merge_rows(std::span<const Tensors* const> requests) {
  Tensors merged;
  for (size_t i = 0; i < requests[0]->size(); ++i) {
    const Tensor& first = (*requests[0])[i];
    Tensor& all = merged.emplace_back(first.name, first.type, first.shape);
    all.shape[0] = 0;
    size_t bytes = 0;
    for (const Tensors* request : requests) {
      all.shape[0] += (*request)[i].shape[0];
      bytes += (*request)[i].bytes.size();
    }
    all.bytes.reserve(bytes);
    for (const Tensors* request : requests) {
      const tensor::Bytes& part = (*request)[i].bytes;
      all.bytes.insert(all.bytes.end(), part.begin(), part.end());
    }
  }
  return merged;
}

Result<std::vector<Tensors>> split_rows(const Tensors& outputs, std::span<const int64_t> rows) {
  const int64_t all = std::accumulate(rows.begin(), rows.end(), int64_t{0});
  std::vector<Tensors> parts(rows.size());
  for (const Tensor& output : outputs) {
    if (output.shape.empty() || output.shape[0] != all) {
      return fail(Code::kInternal, fmt::format("output '{}' of {} rows is {}", output.name, all,
                                               tensor::describe(output.type, output.shape)));
    }
    SKERRY_ASSIGN(const auto offsets, row_offsets(output, rows));
    for (size_t i = 0; i < rows.size(); ++i) {
      Tensor& part = parts[i].emplace_back(output.name, output.type, output.shape);
      part.shape[0] = rows[i];
      part.bytes.assign(output.bytes.begin() + static_cast<ptrdiff_t>(offsets[i]),
                        output.bytes.begin() + static_cast<ptrdiff_t>(offsets[i + 1]));
    }
  }
  return parts;
}

}  // namespace skerry::serve
