// Types of values: element type, shape with dimensions that may be open, quantisation.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace skerry::graph {

using tensor::DataType;

// A dimension: a size, a name that stands for one (the same name is the same size), or unknown.
class Dim {
 public:
  Dim() = default;  // unknown
  // At least 0 in a shape; integer values computed from shapes are Dims too, and may be negative.
  explicit Dim(int64_t size) : size_(size) {}
  static Dim named(std::string symbol);

  bool is_fixed() const { return size_ != kNotFixed; }
  bool is_unknown() const { return !is_fixed() && symbol_.empty(); }
  int64_t size() const { return size_; }                 // of a fixed one
  const std::string& symbol() const { return symbol_; }  // "" where it has none
  bool is(int64_t size) const { return size_ == size; }
  // Equal for certain: two unknown ones are not.
  bool same_as(const Dim& other) const { return *this == other && !is_unknown(); }
  bool operator==(const Dim&) const = default;

 private:
  static constexpr int64_t kNotFixed = INT64_MIN;

  int64_t size_ = kNotFixed;
  std::string symbol_;
};

std::string to_string(const Dim& dim);  // "3", "batch", "?"

using Shape = std::vector<Dim>;

// real = scale · (stored − zero point): one pair, or one for each slice along `axis`.
struct Quantisation {
  std::vector<float> scales;
  std::vector<int64_t> zero_points;  // as many as scales
  int64_t axis = 0;                  // of several scales
  bool operator==(const Quantisation&) const = default;
};

struct Type {
  DataType element = DataType::kFp32;
  std::optional<Shape> shape = {};                        // absent: not even the rank is known
  std::shared_ptr<const Quantisation> quantisation = {};  // of integers that stand for reals

  size_t rank() const { return shape->size(); }  // of a known shape
};

Shape fixed_shape(std::span<const int64_t> sizes);
// The sizes, where all are known.
std::optional<std::vector<int64_t>> sizes_of(const Type& type);
// The number of elements, where it is known and can be said in 64 bits.
std::optional<int64_t> count_of(const Type& type);
std::string to_string(const Type& type);  // "FP32[batch,3,?]", "INT64[*]" without a rank

// True where a value of `type` can be one of `declared`.
bool fits(const Type& type, const Type& declared);

}  // namespace skerry::graph
