// What device and server say to each other in a round with secure aggregation
// (docs/data/learning-rounds.md), as JSON, and as the server keeps it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::federated::secure {

inline constexpr size_t kMostStepBytes = 512 << 10;  // of what the server says
inline constexpr size_t kMostSaidBytes = 64 << 10;   // of what a device says

// A device's keys for one attempt, under its certificate.
struct Announcement {
  std::string sealing_key, mask_key;  // X25519
  std::string seed_digest;            // SHA-256 of the seed of its own mask
  std::string certificate;            // PEM
  std::string signature;              // of signed_text(), by the certificate's key
  bool operator==(const Announcement&) const = default;
};
// What the signature is of: no other training, attempt or use.
std::string signed_text(const Announcement& keys, const std::string& training, size_t attempt);

struct Peer {
  size_t index = 0;
  Announcement keys;
  bool operator==(const Peer&) const = default;
};
struct SealedShares {
  size_t peer = 0;  // to whom, or from whom
  std::string sealed;
  bool operator==(const SealedShares&) const = default;
};
struct OpenedShare {
  size_t of = 0;
  std::string share;  // its x, then its bytes
  bool operator==(const OpenedShare&) const = default;
};

enum class StepKind { kWait, kKeys, kShares, kUpdate, kUnmask, kDone };

// What the server wants of a device next.
struct Step {
  StepKind kind = StepKind::kWait;
  double retry_after_s = 1;  // of a wait
  // kShares
  size_t self = 0, threshold = 0;
  std::vector<Peer> peers;
  // kUpdate: of those that may be in the sum
  std::vector<SealedShares> shares;
  // kUnmask: whose updates are in the sum, this device's as well, and whose are not
  std::vector<size_t> alive, dropped;
  bool operator==(const Step&) const = default;
};
nlohmann::json to_json(const Step& step);
// Untrusted, as is all that follows: a server may be hostile.
Result<Step> parse_step(std::string_view text);

// What a device answers to kKeys, kShares or kUnmask.
struct Said {
  StepKind kind = StepKind::kWait;
  Announcement keys;
  std::vector<SealedShares> shares;
  std::vector<OpenedShare> seeds;      // of those that are alive
  std::vector<OpenedShare> mask_keys;  // of those that dropped out
  bool operator==(const Said&) const = default;
};
nlohmann::json to_json(const Said& said);
Result<Said> parse_said(std::string_view text);

}  // namespace skerry::federated::secure
