// Inputs that a model makes up for itself: its self-check runs on them, and the compiler asks the
// reference executor about the same ones.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace skerry_kernels {

// `kind`: 0 floats from -1 to 1, 1 any byte, 2 whole numbers of 0 and 1, which are indices of
// nearly everything. `size`: bytes of an element.
inline void fill_input(void* to, size_t count, size_t size, int kind, uint32_t seed) {
  uint32_t state = seed * 2654435761u + 1;
  uint8_t* p = static_cast<uint8_t*>(to);
  for (size_t i = 0; i < count; ++i, p += size) {
    state = state * 1664525u + 1013904223u;
    const uint32_t random = state >> 8;
    if (kind == 0) {
      const float value =
          static_cast<float>(static_cast<int32_t>(random & 0xffff) - 0x8000) / 32768.0f;
      memcpy(p, &value, sizeof value);
    } else if (kind == 1) {
      *p = static_cast<uint8_t>(random);
    } else {
      for (size_t k = 0; k < size; ++k) p[k] = 0;
      p[0] = random & 1;
    }
  }
}

inline bool same_bytes(const void* a, const void* b, size_t count) {
  const uint8_t* p = static_cast<const uint8_t*>(a);
  const uint8_t* q = static_cast<const uint8_t*>(b);
  uint8_t differ = 0;
  for (size_t i = 0; i < count; ++i) differ |= p[i] ^ q[i];
  return differ == 0;
}

// `samples` elements of `values`, every step-th, against as many expected ones.
template <class T>
inline bool close_to(const void* values, const void* expected, size_t samples, size_t step,
                     float tolerance) {
  for (size_t i = 0; i < samples; ++i) {
    T got, want;
    memcpy(&got, static_cast<const uint8_t*>(values) + i * step * sizeof(T), sizeof got);
    memcpy(&want, static_cast<const uint8_t*>(expected) + i * sizeof(T), sizeof want);
    const float a = static_cast<float>(got), b = static_cast<float>(want);
    const float difference = a - b;
    const bool same = got == want || (__builtin_isnan(a) && __builtin_isnan(b));
    if (!same && !(difference <= tolerance && -difference <= tolerance)) return false;
  }
  return true;
}

}  // namespace skerry_kernels
