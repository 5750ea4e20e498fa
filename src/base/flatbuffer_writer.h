// FlatBuffers, written from a tree of tables, parents before what they refer to; the counterpart of
// base/flatbuffer.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace skerry {

class FlatTable {
 public:
  template <class T>
  void scalar(unsigned field, T value) {
    fields_[field] = Scalar{{reinterpret_cast<const char*>(&value), sizeof value}};
  }
  void text(unsigned field, std::string_view value);
  template <class T>
  void list(unsigned field, std::span<const T> values, size_t alignment = sizeof(T)) {
    fields_[field] = List{values.size(),
                          {reinterpret_cast<const char*>(values.data()), values.size_bytes()},
                          alignment};
  }
  void table(unsigned field, FlatTable value);
  void tables(unsigned field, std::vector<FlatTable> values);

  // The whole file with this as its root.
  std::string serialised(std::string_view identifier) const;

 private:
  struct Scalar {
    std::string bytes;
  };
  struct List {
    size_t count;
    std::string bytes;
    size_t alignment;
  };
  struct Text {
    std::string text;
  };
  struct Tables {
    std::vector<FlatTable> tables;
    bool one;  // a table itself, not a vector of them
  };
  using Field = std::variant<Scalar, List, Text, Tables>;

  size_t append_to(std::string& out) const;  // where the table stands
  static size_t append(std::string& out, const Field& field);

  std::map<unsigned, Field> fields_;
};

}  // namespace skerry
