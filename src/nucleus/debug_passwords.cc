// Compared by their digests: how long that takes tells nothing of the password.
#include "nucleus/debug_passwords.h"

#include <algorithm>

#include "base/sha256.h"

namespace skerry::nucleus {
namespace {

constexpr size_t kPasswordCharacters = 32;

}  // namespace

DebugPasswords::Password DebugPasswords::create(io::Random& random, int64_t wall_ms,
                                                int64_t monotonic_ms) {
  std::erase_if(entries_, [&](const Entry& entry) { return entry.ends_ms <= monotonic_ms; });
  if (entries_.size() >= kMost) entries_.pop_front();
  Password made{random.token(kPasswordCharacters), wall_ms + kLifeMs};
  entries_.push_back({sha256(made.text), monotonic_ms + kLifeMs});
  return made;
}

bool DebugPasswords::accepts(std::string_view password, int64_t monotonic_ms) const {
  const std::string digest = sha256(password);
  return std::ranges::any_of(entries_, [&](const Entry& entry) {
    return entry.digest == digest && monotonic_ms < entry.ends_ms;
  });
}

}  // namespace skerry::nucleus
