// Shares of a secret, so many of which give it back while fewer say nothing of it (Shamir, 1979):
// each byte is a polynomial's value at 0 in GF(256), AES's field.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "io/random.h"

namespace skerry::federated::secure {

inline constexpr size_t kMostShares = 255;

struct Share {
  uint8_t x = 0;      // where; never 0, where the secret lies
  std::string bytes;  // as many as the secret has
};

// At x = 1 … shares. 1 ≤ threshold ≤ shares ≤ kMostShares.
std::vector<Share> split(std::string_view secret, size_t shares, size_t threshold,
                         io::Random& random);
// The secret, if these are as many as the threshold, and right: nobody can tell from them alone.
// kInvalidArgument where one has x = 0, two have the same, or sizes differ.
Result<std::string> join(std::span<const Share> shares);

}  // namespace skerry::federated::secure
