// RFC 8259, by hand.
#include "serve/json_cursor.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>

namespace skerry::serve {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

void append_utf8(std::string& out, uint32_t code) {
  const auto put = [&out](uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xc0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xe0 | code >> 12);
    } else {
      put(0xf0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3f));
    }
    put(0x80 | (code >> 6 & 0x3f));
  }
  put(0x80 | (code & 0x3f));
}

}  // namespace

void JsonCursor::spaces() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return;
    ++at_;
  }
}

bool JsonCursor::fail(std::string_view what) {
  if (ok()) problem_ = fmt::format("{} at byte {}", what, at_);
  at_ = text_.size();  // every loop ends
  return false;
}

JsonCursor::Kind JsonCursor::peek() {
  spaces();
  if (at_ >= text_.size()) return Kind::kNone;
  const char c = text_[at_];
  if (c == '{') return Kind::kObject;
  if (c == '[') return Kind::kArray;
  if (c == '"') return Kind::kString;
  if (c == '-' || is_digit(c)) return Kind::kNumber;
  if (c == 't' || c == 'f') return Kind::kBool;
  return c == 'n' ? Kind::kNull : Kind::kNone;
}

bool JsonCursor::begin(char open) {
  spaces();
  if (at_ >= text_.size() || text_[at_] != open) return fail("another value is expected");
  ++at_;
  return true;
}

bool JsonCursor::member(std::string& key, bool first) {
  spaces();
  if (at_ >= text_.size()) return fail("an object is not closed");
  if (text_[at_] == '}') {
    ++at_;
    return false;
  }
  if (!first) {
    if (text_[at_] != ',') return fail("',' or '}' is missing");
    ++at_;
    spaces();
  }
  if (!read_string(key)) return fail("a member's name is missing");
  spaces();
  if (at_ >= text_.size() || text_[at_] != ':') return fail("':' is missing");
  ++at_;
  return true;
}

bool JsonCursor::element(bool first) {
  spaces();
  if (at_ >= text_.size()) return fail("an array is not closed");
  if (text_[at_] == ']') {
    ++at_;
    return false;
  }
  if (first) return true;
  if (text_[at_] != ',') return fail("',' or ']' is missing");
  ++at_;
  return true;
}

bool JsonCursor::literal(std::string_view word) {
  if (!text_.substr(at_).starts_with(word)) return fail("a value is wrong");
  at_ += word.size();
  return true;
}

std::optional<uint32_t> JsonCursor::hex4() {
  uint32_t code = 0;
  const char* first = text_.data() + at_;
  if (text_.size() - at_ < 4) return std::nullopt;
  const auto [end, error] = std::from_chars(first, first + 4, code, 16);
  if (error != std::errc() || end != first + 4) return std::nullopt;
  at_ += 4;
  return code;
}

// What follows a backslash; appended where `out` is given.
bool JsonCursor::escape(std::string* out) {
  if (at_ >= text_.size()) return fail("a string is not closed");
  constexpr std::string_view kNames = "\"\\/bfnrt";
  constexpr std::string_view kMeant = "\"\\/\b\f\n\r\t";
  const char c = text_[at_++];
  if (const size_t i = kNames.find(c); i != std::string_view::npos) {
    if (out != nullptr) *out += kMeant[i];
    return true;
  }
  auto code = c == 'u' ? hex4() : std::nullopt;
  if (!code) return fail("an escape is wrong");
  if (*code >= 0xd800 && *code < 0xe000) {
    std::optional<uint32_t> low;
    if (*code < 0xdc00 && text_.substr(at_).starts_with("\\u")) {
      at_ += 2;
      low = hex4();
    }
    if (!low || *low < 0xdc00 || *low >= 0xe000) return fail("half a surrogate pair");
    code = 0x10000 + ((*code - 0xd800) << 10) + (*low - 0xdc00);
  }
  if (out != nullptr) append_utf8(*out, *code);
  return true;
}

bool JsonCursor::read_string(std::string& out) {
  if (peek() != Kind::kString) return false;
  out.clear();
  size_t from = ++at_;
  for (; at_ < text_.size(); ++at_) {
    const char c = text_[at_];
    if (c != '"' && c != '\\' && static_cast<unsigned char>(c) >= 0x20) continue;
    out.append(text_, from, at_ - from);
    if (c == '"') {
      ++at_;
      return true;
    }
    if (c != '\\') return fail("a control character in a string");
    ++at_;
    if (!escape(&out)) return false;
    from = at_--;
  }
  return fail("a string is not closed");
}

bool JsonCursor::skip_string() {
  for (++at_; at_ < text_.size();) {
    const char c = text_[at_++];
    if (c == '"') return true;
    if (static_cast<unsigned char>(c) < 0x20) return fail("a control character in a string");
    if (c == '\\' && !escape(nullptr)) return false;
  }
  return fail("a string is not closed");
}

std::optional<bool> JsonCursor::read_bool() {
  if (peek() != Kind::kBool) return std::nullopt;
  const bool value = text_[at_] == 't';
  if (!literal(value ? "true" : "false")) return std::nullopt;
  return value;
}

bool JsonCursor::read_null() {
  return peek() == Kind::kNull && literal("null");
}

std::string_view JsonCursor::number() {
  if (peek() != Kind::kNumber) return {};
  const size_t from = at_;
  const auto digits = [this] {
    const size_t first = at_;
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    return at_ > first;
  };
  const auto take = [this](std::string_view any_of) {
    const bool there = at_ < text_.size() && any_of.find(text_[at_]) != std::string_view::npos;
    if (there) ++at_;
    return there;
  };
  take("-");
  const bool starts_with_zero = at_ < text_.size() && text_[at_] == '0';
  const size_t whole = at_;
  bool right = digits() && (!starts_with_zero || at_ == whole + 1);
  if (take(".")) right = digits() && right;
  if (take("eE")) {
    take("+-");
    right = digits() && right;
  }
  if (!right) {
    fail("a number is wrong");
    return {};
  }
  return text_.substr(from, at_ - from);
}

template <class T>
std::optional<T> JsonCursor::read_integer() {
  const size_t from = at_;
  const std::string_view token = number();
  T value{};
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
  if (!token.empty() && error == std::errc() && end == token.data() + token.size()) return value;
  if (ok() && token == "-0") return T{0};
  if (ok()) at_ = from;
  return std::nullopt;
}

std::optional<int64_t> JsonCursor::read_int() {
  return read_integer<int64_t>();
}
std::optional<uint64_t> JsonCursor::read_uint() {
  return read_integer<uint64_t>();
}

std::optional<double> JsonCursor::read_double() {
  const std::string_view token = number();
  if (token.empty()) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
  // Too large and too small look alike to from_chars.
  if (error != std::errc()) value = std::strtod(std::string(token).c_str(), nullptr);
  return value;
}

void JsonCursor::skip_value(int depth) {
  if (depth == kMaxDepth) {
    fail("values are nested too deep");
    return;
  }
  std::string key;
  switch (peek()) {
    case Kind::kObject:
      for (bool more = first_member(key); more; more = next_member(key)) skip_value(depth + 1);
      return;
    case Kind::kArray:
      for (bool more = first_element(); more; more = next_element()) skip_value(depth + 1);
      return;
    case Kind::kString:
      skip_string();
      return;
    case Kind::kNumber:
      number();
      return;
    case Kind::kBool:
      read_bool();
      return;
    case Kind::kNull:
      read_null();
      return;
    case Kind::kNone:
      fail("a value is missing");
      return;
  }
}

void JsonCursor::skip() {
  skip_value(0);
}

bool JsonCursor::at_end() {
  spaces();
  return at_ == text_.size();
}

}  // namespace skerry::serve
