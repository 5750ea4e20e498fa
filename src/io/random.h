// Randomness: the kernel's for programs, a seeded generator for tests and the simulator.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

namespace skerry::io {

class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(void* bytes, size_t size) = 0;

  uint64_t next();
  uint64_t below(uint64_t limit) { return next() % limit; }                 // limit > 0
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }  // [0, 1)
  // `length` characters of A–Z0–9, 5.17 bits each; for tokens and identifiers.
  std::string token(size_t length);
  // A version 4 UUID in lower case.
  std::string uuid();
};

class RealRandom : public Random {
 public:
  void fill(void* bytes, size_t size) override;  // getrandom(2)
};

class SeededRandom : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : engine_(seed) {}
  void fill(void* bytes, size_t size) override;

 private:
  std::mt19937_64 engine_;
};

}  // namespace skerry::io
