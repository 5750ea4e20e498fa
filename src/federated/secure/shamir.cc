// No tables and no branches that depend on secrets: what is computed takes as long for any.
#include "federated/secure/shamir.h"

#include <algorithm>
#include <bitset>

#include "base/check.h"

namespace skerry::federated::secure {
namespace {

// In GF(2)[x] modulo x⁸ + x⁴ + x³ + x + 1.
uint8_t multiply(uint8_t a, uint8_t b) {
  unsigned product = 0;
  unsigned left = a;
  for (unsigned bit = 0; bit < 8; ++bit) {
    product ^= left & (0U - ((unsigned{b} >> bit) & 1U));
    left = (left << 1) ^ (0x11BU & (0U - ((left >> 7) & 1U)));
  }
  return static_cast<uint8_t>(product);
}

// a⁻¹ = a²⁵⁴; 0 for 0.
uint8_t inverse(uint8_t a) {
  uint8_t result = 1;
  uint8_t power = a;
  for (int bit = 1; bit < 8; ++bit) {
    power = multiply(power, power);
    result = multiply(result, power);
  }
  return result;
}

uint8_t byte(char c) {
  return static_cast<uint8_t>(c);
}

}  // namespace

std::vector<Share> split(std::string_view secret, size_t shares, size_t threshold,
                         io::Random& random) {
  SKERRY_CHECK(threshold >= 1 && threshold <= shares && shares <= kMostShares,
               "a threshold is of so many shares, at most 255");
  // Coefficients of x¹ … for all bytes.
  std::string drawn(secret.size() * (threshold - 1), '\0');
  if (!drawn.empty()) random.fill(drawn.data(), drawn.size());
  std::vector<Share> made(shares);
  for (size_t i = 0; i < shares; ++i) {
    made[i] = {.x = static_cast<uint8_t>(i + 1), .bytes = std::string(secret.size(), '\0')};
    for (size_t at = 0; at < secret.size(); ++at) {
      uint8_t value = 0;  // Horner
      for (size_t power = threshold - 1; power > 0; --power) {
        value = multiply(
            static_cast<uint8_t>(value ^ byte(drawn[(power - 1) * secret.size() + at])), made[i].x);
      }
      made[i].bytes[at] = static_cast<char>(value ^ byte(secret[at]));
    }
  }
  return made;
}

Result<std::string> join(std::span<const Share> shares) {
  std::bitset<kMostShares + 1> seen;
  for (const Share& share : shares) {
    if (share.x == 0 || seen[share.x] || share.bytes.size() != shares[0].bytes.size()) {
      return fail(Code::kInvalidArgument, "these are no shares of one secret");
    }
    seen[share.x] = true;
  }
  std::string secret(shares.empty() ? 0 : shares[0].bytes.size(), '\0');
  for (const Share& share : shares) {
    uint8_t weight = 1;  // of Lagrange, at 0
    for (const Share& other : shares) {
      if (other.x == share.x) continue;
      weight =
          multiply(weight, multiply(other.x, inverse(static_cast<uint8_t>(other.x ^ share.x))));
    }
    for (size_t at = 0; at < secret.size(); ++at) {
      secret[at] = static_cast<char>(byte(secret[at]) ^ multiply(weight, byte(share.bytes[at])));
    }
  }
  return secret;
}

}  // namespace skerry::federated::secure
