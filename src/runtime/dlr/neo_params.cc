// Little-endian: a magic number, names, and the tensors in the order of the names.
#include "runtime/dlr/neo_params.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "runtime/dlr/neo_types.h"

namespace skerry::runtime {
namespace {

constexpr uint64_t kListMagic = 0xF7E58D4F05049CB7;
constexpr uint64_t kTensorMagic = 0xDD5E40F096B4A13F;
constexpr int32_t kMaxParamRank = 32;

// Reads from the front; what lies behind the end reads as 0 and is remembered.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : rest_(bytes) {}
  bool ok() const { return ok_; }
  bool is_at_end() const { return ok_ && rest_.empty(); }
  size_t left() const { return rest_.size(); }

  template <class T>
  T number() {
    T value{};
    const std::string_view from = bytes(sizeof value);
    if (ok_) std::memcpy(&value, from.data(), from.size());
    return value;
  }
  std::string_view bytes(uint64_t count) {
    if (count > rest_.size()) ok_ = false;
    if (!ok_) return {};
    const std::string_view result = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return result;
  }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

std::optional<NeoParam> read_tensor(Cursor& file) {
  if (file.number<uint64_t>() != kTensorMagic) return {};
  file.number<uint64_t>();  // reserved
  file.number<uint64_t>();  // the device that it was saved from
  const auto rank = file.number<int32_t>();
  const auto kind = file.number<uint8_t>();
  const auto bits = file.number<uint8_t>();
  const auto lanes = file.number<uint16_t>();
  const auto* known = std::ranges::find_if(
      kNeoTypes, [&](const NeoType& each) { return each.kind == kind && each.bits == bits; });
  if (!file.ok() || rank < 0 || rank > kMaxParamRank || lanes != 1 || known == kNeoTypes.end())
    return {};
  NeoParam param{known->ours, {}};
  for (int32_t i = 0; i < rank; ++i) param.shape.push_back(file.number<int64_t>());
  const auto size = file.number<uint64_t>();
  const auto count = tensor::element_count(param.shape);
  const auto expected = count ? tensor::byte_size(param.type, *count) : fail(count.error());
  if (!expected || *expected != size) return {};
  file.bytes(size);
  return file.ok() ? std::optional(std::move(param)) : std::nullopt;
}

std::optional<NeoParams> read_list(Cursor file) {
  if (file.number<uint64_t>() != kListMagic) return {};
  file.number<uint64_t>();  // reserved
  const auto count = file.number<uint64_t>();
  if (!file.ok() || count > file.left() / sizeof(uint64_t)) return {};
  std::vector<std::string> names;
  for (uint64_t i = 0; file.ok() && i < count; ++i) {
    names.emplace_back(file.bytes(file.number<uint64_t>()));
  }
  if (file.number<uint64_t>() != count || !file.ok()) return {};
  NeoParams params;
  for (std::string& name : names) {
    auto tensor = read_tensor(file);
    if (!tensor || !params.emplace(std::move(name), std::move(*tensor)).second) return {};
  }
  return file.is_at_end() ? std::optional(std::move(params)) : std::nullopt;
}

}  // namespace

Result<NeoParams> read_neo_params(std::string_view file) {
  auto params = read_list(Cursor(file));
  if (params) return std::move(*params);
  return fail(Code::kCorrupt, "the .params file is damaged or no list of weights");
}

}  // namespace skerry::runtime
