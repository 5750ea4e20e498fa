// Where a tensor's bytes are, and whether they are what its type and shape take.
#include "graph/onnx/tensors.h"

#include <fmt/format.h>

#include <charconv>
#include <filesystem>
#include <memory>

#include "io/regular_file.h"

namespace skerry::graph::onnx {
namespace {

Result<uint64_t> number_in(const TensorProto& tensor, std::string_view key, uint64_t otherwise) {
  const auto found = tensor.external.find(key);
  if (found == tensor.external.end()) return otherwise;
  uint64_t value = 0;
  const std::string_view text = found->second;
  const char* const begin = std::to_address(text.begin());
  const char* const end = begin + text.size();
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (error == std::errc() && stop == end) return value;
  return fail(Code::kCorrupt, fmt::format("its external data has no valid '{}'", key));
}

// Numbers of a typed field, in the width of the type.
tensor::Bytes narrowed(DataType type, const std::vector<uint64_t>& numbers) {
  tensor::Bytes bytes;
  if (type == DataType::kInt4 || type == DataType::kUint4) {
    for (const uint64_t packed : numbers) bytes.push_back(std::byte(packed & 0xff));
    return bytes;
  }
  const size_t size = tensor::size_of(type);
  bytes.resize(numbers.size() * size);
  for (size_t i = 0; i < numbers.size(); ++i) {
    std::memcpy(bytes.data() + i * size, &numbers[i], size);
  }
  return bytes;
}

std::span<const std::byte> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

}  // namespace

Result<std::shared_ptr<const tensor::Bytes>> read_file_below(const std::string& directory,
                                                             const std::string& name,
                                                             uint64_t max_bytes) {
  SKERRY_ASSIGN(auto file, io::RegularFile::open(directory, name, max_bytes));
  auto bytes = std::make_shared<tensor::Bytes>(file.size_bytes());
  size_t have = 0;
  while (have < bytes->size()) {
    SKERRY_ASSIGN(const size_t got, file.read(std::span(*bytes).subspan(have)));
    if (got == 0) break;  // it was cut meanwhile
    have += got;
  }
  bytes->resize(have);
  return bytes;
}

Result<std::shared_ptr<const tensor::Bytes>> read_whole_file(const std::string& path,
                                                             uint64_t max_bytes) {
  std::error_code error;
  const std::filesystem::path real = std::filesystem::canonical(path, error);
  if (error) return fail(errno_error("open", path, error.value()));
  return read_file_below(real.parent_path().string(), real.filename().string(), max_bytes);
}

Result<std::shared_ptr<const tensor::Bytes>> TensorSource::file(const std::string& location) {
  auto& cached = files_[location];
  if (cached) return cached;
  if (directory_.empty()) {
    return fail(Code::kUnsupported, "its data is in another file, and there is none here");
  }
  SKERRY_ASSIGN(cached, read_file_below(directory_, location, options_.max_file_bytes));
  external_bytes_ += cached->size();
  return cached;
}

Result<Constant> TensorSource::external(const TensorProto& tensor, DataType type) {
  const auto location = tensor.external.find("location");
  if (location == tensor.external.end()) {
    return fail(Code::kCorrupt, "its external data has no location");
  }
  SKERRY_ASSIGN(const auto bytes, file(std::string(location->second)));
  SKERRY_ASSIGN(const uint64_t offset, number_in(tensor, "offset", 0));
  SKERRY_ASSIGN(const size_t count, tensor::element_count(tensor.dims));
  SKERRY_ASSIGN(const size_t size, tensor::byte_size(type, count));
  SKERRY_ASSIGN(const uint64_t length, number_in(tensor, "length", size));
  if (type == DataType::kBytes || offset > bytes->size() || length > bytes->size() - offset) {
    return fail(Code::kCorrupt,
                fmt::format("its external data lies outside of '{}'", location->second));
  }
  return Constant::share(type, tensor.dims, std::span(*bytes).subspan(offset, length), bytes);
}

Result<Constant> TensorSource::constant(const TensorProto& tensor) {
  const auto made = [&]() -> Result<Constant> {
    SKERRY_ASSIGN(const DataType type, data_type_of(tensor.data_type));
    SKERRY_TRY(tensor::element_count(tensor.dims));
    if (tensor.dims.size() > 64) return fail(Code::kUnsupported, "it has too many dimensions");
    if (tensor.is_external) return external(tensor, type);
    if (type == DataType::kBytes) {
      tensor::Bytes bytes;
      for (const std::string_view text : tensor.strings) {
        if (text.size() > UINT32_MAX) return fail(Code::kUnsupported, "a string is too long");
        tensor::append_bytes(bytes, text);
      }
      return Constant::make(type, tensor.dims, std::move(bytes));
    }
    if (tensor.has_raw) return Constant::share(type, tensor.dims, as_bytes(tensor.raw), owner_);
    return Constant::make(type, tensor.dims, narrowed(type, tensor.numbers));
  }();
  if (made) {
    // Functions make their constants at each call.
    made_bytes_ += made->bytes().size();
    if (made_bytes_ <= options_.max_file_bytes) return made;
    return fail(Code::kResourceExhausted, "the model's constants are too large together");
  }
  return fail(made.error().with_context(fmt::format("tensor '{}'", tensor.name)));
}

}  // namespace skerry::graph::onnx
