// See constants.h.
#include "graph/tflite/constants.h"

#include "graph/ops/common.h"

namespace skerry::graph::tflite {
namespace {

// Walks the levels of a sparse tensor in its order; each leaf is the next stored element.
class Densifier {
 public:
  Densifier(const TensorTable& tensor, const Array& stored, Array& dense)
      : sparsity_(*tensor.sparsity), shape_(tensor.shape), stored_(stored), dense_(dense) {}

  bool run() {
    const size_t rank = shape_.size();
    const size_t levels = sparsity_.dimensions.size();
    if (levels != sparsity_.order.size() || levels != rank + sparsity_.block_map.size())
      return false;
    for (const int64_t dimension : sparsity_.order) {
      if (dimension < 0 || dimension >= static_cast<int64_t>(levels)) return false;
    }
    for (const int64_t dimension : sparsity_.block_map) {
      if (dimension < 0 || dimension >= static_cast<int64_t>(rank)) return false;
    }
    at_.assign(levels, 0);
    most_ = 64 + 4 * levels * (dense_.count() + 1);
    return visit(0, 0) && next_ == stored_.count();
  }

 private:
  bool visit(size_t level, int64_t row) {
    if (++steps_ > most_) return false;
    if (level == at_.size()) return store();
    const Sparsity::Dimension& dimension = sparsity_.dimensions[level];
    if (dimension.is_dense) {
      for (int64_t i = 0; i < dimension.size; ++i) {
        at_[level] = i;
        if (!visit(level + 1, row * dimension.size + i)) return false;
      }
      return true;
    }
    const auto segment = static_cast<size_t>(row);
    if (row < 0 || segment + 1 >= dimension.segments.size()) return false;
    for (int64_t i = dimension.segments[segment]; i < dimension.segments[segment + 1]; ++i) {
      if (i < 0 || i >= static_cast<int64_t>(dimension.indices.size())) return false;
      at_[level] = dimension.indices[static_cast<size_t>(i)];
      if (!visit(level + 1, i)) return false;
    }
    return true;
  }

  bool store() {
    std::vector<int64_t> index(shape_.size(), 0);
    for (size_t i = 0; i < shape_.size(); ++i) {
      if (sparsity_.order[i] >= static_cast<int64_t>(shape_.size())) return false;
      index[static_cast<size_t>(sparsity_.order[i])] = at_[i];
    }
    for (size_t i = shape_.size(); i < at_.size(); ++i) {
      const auto block = sparsity_.order[i] - static_cast<int64_t>(shape_.size());
      if (block < 0) return false;
      const auto divided = static_cast<size_t>(sparsity_.block_map[static_cast<size_t>(block)]);
      index[divided] = index[divided] * sparsity_.dimensions[i].size + at_[i];
    }
    int64_t flat = 0;
    for (size_t i = 0; i < shape_.size(); ++i) {
      if (index[i] < 0 || index[i] >= shape_[i]) return false;
      flat = flat * shape_[i] + index[i];
    }
    if (next_ >= stored_.count()) return false;
    const size_t size = Array::element_size(dense_.type);
    std::memcpy(dense_.bytes.data() + static_cast<size_t>(flat) * size,
                stored_.bytes.data() + next_++ * size, size);
    return true;
  }

  const Sparsity& sparsity_;
  const std::vector<int64_t>& shape_;
  const Array& stored_;
  Array& dense_;
  std::vector<int64_t> at_;
  size_t next_ = 0;
  size_t steps_ = 0;
  size_t most_ = 0;
};

}  // namespace

Result<Constant> densified(const TensorTable& tensor, DataType type,
                           std::span<const std::byte> bytes, uint64_t max_bytes) {
  SKERRY_ASSIGN(Array dense, Array::make(type, tensor.shape, max_bytes));
  if (type == DataType::kInt4 || type == DataType::kUint4) {
    return fail(Code::kUnsupported, "sparse numbers of 4 bits are not supported");
  }
  Array stored{.type = type};
  stored.bytes.assign(bytes.begin(), bytes.end());
  constexpr size_t kMaxLevels = 16;
  if (tensor.sparsity->dimensions.size() > kMaxLevels || !Densifier(tensor, stored, dense).run()) {
    return fail(Code::kCorrupt, "its sparsity does not go with its elements");
  }
  return Constant::make(type, tensor.shape, std::move(dense.bytes));
}

Result<Constant> permuted_constant(const Constant& constant, const std::vector<int64_t>& order) {
  const Array in = Array::from(constant.view());
  const std::vector<int64_t> own = ops::strides_of(in.shape);
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;
  for (const int64_t dimension : order) {
    shape.push_back(in.shape[static_cast<size_t>(dimension)]);
    strides.push_back(own[static_cast<size_t>(dimension)]);
  }
  SKERRY_ASSIGN(Array out, Array::make(in.type, shape, UINT64_MAX));
  ops::Walk<1> walk(out.shape, {strides});
  ops::move_elements(in, out, [&](size_t) {
    const int64_t from = walk.at()[0];
    walk.next();
    return from;
  });
  return Constant::make(in.type, std::move(shape), std::move(out.to_tensor("").bytes));
}

}  // namespace skerry::graph::tflite
