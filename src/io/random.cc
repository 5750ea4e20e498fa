// Random sources and the identifiers made from them.
#include "io/random.h"

#include <sys/random.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace skerry::io {

uint64_t Random::next() {
  uint64_t value = 0;
  fill(&value, sizeof value);
  return value;
}

std::string Random::token(size_t length) {
  static constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  std::string text;
  text.reserve(length);
  while (text.size() < length) {
    unsigned char byte = 0;
    fill(&byte, 1);
    if (byte < 252) text += kAlphabet[byte % 36];  // 252 = 7 × 36: no character is favoured
  }
  return text;
}

std::string Random::uuid() {
  unsigned char bytes[16];
  fill(bytes, sizeof bytes);
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  static constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kHex[bytes[i] >> 4];
    text += kHex[bytes[i] & 15];
  }
  return text;
}

void RealRandom::fill(void* bytes, size_t size) {
  auto* out = static_cast<unsigned char*>(bytes);
  while (size > 0) {
    ssize_t got = getrandom(out, size, 0);
    if (got < 0) std::abort();  // the kernel's generator does not fail once it is initialised
    out += got;
    size -= static_cast<size_t>(got);
  }
}

void SeededRandom::fill(void* bytes, size_t size) {
  auto* out = static_cast<unsigned char*>(bytes);
  while (size > 0) {
    uint64_t value = engine_();
    size_t take = std::min(size, sizeof value);
    std::memcpy(out, &value, take);
    out += take;
    size -= take;
  }
}

}  // namespace skerry::io
