// Fields one after the other, each checked against what is left.
#include "serve/ring_codec.h"

#include <fmt/format.h>
#include <skerry/ring_layout.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace skerry::serve {
namespace {

static_assert(std::endian::native == std::endian::little, "fields are copied as they are");

constexpr int64_t kMaxRingTimeoutMs = 86'400'000;
constexpr size_t kMaxRefusalBytes = 2048;  // fits into every area

class RingReader {
 public:
  explicit RingReader(std::string_view bytes) : rest_(bytes) {}

  template <class Number>
  Number number() {
    Number value = 0;
    const std::string_view bytes = text(sizeof value);
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  // "" where there is less; complete() then says so.
  std::string_view text(size_t size) {
    if (size > rest_.size()) {
      is_short_ = true;
      rest_ = {};
      return {};
    }
    const std::string_view result = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return result;
  }
  bool is_short() const { return is_short_; }
  bool is_at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
  bool is_short_ = false;
};

std::unexpected<Error> wrong_head(std::string_view what) {
  return fail(Code::kInvalidArgument, fmt::format("the request's head {}", what));
}

Result<void> read_input(RingReader& reader, RingRequest& request) {
  tensor::Tensor input;
  const auto type = reader.number<uint16_t>();
  const auto rank = reader.number<uint16_t>();
  const auto name_bytes = reader.number<uint32_t>();
  request.input_bytes.push_back(reader.number<uint64_t>());
  if (type > static_cast<uint16_t>(tensor::DataType::kBytes)) {
    return wrong_head(fmt::format("names element type {}, which there is not", type));
  }
  if (rank > SKERRY_RING_MAX_RANK) {
    return wrong_head(fmt::format("has a tensor of {} dimensions, more than {}", rank,
                                  static_cast<int>(SKERRY_RING_MAX_RANK)));
  }
  input.type = static_cast<tensor::DataType>(type);
  for (uint16_t i = 0; i < rank; ++i) input.shape.push_back(reader.number<int64_t>());
  input.name = reader.text(name_bytes);
  SKERRY_ASSIGN(const size_t elements, tensor::element_count(input.shape));
  SKERRY_ASSIGN(const size_t bytes, tensor::byte_size(input.type, elements));
  const bool is_whole =
      input.type == tensor::DataType::kBytes || request.input_bytes.back() == bytes;
  if (!is_whole && !reader.is_short()) {
    return wrong_head(fmt::format("gives input '{}' {} bytes, and {} has {}", input.name,
                                  request.input_bytes.back(),
                                  tensor::describe(input.type, input.shape), bytes));
  }
  request.inference.inputs.push_back(std::move(input));
  return {};
}

template <class Number>
void append_field(std::string& out, Number value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
}

}  // namespace

Result<RingRequest> decode_ring_request(std::string_view head) {
  RingReader reader(head);
  RingRequest request;
  const auto kind = reader.number<uint32_t>();
  request.inference.priority = reader.number<uint32_t>();
  const auto timeout_us = reader.number<uint64_t>();
  const auto inputs = reader.number<uint16_t>();
  const auto outputs = reader.number<uint16_t>();
  const auto model_bytes = reader.number<uint16_t>();
  const auto version_bytes = reader.number<uint16_t>();
  if (!reader.is_short() && kind != SKERRY_RING_INFER) {
    return fail(Code::kUnsupported, fmt::format("there are no requests of kind {}", kind));
  }
  if (inputs > SKERRY_RING_MAX_TENSORS || outputs > SKERRY_RING_MAX_TENSORS) {
    return wrong_head("counts more tensors than a request may have");
  }
  if (timeout_us > 0) {
    request.inference.timeout_ms =
        static_cast<int64_t>(std::min<uint64_t>(timeout_us / 1000 + 1, kMaxRingTimeoutMs));
  }
  request.model = reader.text(model_bytes);
  request.version = reader.text(version_bytes);
  for (uint16_t i = 0; i < inputs && !reader.is_short(); ++i) {
    SKERRY_TRY(read_input(reader, request));
  }
  for (uint16_t i = 0; i < outputs && !reader.is_short(); ++i) {
    request.inference.outputs.emplace_back(reader.text(reader.number<uint16_t>()));
  }
  if (reader.is_short()) return wrong_head("ends in the middle of a field");
  if (!reader.is_at_end()) return wrong_head("goes on behind its last field");
  return request;
}

uint32_t ring_status(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
      return SKERRY_STATUS_INVALID_ARGUMENT;
    case Code::kNotFound:
      return SKERRY_STATUS_NOT_FOUND;
    case Code::kAlreadyExists:
      return SKERRY_STATUS_ALREADY_EXISTS;
    case Code::kPermissionDenied:
      return SKERRY_STATUS_PERMISSION_DENIED;
    case Code::kFailedPrecondition:
      return SKERRY_STATUS_FAILED_PRECONDITION;
    case Code::kCorrupt:
      return SKERRY_STATUS_CORRUPT;
    case Code::kUnsupported:
      return SKERRY_STATUS_UNSUPPORTED;
    case Code::kResourceExhausted:
      return SKERRY_STATUS_RESOURCE_EXHAUSTED;
    case Code::kUnavailable:
      return SKERRY_STATUS_UNAVAILABLE;
    case Code::kTimeout:
      return SKERRY_STATUS_TIMEOUT;
    case Code::kCancelled:
      return SKERRY_STATUS_CANCELLED;
    case Code::kInternal:
      return SKERRY_STATUS_INTERNAL;
  }
  return SKERRY_STATUS_INTERNAL;
}

std::string encode_ring_answer(std::string_view version, std::span<const tensor::Tensor> outputs) {
  std::string head;
  append_field(head, uint32_t{SKERRY_STATUS_OK});
  append_field(head, uint32_t{0});
  append_field(head, static_cast<uint16_t>(outputs.size()));
  append_field(head, static_cast<uint16_t>(version.size()));
  append_field(head, uint32_t{0});
  head += version;
  for (const tensor::Tensor& output : outputs) {
    append_field(head, static_cast<uint16_t>(output.type));
    append_field(head, static_cast<uint16_t>(output.shape.size()));
    append_field(head, static_cast<uint32_t>(output.name.size()));
    append_field(head, uint64_t{output.bytes.size()});
    for (const int64_t dimension : output.shape) append_field(head, dimension);
    head += output.name;
  }
  return head;
}

std::string encode_ring_refusal(const RingRefusal& refusal) {
  const std::string_view message = std::string_view(refusal.message).substr(0, kMaxRefusalBytes);
  std::string head;
  append_field(head, refusal.status);
  append_field(head, refusal.retry_after_s);
  append_field(head, uint16_t{0});
  append_field(head, uint16_t{0});
  append_field(head, static_cast<uint32_t>(message.size()));
  head += message;
  return head;
}

}  // namespace skerry::serve
