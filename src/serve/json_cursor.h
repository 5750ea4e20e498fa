// Reads JSON text in place, front to back, in one pass: a request of 50 MB costs no memory but its
// text. Complaints of the grammar are sticky, so that loops simply end; ask ok() after them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace skerry::serve {

class JsonCursor {
 public:
  // `text` is UTF-8 (checked by the caller) and outlives the cursor.
  explicit JsonCursor(std::string_view text) : text_(text) {}

  enum class Kind { kObject, kArray, kString, kNumber, kBool, kNull, kNone };
  // What begins at the next character that is no space; moves to it.
  Kind peek();

  // An object: for (bool more = c.first_member(key); more; more = c.next_member(key)) { one value }
  bool first_member(std::string& key) { return begin('{') && member(key, true); }
  bool next_member(std::string& key) { return member(key, false); }
  // An array: for (bool more = c.first_element(); more; more = c.next_element()) { one value }
  bool first_element() { return begin('[') && element(true); }
  bool next_element() { return element(false); }

  // One value. Nothing (and the cursor goes on standing before it) where it has another type.
  bool read_string(std::string& out);
  std::optional<bool> read_bool();
  bool read_null();
  std::optional<int64_t> read_int();  // written without fraction and exponent, in range
  std::optional<uint64_t> read_uint();
  std::optional<double> read_double();  // infinity beyond its range

  // Past the next value, whatever it is, checking its grammar.
  void skip();
  // True where nothing but spaces follows.
  bool at_end();

  bool ok() const { return problem_.empty(); }
  // "a value is missing at byte 17"; "" where ok().
  const std::string& problem() const { return problem_; }
  size_t position() const { return at_; }
  void seek(size_t position) { at_ = position; }  // only to where a value began

 private:
  static constexpr int kMaxDepth = 64;

  void spaces();
  bool fail(std::string_view what);
  bool begin(char open);
  bool member(std::string& key, bool first);
  bool element(bool first);
  bool literal(std::string_view word);
  bool skip_string();
  void skip_value(int depth);
  bool escape(std::string* out);
  std::optional<uint32_t> hex4();
  std::string_view number();  // the token; "" where it is none
  template <class T>
  std::optional<T> read_integer();

  std::string_view text_;
  size_t at_ = 0;
  std::string problem_;
};

}  // namespace skerry::serve
