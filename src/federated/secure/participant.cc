// Each step looks at what the one before has fixed.
#include "federated/secure/participant.h"

#include <algorithm>
#include <set>

#include "base/sealed.h"
#include "base/sha256.h"
#include "federated/secure/neighbours.h"

namespace skerry::federated::secure {
namespace {

constexpr size_t kShareSize = 1 + kKeyBytes;

std::unexpected<Error> refused(std::string_view why) {
  return fail(Code::kPermissionDenied, "secure aggregation: " + std::string(why));
}

std::string wire(const Share& share) {
  return static_cast<char>(share.x) + share.bytes;
}

// Whose shares for whom: they cannot be given to another, or back.
std::string place_of(size_t from, size_t to) {
  return "shares " + std::to_string(from) + " " + std::to_string(to);
}

// Peers that the server has made up of one another.
bool has_twins(const Step& step, const Announcement& own) {
  std::set<std::string_view> seen = {own.sealing_key, own.mask_key};
  std::set<std::string_view> certificates;
  std::set<size_t> indices = {step.self};
  for (const Peer& peer : step.peers) {
    if (!indices.insert(peer.index).second || !seen.insert(peer.keys.sealing_key).second ||
        !seen.insert(peer.keys.mask_key).second ||
        !certificates.insert(peer.keys.certificate).second) {
      return true;
    }
  }
  return false;
}

}  // namespace

Participant::Participant(io::Random& random)
    : random_(random),
      sealing_(make_key_pair(random)),
      mask_(make_key_pair(random)),
      seed_(kKeyBytes, '\0') {
  random_.fill(seed_.data(), seed_.size());
  keys_ = {.sealing_key = sealing_.open,
           .mask_key = mask_.open,
           .seed_digest = sha256(seed_),
           .certificate = {},
           .signature = {}};
}

Result<std::string> Participant::sealed_for(size_t peer, const Share& seed, const Share& key) {
  std::string nonce(kSealNonceBytes, '\0');
  random_.fill(nonce.data(), nonce.size());
  return seal(peers_[peer].sealing_key, nonce, place_of(self_, peer), wire(seed) + wire(key));
}

Result<Said> Participant::share(const Step& step) {
  if (shared_ && *shared_ == step) return shares_;
  if (shared_ || step.kind != StepKind::kShares) return refused("other devices than before");
  const size_t holders = step.peers.size() + 1;
  if (holders < kFewestMembers || step.peers.size() > kMostPeers) {
    return refused("too few devices, or too many");
  }
  if (step.threshold < threshold_of(holders) || step.threshold > holders) {
    return refused("a threshold of " + std::to_string(step.threshold) + " among " +
                   std::to_string(holders) + " would let the server have both secrets of a device");
  }
  if (has_twins(step, keys_)) return refused("a device is there twice");
  std::map<size_t, Known> peers;
  for (const Peer& peer : step.peers) {
    Known known;
    SKERRY_ASSIGN(known.sealing_key, sealing_key(sealing_.secret, peer.keys.sealing_key));
    SKERRY_ASSIGN(known.mask_seed, mask_seed(mask_.secret, peer.keys.mask_key));
    peers[peer.index] = std::move(known);
  }
  peers_ = std::move(peers);
  self_ = step.self;
  threshold_ = step.threshold;
  // The first is our own; then peers by index.
  const auto seeds = split(seed_, holders, threshold_, random_);
  const auto keys = split(mask_.secret, holders, threshold_, random_);
  own_seed_share_ = wire(seeds[0]);
  shares_ = {.kind = StepKind::kShares};
  size_t x = 1;
  for (const auto& [index, known] : peers_) {
    SKERRY_ASSIGN(std::string sealed, sealed_for(index, seeds[x], keys[x]));
    shares_.shares.push_back({index, std::move(sealed)});
    ++x;
  }
  shared_ = step;
  return shares_;
}

Result<void> Participant::receive(const Step& step) {
  if (received_ && *received_ == step) return {};
  if (received_ || !shared_ || step.kind != StepKind::kUpdate) return refused("other shares");
  std::set<size_t> from;
  for (const SealedShares& one : step.shares) {
    if (!peers_.contains(one.peer) || !from.insert(one.peer).second) {
      return refused("shares of a stranger, or twice");
    }
  }
  if (from.size() + 1 < threshold_) return refused("too few devices are left");
  for (const SealedShares& one : step.shares) {
    Known& known = peers_[one.peer];
    known.is_in = true;
    // Who sends none that can be opened harms itself alone: others hold shares of its secrets, too.
    const auto opened = unseal(known.sealing_key, place_of(one.peer, self_), one.sealed);
    if (!opened || opened->size() != 2 * kShareSize) continue;
    known.seed_share = opened->substr(0, kShareSize);
    known.key_share = opened->substr(kShareSize);
  }
  received_ = step;
  return {};
}

// A second vector under the same masks would tell how it differs from the first.
Result<void> Participant::mask(Numbers& numbers) {
  if (!received_ || is_masked_) return refused("masks are for one vector");
  is_masked_ = true;
  add_mask(numbers, seed_);
  for (const auto& [index, known] : peers_) {
    if (known.is_in) add_mask(numbers, known.mask_seed, index < self_);
  }
  return {};
}

Result<Said> Participant::unmask(const Step& step) {
  if (unmasked_ && *unmasked_ == step) return opened_;
  if (unmasked_ || !is_masked_ || step.kind != StepKind::kUnmask) {
    return refused("other secrets than those that were told");
  }
  std::set<size_t> asked;
  bool has_self = false;
  for (const auto* list : {&step.alive, &step.dropped}) {
    for (const size_t index : *list) {
      const auto found = peers_.find(index);
      const bool is_self = index == self_ && list == &step.alive;
      const bool is_peer = found != peers_.end() && found->second.is_in;
      if ((!is_self && !is_peer) || !asked.insert(index).second) {
        return refused("both secrets of a device, or those of a stranger");
      }
      has_self = has_self || is_self;
    }
  }
  const auto in = std::ranges::count_if(peers_, [](const auto& one) { return one.second.is_in; });
  if (!has_self || asked.size() != static_cast<size_t>(in) + 1 || step.alive.size() < threshold_) {
    return refused("too few devices are in the sum");
  }
  opened_ = {.kind = StepKind::kUnmask};
  for (const size_t index : step.alive) {
    const std::string& share = index == self_ ? own_seed_share_ : peers_[index].seed_share;
    if (!share.empty()) opened_.seeds.push_back({index, share});
  }
  for (const size_t index : step.dropped) {
    if (const std::string& share = peers_[index].key_share; !share.empty()) {
      opened_.mask_keys.push_back({index, share});
    }
  }
  unmasked_ = step;
  return opened_;
}

}  // namespace skerry::federated::secure
