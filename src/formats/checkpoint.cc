// Magic, lengths, a JSON document, tensors, and a SHA-256 of all that.
#include "formats/checkpoint.h"

#include <cstring>

#include "base/sha256.h"

namespace skerry::formats {
namespace {

constexpr std::string_view kMagic = "SKCKPT01";
constexpr size_t kDigest = 32;
constexpr uint64_t kMaxFileBytes = uint64_t{16} << 30;
constexpr size_t kMaxRank = 32;

void put(std::string& out, uint64_t value) {
  for (int i = 0; i < 8; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
}

void put(std::string& out, std::string_view text) {
  put(out, text.size());
  out += text;
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}

  Result<uint64_t> number() {
    SKERRY_ASSIGN(const std::string_view bytes, take(8));
    uint64_t value = 0;
    for (size_t i = 8; i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
    return value;
  }
  Result<std::string_view> text() {
    SKERRY_ASSIGN(const uint64_t size, number());
    return take(size);
  }
  Result<std::string_view> take(uint64_t size) {
    if (size > left_.size()) return fail(Code::kCorrupt, "the checkpoint is cut short");
    const std::string_view bytes = left_.substr(0, size);
    left_.remove_prefix(size);
    return bytes;
  }
  bool at_end() const { return left_.empty(); }

 private:
  std::string_view left_;
};

Result<tensor::Tensor> read_tensor(Reader& reader) {
  tensor::Tensor tensor;
  SKERRY_ASSIGN(tensor.name, reader.text());
  SKERRY_ASSIGN(const std::string_view type, reader.text());
  const auto found = tensor::find_data_type(type);
  if (!found) return fail(Code::kCorrupt, "the checkpoint has a tensor of an unknown type");
  tensor.type = *found;
  SKERRY_ASSIGN(const uint64_t rank, reader.number());
  if (rank > kMaxRank) return fail(Code::kCorrupt, "the checkpoint has too many dimensions");
  for (uint64_t i = 0; i < rank; ++i) {
    SKERRY_ASSIGN(const uint64_t size, reader.number());
    tensor.shape.push_back(static_cast<int64_t>(size));
  }
  SKERRY_ASSIGN(const std::string_view bytes, reader.text());
  const auto count = tensor::element_count(tensor.shape);
  const auto expected = count ? tensor::byte_size(tensor.type, *count)
                              : Result<size_t>(std::unexpected(count.error()));
  if (!expected || *expected != bytes.size()) {
    return fail(Code::kCorrupt, "a tensor of the checkpoint has another size than its shape");
  }
  const auto* first = reinterpret_cast<const std::byte*>(bytes.data());
  tensor.bytes.assign(first, first + bytes.size());
  return tensor;
}

}  // namespace

std::string encode(const Checkpoint& checkpoint) {
  std::string out(kMagic);
  put(out, checkpoint.document);
  put(out, checkpoint.tensors.size());
  for (const tensor::Tensor& tensor : checkpoint.tensors) {
    put(out, tensor.name);
    put(out, tensor::name_of(tensor.type));
    put(out, tensor.shape.size());
    for (const int64_t size : tensor.shape) put(out, static_cast<uint64_t>(size));
    put(out,
        std::string_view(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size()));
  }
  return out + sha256(out);
}

Result<Checkpoint> decode_checkpoint(std::string_view bytes) {
  if (!bytes.starts_with(kMagic) || bytes.size() < kMagic.size() + kDigest) {
    return fail(Code::kCorrupt, "this is no checkpoint of skerry");
  }
  const std::string_view content = bytes.substr(0, bytes.size() - kDigest);
  if (sha256(content) != bytes.substr(content.size())) {
    return fail(Code::kCorrupt, "the checkpoint is damaged: its digest is another");
  }
  Reader reader(content.substr(kMagic.size()));
  Checkpoint checkpoint;
  SKERRY_ASSIGN(checkpoint.document, reader.text());
  SKERRY_ASSIGN(const uint64_t count, reader.number());
  for (uint64_t i = 0; i < count; ++i) {
    SKERRY_ASSIGN(tensor::Tensor tensor, read_tensor(reader));
    checkpoint.tensors.push_back(std::move(tensor));
  }
  if (!reader.at_end()) return fail(Code::kCorrupt, "the checkpoint goes on after its end");
  return checkpoint;
}

Result<void> write_checkpoint(io::Files& files, const std::string& path,
                              const Checkpoint& checkpoint) {
  return io::write_file_atomic(files, path, encode(checkpoint), 0644);
}

Result<Checkpoint> read_checkpoint(io::Files& files, const std::string& path) {
  SKERRY_ASSIGN(const std::string bytes, io::read_file(files, path, kMaxFileBytes));
  auto checkpoint = decode_checkpoint(bytes);
  if (!checkpoint) return fail(checkpoint.error().with_context(path));
  return checkpoint;
}

}  // namespace skerry::formats
