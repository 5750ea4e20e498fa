// Dimensions and types: their text, and which fits which.
#include "graph/shape.h"

#include <fmt/format.h>

#include <algorithm>

namespace skerry::graph {

Dim Dim::named(std::string symbol) {
  Dim dim;
  dim.symbol_ = std::move(symbol);
  return dim;
}

std::string to_string(const Dim& dim) {
  if (dim.is_fixed()) return std::to_string(dim.size());
  return dim.is_unknown() ? "?" : dim.symbol();
}

Shape fixed_shape(std::span<const int64_t> sizes) {
  Shape shape;
  shape.reserve(sizes.size());
  // Values of lists come here, too: an end of INT64_MIN, as far back as it goes, is no open one.
  for (const int64_t size : sizes) shape.emplace_back(std::max(size, INT64_MIN + 1));
  return shape;
}

std::optional<std::vector<int64_t>> sizes_of(const Type& type) {
  if (!type.shape) return {};
  std::vector<int64_t> sizes;
  for (const Dim& dim : *type.shape) {
    if (!dim.is_fixed()) return {};
    sizes.push_back(dim.size());
  }
  return sizes;
}

std::optional<int64_t> count_of(const Type& type) {
  const auto sizes = sizes_of(type);
  if (!sizes) return {};
  int64_t count = 1;
  for (const int64_t size : *sizes) {
    if (__builtin_mul_overflow(count, size, &count)) return {};
  }
  return count;
}

std::string to_string(const Type& type) {
  std::string text(tensor::name_of(type.element));
  if (!type.shape) return text + "[*]";
  text += '[';
  for (size_t i = 0; i < type.shape->size(); ++i) {
    text.append(i > 0 ? "," : "").append(to_string((*type.shape)[i]));
  }
  return text + ']';
}

bool fits(const Type& type, const Type& declared) {
  if (type.element != declared.element) return false;
  if (!type.shape || !declared.shape) return true;
  if (type.rank() != declared.rank()) return false;
  for (size_t i = 0; i < type.rank(); ++i) {
    const Dim& have = (*type.shape)[i];
    const Dim& want = (*declared.shape)[i];
    if (have.is_fixed() && want.is_fixed() && have != want) return false;
  }
  return true;
}

}  // namespace skerry::graph
