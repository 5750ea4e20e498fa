// Inside of net: undoing Content-Encoding gzip and deflate of bytes that arrive in pieces.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::net {

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
