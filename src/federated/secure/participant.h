// A device's side of one attempt with secure aggregation (Bonawitz et al., 2017; SecAgg+: Bell et
// al., 2020). Everything is fresh and in memory only: a device that is killed has dropped out.
//
//   announce() ─► share() ─► receive() ─► mask() ─► unmask()
//
// Whatever the server says, it gets one masked vector, and of each device's two secrets (the seed
// of its own mask; the key of those it has with others) a share of one. The same step asked again
// has the same answer; another in its place is refused, kPermissionDenied, as is all that is not as
// it has to be: the device takes no part then.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "federated/secure/agreement.h"
#include "federated/secure/masked.h"
#include "federated/secure/messages.h"
#include "federated/secure/shamir.h"
#include "io/random.h"

namespace skerry::federated::secure {

class Participant {
 public:
  explicit Participant(io::Random& random);

  // Without certificate and signature.
  const Announcement& announce() const { return keys_; }
  // Of a kShares step whose peers' signatures the caller has verified: shares for each of them.
  Result<Said> share(const Step& step);
  // Of a kUpdate step: from whom shares came, which are those to mask with.
  Result<void> receive(const Step& step);
  // Once, after receive().
  Result<void> mask(Numbers& numbers);
  // Of a kUnmask step, after mask().
  Result<Said> unmask(const Step& step);

  size_t peers() const { return peers_.size(); }

 private:
  struct Known {
    std::string sealing_key, mask_seed;
    bool is_in = false;                 // it has sent shares: its mask is in the sum
    std::string seed_share, key_share;  // that it has entrusted to us; "" where they are no good
  };
  Result<std::string> sealed_for(size_t peer, const Share& seed, const Share& key);

  io::Random& random_;
  KeyPair sealing_, mask_;
  std::string seed_;
  Announcement keys_;
  size_t self_ = 0, threshold_ = 0;
  std::map<size_t, Known> peers_;  // by index
  std::string own_seed_share_;
  // What was asked, and answered, so far.
  std::optional<Step> shared_, received_, unmasked_;
  Said shares_, opened_;
  bool is_masked_ = false;
};

}  // namespace skerry::federated::secure
