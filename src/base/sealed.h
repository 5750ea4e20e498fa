// Secrets at rest: AES-256-GCM, so that what was changed or moved elsewhere cannot be opened.
//
//   nonce (12 bytes), ciphertext, tag (16 bytes)
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry {

inline constexpr size_t kSealKeyBytes = 32;
inline constexpr size_t kSealNonceBytes = 12;

// `nonce`: kSealNonceBytes random bytes, never used again with this key. `place` says what it is
// and where: only who says the same opens it.
std::string seal(std::string_view key, std::string_view nonce, std::string_view place,
                 std::string_view plaintext);
// kCorrupt where it was sealed with another key, for another place, or was changed.
Result<std::string> unseal(std::string_view key, std::string_view place, std::string_view sealed);

}  // namespace skerry
