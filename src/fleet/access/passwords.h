// Passwords of operators, kept as scrypt hashes (RFC 7914; N = 2^15, r = 8, p = 1: 32 MiB and about
// 0.1 s each).
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "io/random.h"

namespace skerry::fleet {

// 10 to 256 bytes; else kInvalidArgument.
Result<void> check_password(std::string_view password);
// "scrypt$32768$8$1$SALT$HASH", salt and hash in base64.
Result<std::string> hash_password(std::string_view password, io::Random& random);
// Whether `password` is the one of `hash`; takes as long either way.
bool is_password(std::string_view password, std::string_view hash);

}  // namespace skerry::fleet
