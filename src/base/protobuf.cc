// Varints, fixed numbers and lengths; groups, which nobody writes any more, count as damage.
#include "base/protobuf.h"

namespace skerry {

std::optional<ProtobufField> ProtobufReader::next() {
  const auto key = varint();
  if (!key || (*key >> 3) == 0 || (*key >> 3) > UINT32_MAX) return {};
  ProtobufField field;
  field.number = static_cast<uint32_t>(*key >> 3);
  std::optional<uint64_t> value;
  switch (*key & 7) {
    case 0:
      value = varint();
      break;
    case 1:
      value = fixed(8);
      break;
    case 2: {
      value = varint();
      field.is_message = true;
      field.bytes = rest_.substr(0, value.value_or(0));
      if (!value || !skip(*value)) return {};
      break;
    }
    case 5:
      value = fixed(4);
      break;
    default:
      return {};
  }
  if (!value) return {};
  field.value = *value;
  return field;
}

std::optional<uint64_t> ProtobufReader::varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  return {};
}

std::optional<uint64_t> ProtobufReader::fixed(int bytes) {
  if (rest_.size() < static_cast<size_t>(bytes)) return {};
  uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) {
    value |= static_cast<uint64_t>(static_cast<uint8_t>(rest_[static_cast<size_t>(i)])) << (8 * i);
  }
  rest_.remove_prefix(static_cast<size_t>(bytes));
  return value;
}

bool ProtobufReader::skip(uint64_t size) {
  if (size > rest_.size()) return false;
  rest_.remove_prefix(size);
  return true;
}

}  // namespace skerry
