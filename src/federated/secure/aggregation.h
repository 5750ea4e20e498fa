// The server's side of one attempt with secure aggregation: what devices have said, on the disk
// before it is acknowledged, who is in which step, and the sum without its masks at the end. It
// never learns more: of each device one of two secrets (participant.h).
//
//   DIR/keys-DEVICE, shares-DEVICE, unmask-DEVICE   as the device said it (messages.h)
//
// Who takes part is fixed as steps begin, and is the caller's to keep (state()) before anybody is
// told.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <vector>

#include "federated/secure/masked.h"
#include "federated/secure/messages.h"
#include "io/files.h"
#include "io/random.h"

namespace skerry::federated::secure {

class Aggregation {
 public:
  enum class Phase { kKeys, kShares, kUpdates, kUnmasking };

  // `directory` is there already.
  Aggregation(io::Files& files, std::string directory)
      : files_(files), directory_(std::move(directory)) {}

  // Where it is, for restore() after a crash, with the devices that may have announced keys.
  nlohmann::json state() const;
  Result<void> restore(const nlohmann::json& state, const std::vector<std::string>& devices);

  Phase phase() const { return phase_; }
  // What the phase wants of the device; kFailedPrecondition where it takes no part (any more).
  Result<Step> next(const std::string& device) const;
  // Once it has returned, it survives a crash; the same again is fine. kInvalidArgument where it is
  // not what was asked for: the device is to be left out then. kFailedPrecondition: too late.
  Result<void> hear(const std::string& device, const Said& said);

  // Has done what the phase is for; for kUpdates that is what the caller knows.
  bool has_said(const std::string& device) const;
  // Still in: anybody before keys are fixed, a member afterwards that has said all so far.
  bool is_in(const std::string& device) const;

  // The phases. Members are those of `devices` that have announced keys; of them, those go on who
  // have said what the phase before was for.
  void begin_shares(const std::vector<std::string>& devices, io::Random& random);
  void begin_updates();
  void begin_unmasking(const std::set<std::string>& uploaded);
  // Whether shares of all secrets that are needed have come.
  bool can_unmask() const;
  // Of the updates of those who uploaded. kCorrupt where shares do not give what was announced.
  Result<void> unmask(Numbers& sum) const;

 private:
  struct Member {
    std::string name;
    bool shares = false, uploaded = false, unmask = false;
  };
  std::string path_of(const char* what, const std::string& device) const;
  Result<Said> read(const char* what, const std::string& device) const;
  const Member* find(const std::string& device) const;
  std::vector<size_t> sharing_neighbours(size_t index) const;
  Result<Step> shares_step(size_t index) const;
  Result<Step> update_step(size_t index) const;
  Step unmask_step(size_t index) const;
  Result<void> check(size_t index, const Said& said) const;
  Result<std::string> secret_of(size_t index, const std::vector<OpenedShare>& shares) const;

  io::Files& files_;
  std::string directory_;
  Phase phase_ = Phase::kKeys;
  std::set<std::string> announced_;
  std::vector<Member> members_;            // in the order of the ring
  std::map<std::string, size_t> indices_;  // of members
};

}  // namespace skerry::federated::secure
