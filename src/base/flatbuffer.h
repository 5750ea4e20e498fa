// FlatBuffers, field by field, without schemas or generated code. Every position is checked: reads
// that lie outside of the file give 0 and are remembered.
// https://flatbuffers.dev/internals/
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace skerry {

class FlatBuffer {
 public:
  explicit FlatBuffer(std::string_view bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  void refuse() { ok_ = false; }
  size_t size() const { return bytes_.size(); }

  template <class T>
  T read(size_t at) {
    T value{};
    if (++looks_ > kMaxLooks || at > bytes_.size() || sizeof value > bytes_.size() - at) {
      ok_ = false;
      return value;
    }
    std::memcpy(&value, bytes_.data() + at, sizeof value);
    return value;
  }

  size_t follow(size_t at) { return at + read<uint32_t>(at); }

  // Where a table's field stands; nothing where the table leaves it out.
  std::optional<size_t> field(size_t table, unsigned index) {
    const int64_t vtable = static_cast<int64_t>(table) - read<int32_t>(table);
    if (!ok_ || vtable < 0) {
      ok_ = false;
      return {};
    }
    const auto at = static_cast<size_t>(vtable);
    const size_t slot = 4 + 2 * static_cast<size_t>(index);
    if (slot + 2 > read<uint16_t>(at)) return {};
    const auto offset = read<uint16_t>(at + slot);
    if (offset == 0) return {};
    return table + offset;
  }

  template <class T>
  T scalar(size_t table, unsigned index, T otherwise = {}) {
    const auto at = field(table, index);
    return at ? read<T>(*at) : otherwise;
  }

  struct Vector {
    size_t first = 0;
    size_t count = 0;
  };
  // Of elements of that many bytes; empty where the table leaves it out.
  Vector vector(size_t table, unsigned index, size_t element_bytes) {
    const auto at = field(table, index);
    if (!at) return {};
    const size_t start = follow(*at);
    const size_t count = read<uint32_t>(start);
    if (!ok_ || count > (bytes_.size() - start - 4) / element_bytes) {
      ok_ = false;
      return {};
    }
    return {start + 4, count};
  }

  // Of places that have been checked.
  std::string_view bytes(size_t first, size_t count) const { return bytes_.substr(first, count); }
  std::string_view string(size_t table, unsigned index) {
    const Vector text = vector(table, index, 1);
    return bytes_.substr(text.first, text.count);
  }

 private:
  // Vectors may be shared by many tables: the work has a limit of its own.
  static constexpr size_t kMaxLooks = 20'000'000;

  std::string_view bytes_;
  bool ok_ = true;
  size_t looks_ = 0;
};

}  // namespace skerry
