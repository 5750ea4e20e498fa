// Protobuf messages, written from the inside out. Large content is borrowed until the message is
// written, so that the weights of a model are never copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace skerry {

class ProtobufWriter {
 public:
  void number(uint32_t field, int64_t value);
  void single(uint32_t field, float value);
  void text(uint32_t field, std::string_view value);  // or bytes; copied
  // `value` outlives this and every message that this becomes a part of.
  void borrowed(uint32_t field, std::span<const std::byte> value);
  void message(uint32_t field, ProtobufWriter&& inner);
  void fields(ProtobufWriter&& more);                             // at the end of this message
  void numbers(uint32_t field, std::span<const int64_t> values);  // packed

  uint64_t size() const { return size_; }
  // Calls write(string_view) for each part in order.
  template <class Write>
  void for_each_part(Write&& write) const {
    for (const auto& part : parts_) {
      std::visit([&](const auto& bytes) { write(std::string_view(bytes)); }, part);
    }
  }

 private:
  std::string& own();
  void varint(uint64_t value);
  void key(uint32_t field, uint32_t wire_type);

  std::vector<std::variant<std::string, std::string_view>> parts_;
  uint64_t size_ = 0;
};

}  // namespace skerry
