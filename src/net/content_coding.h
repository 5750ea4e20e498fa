// Content-Encoding gzip and deflate: undone of bytes that arrive in pieces (inside of net), done to
// a whole answer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::net {

// The coding that a request's Accept-Encoding likes best, "gzip" or "deflate"; "" where it wants
// none of them, or the bytes as they are more.
std::string_view choose_coding(std::string_view accept_encoding);
// `bytes` in that coding: quickly, not as small as can be.
std::string encode_content(std::string_view coding, std::string_view bytes);

class Inflater {
 public:
  // Whether Inflater undoes the content coding `name`.
  static bool knows(std::string_view name);

  Inflater();
  ~Inflater();
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // Appends what `bytes` stand for. kInvalidArgument where they are no such data;
  // kResourceExhausted where `out` would grow beyond `max_bytes`.
  Result<void> write(std::string_view bytes, std::string& out, uint64_t max_bytes);
  // Whether the data ended where they should.
  bool complete() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace skerry::net
