// The formats of data files. IDX: http://yann.lecun.com/exdb/mnist/ (magic, big-endian sizes,
// bytes). NPZ: a ZIP archive whose members are .npy files; only stored ones, as numpy.savez makes.
#include <fmt/format.h>

#include <cstring>

#include "base/encoding.h"
#include "optimise/measure/dataset.h"
#include "tensor/npy.h"

namespace skerry::optimise {
namespace {

using tensor::DataType;
using tensor::Tensor;

std::unexpected<Error> damaged(std::string_view what) {
  return fail(Code::kCorrupt, fmt::format("damaged data file: {}", what));
}

uint32_t big_endian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

uint32_t little_endian(std::string_view bytes, size_t at, size_t size) {
  uint32_t value = 0;
  for (size_t i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

std::optional<DataType> idx_type(char code) {
  switch (code) {
    case 0x08:
      return DataType::kUint8;
    case 0x09:
      return DataType::kInt8;
    case 0x0B:
      return DataType::kInt16;
    case 0x0C:
      return DataType::kInt32;
    case 0x0D:
      return DataType::kFp32;
    case 0x0E:
      return DataType::kFp64;
    default:
      return {};
  }
}

Result<Tensor> parse_idx(std::string_view bytes) {
  const auto type = idx_type(bytes[2]);
  const auto rank = static_cast<size_t>(static_cast<unsigned char>(bytes[3]));
  if (!type || rank == 0 || rank > 8 || bytes.size() < 4 + 4 * rank) return damaged("its header");
  Tensor tensor{.type = *type};
  for (size_t i = 0; i < rank; ++i) tensor.shape.push_back(big_endian(bytes, 4 + 4 * i));
  SKERRY_ASSIGN(const size_t count, tensor::element_count(tensor.shape));
  const size_t size = tensor::size_of(*type);
  const std::string_view data = bytes.substr(4 + 4 * rank);
  if (count > data.size() / size || data.size() != count * size) return damaged("its size");
  tensor.bytes.resize(data.size());
  for (size_t i = 0; i < count; ++i) {
    for (size_t k = 0; k < size; ++k) {
      tensor.bytes[i * size + k] = static_cast<std::byte>(data[i * size + size - 1 - k]);
    }
  }
  return tensor;
}

// One member of a ZIP archive, from its entry in the central directory.
Result<Tensor> parse_member(std::string_view zip, std::string_view entry, std::string_view name) {
  if (little_endian(entry, 10, 2) != 0) {
    return fail(Code::kUnsupported,
                fmt::format("'{}' is compressed: write it with numpy.savez", name));
  }
  const size_t size = little_endian(entry, 20, 4);
  const size_t header = little_endian(entry, 42, 4);
  constexpr size_t kHeader = 30;
  if (header > zip.size() || zip.size() - header < kHeader) return damaged("a member's place");
  const size_t skip =
      kHeader + little_endian(zip, header + 26, 2) + little_endian(zip, header + 28, 2);
  const std::string_view rest = zip.substr(header);
  if (skip > rest.size() || size > rest.size() - skip) return damaged("a member's size");
  SKERRY_ASSIGN(Tensor tensor, tensor::parse_npy(rest.substr(skip, size)));
  tensor.name = name.substr(0, name.rfind(".npy"));
  return tensor;
}

Result<std::vector<Tensor>> parse_npz(std::string_view zip) {
  const size_t end = zip.rfind("PK\x05\x06");
  if (end == std::string_view::npos || zip.size() - end < 22) return damaged("its directory");
  const size_t entries = little_endian(zip, end + 10, 2);
  size_t at = little_endian(zip, end + 16, 4);
  std::vector<Tensor> tensors;
  constexpr size_t kEntry = 46;
  for (size_t i = 0; i < entries; ++i) {
    if (at > zip.size() || zip.size() - at < kEntry) return damaged("its directory");
    const std::string_view entry = zip.substr(at);
    if (!entry.starts_with("PK\x01\x02")) return damaged("its directory");
    const size_t name_size = little_endian(entry, 28, 2);
    if (name_size > entry.size() - kEntry) return damaged("a name");
    const std::string_view name = entry.substr(kEntry, name_size);
    SKERRY_ASSIGN(Tensor tensor, parse_member(zip, entry, name));
    tensors.push_back(std::move(tensor));
    at += kEntry + name_size + little_endian(entry, 30, 2) + little_endian(entry, 32, 2);
  }
  return tensors;
}

}  // namespace

Result<std::vector<Tensor>> parse_data_file(std::string_view bytes) {
  std::vector<Tensor> tensors;
  if (bytes.starts_with("PK\x03\x04")) return parse_npz(bytes);
  if (bytes.starts_with("\x93NUMPY")) {
    SKERRY_ASSIGN(Tensor tensor, tensor::parse_npy(bytes));
    tensors.push_back(std::move(tensor));
  } else if (bytes.size() >= 4 && bytes[0] == 0 && bytes[1] == 0) {
    SKERRY_ASSIGN(Tensor tensor, parse_idx(bytes));
    tensors.push_back(std::move(tensor));
  } else if (bytes.starts_with("\x1f\x8b")) {
    return fail(Code::kUnsupported, "the file is compressed: run gunzip on it first");
  } else {
    return fail(Code::kUnsupported, "neither .npy, .npz nor IDX");
  }
  return tensors;
}

}  // namespace skerry::optimise
