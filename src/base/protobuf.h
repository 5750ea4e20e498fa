// Protobuf's wire format, field by field, without schemas or generated code.
// https://protobuf.dev/programming-guides/encoding/
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace skerry {

struct ProtobufField {
  uint32_t number = 0;
  bool is_message = false;  // or string, or packed numbers: `bytes`; else `value`
  uint64_t value = 0;       // varint or fixed, as its bits
  std::string_view bytes;
};

class ProtobufReader {
 public:
  explicit ProtobufReader(std::string_view bytes) : rest_(bytes) {}

  bool at_end() const { return rest_.empty(); }
  std::optional<ProtobufField> next();       // empty where the bytes are damaged
  std::optional<uint64_t> varint();          // these two for packed numbers
  std::optional<uint64_t> fixed(int bytes);  // little-endian, at most 8

 private:
  bool skip(uint64_t size);

  std::string_view rest_;
};

}  // namespace skerry
