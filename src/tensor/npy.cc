// The header is a Python dictionary; only the three keys that the format has are read.
#include "tensor/npy.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstring>
#include <optional>

namespace skerry::tensor {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMaxHeader = 1 << 16;
constexpr size_t kMaxRank = 64;

struct Description {
  std::string_view text;
  DataType type;
};

constexpr std::array<Description, 12> kDescriptions = {{{"|b1", DataType::kBool},
                                                        {"|i1", DataType::kInt8},
                                                        {"<i2", DataType::kInt16},
                                                        {"<i4", DataType::kInt32},
                                                        {"<i8", DataType::kInt64},
                                                        {"|u1", DataType::kUint8},
                                                        {"<u2", DataType::kUint16},
                                                        {"<u4", DataType::kUint32},
                                                        {"<u8", DataType::kUint64},
                                                        {"<f2", DataType::kFp16},
                                                        {"<f4", DataType::kFp32},
                                                        {"<f8", DataType::kFp64}}};

std::unexpected<Error> damaged(std::string_view why) {
  return fail(Code::kCorrupt, fmt::format("this is no .npy file: {}", why));
}

// What stands behind 'key': up to the end of its value.
std::optional<std::string_view> value_of(std::string_view header, std::string_view key) {
  const size_t at = header.find(fmt::format("'{}':", key));
  if (at == std::string_view::npos) return {};
  std::string_view rest = header.substr(at + key.size() + 3);
  while (rest.starts_with(' ')) rest.remove_prefix(1);
  const char close = rest.starts_with('(') ? ')' : rest.starts_with('\'') ? '\'' : ',';
  const size_t end = rest.find(close, 1);
  if (end == std::string_view::npos) return {};
  return close == ',' ? rest.substr(0, end) : rest.substr(1, end - 1);
}

Result<std::vector<int64_t>> shape_of(std::string_view text) {
  std::vector<int64_t> shape;
  while (!text.empty()) {
    if (text[0] == ' ' || text[0] == ',') {
      text.remove_prefix(1);
      continue;
    }
    int64_t size = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), size);
    if (error != std::errc() || size < 0 || shape.size() == kMaxRank) return damaged("its shape");
    shape.push_back(size);
    text.remove_prefix(static_cast<size_t>(stop - text.data()));
  }
  return shape;
}

}  // namespace

Result<Tensor> parse_npy(std::string_view file) {
  if (!file.starts_with(kMagic) || file.size() < 12) return damaged("its beginning");
  const bool is_long = file[6] >= 2;
  uint32_t length = 0;
  std::memcpy(&length, file.data() + 8, is_long ? 4 : 2);
  const size_t begin = is_long ? 12 : 10;
  if (length > kMaxHeader || length > file.size() - begin) return damaged("its header's length");
  const std::string_view header = file.substr(begin, length);
  const auto description = value_of(header, "descr");
  const auto order = value_of(header, "fortran_order");
  const auto sizes = value_of(header, "shape");
  if (!description || !order || !sizes) return damaged("its header");
  if (*order != "False") return fail(Code::kUnsupported, "the array is in Fortran order");
  Tensor tensor;
  const Description* known = nullptr;
  for (const Description& one : kDescriptions) known = one.text == *description ? &one : known;
  if (known == nullptr) {
    return fail(Code::kUnsupported, fmt::format("arrays of '{}' are not supported", *description));
  }
  tensor.type = known->type;
  SKERRY_ASSIGN(tensor.shape, shape_of(*sizes));
  SKERRY_ASSIGN(const size_t count, element_count(tensor.shape));
  SKERRY_ASSIGN(const size_t bytes, byte_size(tensor.type, count));
  const std::string_view data = file.substr(begin + length);
  if (data.size() != bytes) {
    return damaged(fmt::format("{} takes {} bytes, it has {}", describe(tensor.type, tensor.shape),
                               bytes, data.size()));
  }
  const auto first = reinterpret_cast<const std::byte*>(data.data());
  tensor.bytes.assign(first, first + data.size());
  return tensor;
}

Result<std::string> to_npy(const TensorView& tensor) {
  const Description* known = nullptr;
  for (const Description& one : kDescriptions) known = one.type == tensor.type ? &one : known;
  if (known == nullptr) {
    return fail(Code::kUnsupported, fmt::format(".npy has no {}", name_of(tensor.type)));
  }
  std::string shape;
  for (const int64_t size : tensor.shape) shape += fmt::format("{}, ", size);
  std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", known->text, shape);
  header.append(63 - (kMagic.size() + 4 + header.size()) % 64, ' ').append("\n");
  std::string file(kMagic);
  file.append({'\x01', '\x00', static_cast<char>(header.size() & 0xff),
               static_cast<char>(header.size() >> 8)});
  file += header;
  return file.append(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
}

}  // namespace skerry::tensor
