// Coordinator's part of making a model of updates: a piece of all of them at a time, noise where
// the plan wants it, and what privacy that costs.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "federated/coordinator.h"

namespace skerry::federated {
namespace {

// Numbers of vectors that are in memory at once while they are combined, of all updates together:
// memory does not grow with the devices. A piece of one has no more and no less than these.
constexpr size_t kPieces = 1 << 22;
constexpr size_t kMostOfOne = 1 << 16, kLeastOfOne = 1 << 10;
constexpr size_t kDigest = 32;
constexpr double kShortestClip = 1e-9, kLongestClip = 1e9;  // that a quantile is followed to
constexpr uint64_t kMostStoredBytes = uint64_t{8} << 30;

// A stored update, read piece by piece: its numbers are the last of the file but for the digest.
// Opened for each piece: a round may have more devices than a process has descriptors.
struct Stored {
  std::string path;
  uint64_t begin = 0;

  Result<Vector> piece(io::Files& files, size_t offset, size_t size) const {
    SKERRY_ASSIGN(const auto file, files.open(path, io::OpenMode::kRead));
    SKERRY_ASSIGN(const std::string bytes,
                  file->read_at(begin + offset * sizeof(float), size * sizeof(float)));
    if (bytes.size() != size * sizeof(float)) {
      return fail(Code::kCorrupt, "a stored update is cut short");
    }
    Vector vector(size);
    std::memcpy(vector.data(), bytes.data(), bytes.size());
    return vector;
  }
};

Result<std::vector<Vector>> pieces_of(io::Files& files, const std::vector<Stored>& stored,
                                      size_t offset, size_t size) {
  std::vector<Vector> pieces;
  for (const Stored& one : stored) {
    SKERRY_ASSIGN(Vector piece, one.piece(files, offset, size));
    pieces.push_back(std::move(piece));
  }
  return pieces;
}

}  // namespace

Result<Coordinator::Combined> Coordinator::combine() {
  Combined result;
  std::vector<Stored> stored;
  std::vector<Source> sources;
  for (const auto& [device, part] : devices_) {  // by name: the same order every time
    if (part != Part::kUploaded) continue;
    SKERRY_ASSIGN(const std::string bytes,
                  io::read_file(files_, update_path(device), kMostStoredBytes));
    SKERRY_ASSIGN(const Update update, decode_update(bytes, model_.size()));
    stored.push_back({update_path(device), bytes.size() - kDigest - model_.size() * sizeof(float)});
    sources.push_back({.examples = update.examples,
                       .steps = update.steps,
                       .staleness = static_cast<double>(attempt_ - update.round)});
    result.loss += update.loss;
    result.within += update.within ? 0.5 : -0.5;
  }
  result.updates = stored.size();
  result.loss /= static_cast<double>(std::max<size_t>(stored.size(), 1));
  const size_t most =
      std::clamp(kPieces / std::max<size_t>(stored.size(), 1), kLeastOfOne, kMostOfOne);
  strategy_->begin(sources);
  for (size_t at = 0; strategy_->looks_first() && at < model_.size(); at += most) {
    SKERRY_ASSIGN(const auto pieces,
                  pieces_of(files_, stored, at, std::min(most, model_.size() - at)));
    strategy_->look(pieces);
  }
  result.change.resize(model_.size());
  for (size_t at = 0; at < model_.size(); at += most) {
    const size_t size = std::min(most, model_.size() - at);
    SKERRY_ASSIGN(const auto pieces, pieces_of(files_, stored, at, size));
    strategy_->combine(pieces, at, std::span(result.change).subspan(at, size));
  }
  return result;
}

void Coordinator::spend() {
  if (plan_.noise <= 0) return;
  accountant_.add(cost_);
  ++spends_;
  look_at_budget();
}

// Towards the quantile of the lengths, by how many were within (Andrew et al., 2021).
double Coordinator::next_clip(const Combined& combined) {
  if (plan_.clip_quantile <= 0) return clip_;
  Vector halves(1, static_cast<float>(combined.within));
  if (!plan_.secure) add_noise(halves, noise_of_count(plan_), random_);
  const size_t all = plan_.noise > 0 ? plan_.wanted : std::max<size_t>(combined.updates, 1);
  const double within = 0.5 + static_cast<double>(halves[0]) / static_cast<double>(all);
  const double next = clip_ * std::exp(-plan_.clip_rate * (within - plan_.clip_quantile));
  return std::clamp(next, kShortestClip, kLongestClip);
}

// The next model is there and its privacy is spent; commit() makes it the model, or
// fail_attempt() forgets it.
Result<void> Coordinator::propose(double now_s) {
  auto made = plan_.secure ? combine_masked() : combine();
  // Devices whose shares are wrong cost the attempt, and no more.
  if (!made && plan_.secure && made.error().code() == Code::kCorrupt) {
    return fail_attempt(failed_report());
  }
  SKERRY_ASSIGN(Combined combined, std::move(made));
  spend();  // a sum is known, whatever becomes of it
  if (combined.is_too_long) return fail_attempt(failed_report());
  if (plan_.noise > 0) {
    // The sum over the number that was expected, so that who was there does not show.
    const auto wanted = static_cast<double>(plan_.wanted);
    const auto factor = static_cast<float>(static_cast<double>(combined.updates) / wanted);
    for (float& value : combined.change) value *= factor;
    if (!plan_.secure) {
      const double deviation = noise_of_vectors(plan_) * clip_ / wanted;
      add_noise(combined.change, plan_.strategy.server_rate * deviation, random_);
    }
  }
  proposed_clip_ = next_clip(combined);
  proposed_ = std::move(combined.change);
  for (size_t i = 0; i < model_.size(); ++i) proposed_[i] += model_[i];
  report_ = {.round = rounds_ + 1,
             .asked = asked(),
             .updates = combined.updates,
             .refused = count(devices_, Part::kOut),
             .loss = combined.loss,
             .epsilon = plan_.noise > 0 ? epsilon() : 0,
             .clip = clip_};
  SKERRY_TRY(write_model(rounds_ + 1, proposed_));
  if (plan_.evaluators == 0) return commit();
  phase_ = Phase::kEvaluating;
  began_s_ = now_s;
  return save();
}

}  // namespace skerry::federated
