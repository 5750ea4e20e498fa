// Geometry of storages and views.
#include "compile/program.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace skerry::compile {

int64_t Storage::stride(size_t dim) const {
  int64_t stride = 1;
  for (size_t i = dim + 1; i < dims.size(); ++i) stride *= before[i] + dims[i] + after[i];
  return stride;
}

int64_t Storage::size_bytes() const {
  int64_t count = 1;
  for (size_t i = 0; i < dims.size(); ++i) count *= before[i] + dims[i] + after[i];
  return count * static_cast<int64_t>(tensor::size_of(type));
}

int64_t Storage::origin() const {
  int64_t at = 0;
  for (size_t i = 0; i < dims.size(); ++i) at += before[i] * stride(i);
  return at;
}

bool Storage::has_padding() const {
  const auto some = [](int64_t n) { return n > 0; };
  return std::ranges::any_of(before, some) || std::ranges::any_of(after, some);
}

size_t Constants::add(std::span<const std::byte> bytes) {
  bytes_.resize((bytes_.size() + tensor::kAlignment - 1) / tensor::kAlignment * tensor::kAlignment);
  const size_t offset = bytes_.size();
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  return offset;
}

namespace {

std::vector<int64_t> dense_strides(const std::vector<int64_t>& dims) {
  std::vector<int64_t> strides(dims.size(), 1);
  for (size_t i = dims.size(); i-- > 1;) strides[i - 1] = strides[i] * dims[i];
  return strides;
}

std::vector<int64_t> strides_in_memory(const Storage& storage, const View& view) {
  if (view.reshaped) return dense_strides(view.dims);
  std::vector<int64_t> strides(view.dims.size());
  for (size_t i = 0; i < strides.size(); ++i) strides[i] = storage.stride(i);
  return strides;
}

}  // namespace

Range range_of(const Share& share, int64_t count, int64_t unit) {
  const int64_t units = (count + unit - 1) / unit;
  const int64_t first = std::min(count, units * share.number / share.of * unit);
  const int64_t end = std::min(count, units * (share.number + 1) / share.of * unit);
  return {first, end - first};
}

std::string Step::text(const Share& share) const {
  return shared_call ? shared_call(share) : call();
}

bool Program::is_shared() const {
  return std::ranges::any_of(steps, [](const Step& step) { return step.shares > 1; });
}

std::vector<std::vector<size_t>> Program::stages() const {
  std::vector<std::vector<size_t>> stages;
  for (size_t i = 0; i < steps.size(); ++i) {
    const bool joins =
        steps[i].shares == 1 && !stages.empty() && steps[stages.back().back()].shares == 1;
    if (!joins) stages.emplace_back();
    stages.back().push_back(i);
  }
  return stages;
}

std::vector<int64_t> Program::strides(const View& view) const {
  const auto in_memory = strides_in_memory(storages[view.storage], view);
  std::vector<int64_t> strides(view.axes.size());
  for (size_t i = 0; i < strides.size(); ++i) strides[i] = in_memory[view.axes[i]];
  return strides;
}

int64_t Program::origin(const View& view) const {
  const Storage& storage = storages[view.storage];
  int64_t at = view.reshaped ? 0 : storage.origin();
  if (view.starts.empty()) return at;
  const auto in_memory = strides_in_memory(storage, view);
  for (size_t i = 0; i < in_memory.size(); ++i) at += view.starts[i] * in_memory[i];
  return at;
}

int64_t Program::bytes_seen(const View& view) const {
  auto bytes = static_cast<int64_t>(tensor::size_of(storages[view.storage].type));
  for (const int64_t size : view.shape) bytes *= size;
  return bytes;
}

int64_t Program::value_bytes(const Step& step) const {
  if (step.value_bytes) return *step.value_bytes;
  int64_t bytes = storages[step.writes[0]].size_bytes();  // the others are scratch
  for (const size_t each : step.reads) bytes += storages[each].size_bytes();
  return bytes;
}

bool Program::is_row_major(const View& view) const {
  if (!view.starts.empty() || (!view.reshaped && storages[view.storage].has_padding()))
    return false;
  // Dimensions of one element may stand anywhere.
  std::optional<size_t> last;
  for (size_t i = 0; i < view.shape.size(); ++i) {
    if (view.shape[i] == 1) continue;
    if (last && view.axes[i] < *last) return false;
    last = view.axes[i];
  }
  return true;
}

std::string literal(float number) {
  if (std::isnan(number)) return "__builtin_nanf(\"\")";
  if (std::isinf(number)) return number < 0 ? "(-__builtin_inff())" : "__builtin_inff()";
  return fmt::format("{:a}f", number);
}

std::string_view c_type(DataType type) {
  switch (type) {
    case DataType::kFp32:
      return "float";
    case DataType::kInt8:
      return "int8_t";
    case DataType::kUint8:
    case DataType::kBool:
      return "uint8_t";
    case DataType::kInt16:
      return "int16_t";
    case DataType::kUint16:
      return "uint16_t";
    case DataType::kInt32:
      return "int32_t";
    case DataType::kUint32:
      return "uint32_t";
    case DataType::kInt64:
      return "int64_t";
    case DataType::kUint64:
      return "uint64_t";
    default:
      return "";  // lowering has refused it
  }
}

std::string Program::pointer(const View& view, bool writes) const {
  const Storage* storage = &storages[view.storage];
  const int64_t origin = this->origin(view);
  const std::string_view type = c_type(storage->type);
  while (storage->same_as) storage = &storages[*storage->same_as];
  std::string base;
  switch (storage->place) {
    case Place::kArena:
      base = fmt::format("arena + {}", storage->offset);
      break;
    case Place::kConstant:
      base = fmt::format("constants + {}", storage->offset);
      break;
    case Place::kState:
      base = fmt::format("state + {}", storage->offset);
      break;
    case Place::kInput:
      base = fmt::format("inputs[{}]", storage->index);
      break;
    case Place::kOutput:
      base = fmt::format("outputs[{}]", storage->index);
      break;
  }
  const std::string_view constness = writes ? "" : "const ";
  const std::string cast = fmt::format("(({}{}*)({}))", constness, type, base);
  return origin == 0 ? cast : fmt::format("({} + {})", cast, origin);
}

}  // namespace skerry::compile
