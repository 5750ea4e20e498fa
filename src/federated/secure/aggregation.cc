// Files are read again where they are needed: memory does not grow with what devices say, but for
// the shares that unmask, 33 bytes for each neighbour of each device.
#include "federated/secure/aggregation.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "federated/secure/agreement.h"
#include "federated/secure/neighbours.h"
#include "federated/secure/shamir.h"

namespace skerry::federated::secure {
namespace {

using nlohmann::json;

constexpr uint64_t kMostFileBytes = kMostSaidBytes + 1024;

const char* file_of(StepKind kind) {
  switch (kind) {
    case StepKind::kKeys:
      return "keys";
    case StepKind::kShares:
      return "shares";
    default:
      return "unmask";
  }
}

std::unexpected<Error> no_part() {
  return fail(Code::kFailedPrecondition, "the round went on without this device");
}

// Which of `holders` a device is for another's secret: its own share is the first.
uint8_t place_among(size_t holder, size_t dealer, const std::vector<size_t>& neighbours) {
  if (holder == dealer) return 1;
  const auto found = std::ranges::lower_bound(neighbours, holder);
  return static_cast<uint8_t>(found - neighbours.begin() + 2);
}

}  // namespace

std::string Aggregation::path_of(const char* what, const std::string& device) const {
  return directory_ + "/" + what + "-" + hex_encode(sha256(device));
}

Result<Said> Aggregation::read(const char* what, const std::string& device) const {
  SKERRY_ASSIGN(const std::string text,
                io::read_file(files_, path_of(what, device), kMostFileBytes));
  return parse_said(text);
}

const Aggregation::Member* Aggregation::find(const std::string& device) const {
  const auto found = indices_.find(device);
  return found == indices_.end() ? nullptr : &members_[found->second];
}

// --- The disk -----------------------------------------------------------------------------------

json Aggregation::state() const {
  json state = {{"phase", static_cast<int>(phase_)}};
  json names = json::array();
  json reached = json::array();
  for (const Member& member : members_) {
    names.push_back(hex_encode(member.name));
    reached.push_back(member.uploaded ? 2 : member.shares ? 1 : 0);
  }
  state["members"] = std::move(names);
  state["reached"] = std::move(reached);
  return state;
}

Result<void> Aggregation::restore(const json& state, const std::vector<std::string>& devices) {
  const json names = state.value("members", json::array());
  const json reached = state.value("reached", json::array());
  phase_ = static_cast<Phase>(state.value("phase", 0));
  if (names.size() != reached.size()) return fail(Code::kCorrupt, "no state of an aggregation");
  for (size_t i = 0; i < names.size(); ++i) {
    SKERRY_ASSIGN(std::string name, hex_decode(names[i].get<std::string>()));
    const int how_far = reached[i].get<int>();
    Member member{.name = name, .shares = how_far >= 1, .uploaded = how_far >= 2, .unmask = false};
    // What was said since the phase began is in the files alone.
    if (phase_ == Phase::kShares) member.shares = io::exists(files_, path_of("shares", name));
    if (phase_ == Phase::kUnmasking) member.unmask = io::exists(files_, path_of("unmask", name));
    indices_[name] = i;
    members_.push_back(std::move(member));
  }
  if (phase_ != Phase::kKeys) return {};
  for (const std::string& device : devices) {
    if (io::exists(files_, path_of("keys", device))) announced_.insert(device);
  }
  return {};
}

// --- Devices ------------------------------------------------------------------------------------

bool Aggregation::is_in(const std::string& device) const {
  if (phase_ == Phase::kKeys) return true;
  const Member* member = find(device);
  if (member == nullptr) return false;
  return phase_ == Phase::kShares || (phase_ == Phase::kUpdates && member->shares) ||
         (phase_ == Phase::kUnmasking && member->uploaded);
}

bool Aggregation::has_said(const std::string& device) const {
  if (phase_ == Phase::kKeys) return announced_.contains(device);
  const Member* member = find(device);
  if (member == nullptr) return false;
  return phase_ == Phase::kShares ? member->shares : phase_ == Phase::kUnmasking && member->unmask;
}

Result<Step> Aggregation::next(const std::string& device) const {
  if (!is_in(device)) return no_part();
  if (phase_ == Phase::kKeys) {
    return Step{.kind = has_said(device) ? StepKind::kWait : StepKind::kKeys};
  }
  const size_t index = indices_.at(device);
  switch (phase_) {
    case Phase::kShares:
      return has_said(device) ? Step{} : shares_step(index);
    case Phase::kUpdates:
      return update_step(index);
    default:
      return has_said(device) ? Step{.kind = StepKind::kDone} : unmask_step(index);
  }
}

Result<Step> Aggregation::shares_step(size_t index) const {
  const auto neighbours = neighbours_of(index, members_.size());
  Step step{
      .kind = StepKind::kShares, .self = index, .threshold = threshold_of(neighbours.size() + 1)};
  for (const size_t other : neighbours) {
    SKERRY_ASSIGN(Said said, read("keys", members_[other].name));
    step.peers.push_back({other, std::move(said.keys)});
  }
  return step;
}

// Neighbours that have shared: the sum can have their masks.
std::vector<size_t> Aggregation::sharing_neighbours(size_t index) const {
  auto neighbours = neighbours_of(index, members_.size());
  std::erase_if(neighbours, [&](size_t other) { return !members_[other].shares; });
  return neighbours;
}

Result<Step> Aggregation::update_step(size_t index) const {
  Step step{.kind = StepKind::kUpdate};
  for (const size_t other : sharing_neighbours(index)) {
    SKERRY_ASSIGN(const Said said, read("shares", members_[other].name));
    const auto ours = std::ranges::find(said.shares, index, &SealedShares::peer);
    if (ours == said.shares.end()) return fail(Code::kCorrupt, "a device's shares are damaged");
    step.shares.push_back({other, ours->sealed});
  }
  return step;
}

Step Aggregation::unmask_step(size_t index) const {
  Step step{.kind = StepKind::kUnmask};
  step.alive.push_back(index);
  for (const size_t other : sharing_neighbours(index)) {
    (members_[other].uploaded ? step.alive : step.dropped).push_back(other);
  }
  return step;
}

// Before it is kept: what is asked for, and no more.
Result<void> Aggregation::check(size_t index, const Said& said) const {
  const auto wrong = [] {
    return fail(Code::kInvalidArgument, "this is not what the device was asked for");
  };
  if (said.kind == StepKind::kShares) {
    std::set<size_t> to;
    for (const SealedShares& one : said.shares) to.insert(one.peer);
    const auto neighbours = neighbours_of(index, members_.size());
    const bool fits = said.shares.size() == to.size() && std::ranges::equal(to, neighbours);
    return fits ? Result<void>() : wrong();
  }
  const Step asked = unmask_step(index);
  const auto fits = [&](const std::vector<OpenedShare>& shares, const std::vector<size_t>& of) {
    std::set<size_t> seen;
    return std::ranges::all_of(shares, [&](const OpenedShare& one) {
      const bool is_asked = std::ranges::find(of, one.of) != of.end();
      return is_asked && seen.insert(one.of).second &&
             static_cast<uint8_t>(one.share[0]) ==
                 place_among(index, one.of, neighbours_of(one.of, members_.size()));
    });
  };
  return fits(said.seeds, asked.alive) && fits(said.mask_keys, asked.dropped) ? Result<void>()
                                                                              : wrong();
}

Result<void> Aggregation::hear(const std::string& device, const Said& said) {
  static constexpr StepKind kWanted[] = {StepKind::kKeys, StepKind::kShares, StepKind::kUpdate,
                                         StepKind::kUnmask};
  if (!is_in(device) || said.kind != kWanted[static_cast<size_t>(phase_)] ||
      phase_ == Phase::kUpdates) {
    return no_part();
  }
  // The first counts: it is what others may have been told.
  if (has_said(device)) return {};
  if (phase_ != Phase::kKeys) SKERRY_TRY(check(indices_.at(device), said));
  SKERRY_TRY(
      io::write_file_atomic(files_, path_of(file_of(said.kind), device), to_json(said).dump()));
  if (phase_ == Phase::kKeys) {
    announced_.insert(device);
  } else {
    Member& member = members_[indices_.at(device)];
    (phase_ == Phase::kShares ? member.shares : member.unmask) = true;
  }
  return {};
}

// --- Phases -------------------------------------------------------------------------------------

void Aggregation::begin_shares(const std::vector<std::string>& devices, io::Random& random) {
  for (const std::string& name : devices) {
    if (announced_.contains(name)) members_.push_back({.name = name});
  }
  phase_ = Phase::kShares;
  for (size_t i = members_.size(); i > 1; --i) {
    std::swap(members_[i - 1], members_[random.below(i)]);
  }
  for (size_t i = 0; i < members_.size(); ++i) indices_[members_[i].name] = i;
}

void Aggregation::begin_updates() {
  phase_ = Phase::kUpdates;
}

void Aggregation::begin_unmasking(const std::set<std::string>& uploaded) {
  phase_ = Phase::kUnmasking;
  for (Member& member : members_) member.uploaded = member.shares && uploaded.contains(member.name);
}

bool Aggregation::can_unmask() const {
  for (size_t i = 0; i < members_.size(); ++i) {
    if (!members_[i].shares) continue;
    const auto neighbours = neighbours_of(i, members_.size());
    auto holders = static_cast<size_t>(
        std::ranges::count_if(neighbours, [&](size_t other) { return members_[other].unmask; }));
    if (members_[i].unmask) ++holders;
    if (holders < threshold_of(neighbours.size() + 1)) return false;
  }
  return phase_ == Phase::kUnmasking;
}

// The seed of a device that is in the sum, or the key of one that is not: what its announcement
// says decides whether the shares were right. One or some that are wrong are gone round.
Result<std::string> Aggregation::secret_of(size_t index,
                                           const std::vector<OpenedShare>& shares) const {
  SKERRY_ASSIGN(const Said said, read("keys", members_[index].name));
  const size_t threshold = threshold_of(neighbours_of(index, members_.size()).size() + 1);
  for (size_t first = 0; shares.size() >= threshold && first < shares.size(); ++first) {
    std::vector<Share> taken;
    for (size_t i = 0; i < threshold; ++i) {
      const std::string& text = shares[(first + i) % shares.size()].share;
      taken.push_back({.x = static_cast<uint8_t>(text[0]), .bytes = text.substr(1)});
    }
    auto secret = join(taken);
    if (!secret || secret->size() != kKeyBytes) continue;
    const bool is_right = members_[index].uploaded ? sha256(*secret) == said.keys.seed_digest
                                                   : open_key_of(*secret) == said.keys.mask_key;
    if (is_right) return secret;
  }
  return fail(Code::kCorrupt, "shares do not give back a device's secret");
}

Result<void> Aggregation::unmask(Numbers& sum) const {
  std::vector<std::vector<OpenedShare>> shares(members_.size());
  for (const Member& member : members_) {
    if (!member.unmask) continue;
    SKERRY_ASSIGN(const Said said, read("unmask", member.name));
    for (const auto* list : {&said.seeds, &said.mask_keys}) {
      for (const OpenedShare& one : *list) {
        if (one.of < shares.size()) shares[one.of].push_back(one);
      }
    }
  }
  for (size_t i = 0; i < members_.size(); ++i) {
    if (!members_[i].shares) continue;
    SKERRY_ASSIGN(const std::string secret, secret_of(i, shares[i]));
    if (members_[i].uploaded) {
      add_mask(sum, secret, true);
      continue;
    }
    for (const size_t other : sharing_neighbours(i)) {
      if (!members_[other].uploaded) continue;
      SKERRY_ASSIGN(const Said said, read("keys", members_[other].name));
      SKERRY_ASSIGN(const std::string seed, mask_seed(secret, said.keys.mask_key));
      // The other has added it, or taken it away where this one stands before it.
      add_mask(sum, seed, i > other);
    }
  }
  return {};
}

}  // namespace skerry::federated::secure
