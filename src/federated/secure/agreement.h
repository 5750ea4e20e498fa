// Two devices agree on a secret through a server that reads along: X25519 (RFC 7748), and HKDF with
// SHA-256 (RFC 5869) so that each use has a key of its own.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "io/random.h"

namespace skerry::federated::secure {

inline constexpr size_t kKeyBytes = 32;

struct KeyPair {
  std::string secret, open;  // kKeyBytes each, as RFC 7748 has them
};
KeyPair make_key_pair(io::Random& random);
std::string open_key_of(std::string_view secret);

// kInvalidArgument for a key of the other that is none: of another size, or of a small group.
Result<std::string> x25519(std::string_view secret, std::string_view other);
// kKeyBytes of key material for one use.
std::string hkdf(std::string_view secret, std::string_view salt, std::string_view use);

// What both sides of a pair use, to seal shares for each other and to mask; the same from either.
Result<std::string> sealing_key(std::string_view secret, std::string_view other);
Result<std::string> mask_seed(std::string_view secret, std::string_view other);

}  // namespace skerry::federated::secure
