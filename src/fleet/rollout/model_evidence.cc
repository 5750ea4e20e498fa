// Which versions to compare, and what their devices say, summed up row by row.
#include "fleet/rollout/model_evidence.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>

#include "fleet/models.h"
#include "formats/json_ptr.h"
#include "formats/model_counts.h"

namespace skerry::fleet::rollout {
namespace {

using formats::ModelCounts;
using formats::ModelId;
using formats::ModelTotals;
using nlohmann::json;

constexpr size_t kClasses = ModelCounts::kClassBins;

// What one device says of one version.
struct Report {
  ModelTotals totals;
  formats::ClassBins classes;
  double per_prediction = 0;

  bool has_predictions() const { return totals.predictions > 0; }
  double share(size_t i) const { return static_cast<double>(classes.counts[i]) * per_prediction; }
  // Its number of a metric that is one; nothing where it has none.
  std::optional<double> number(Metric metric) const {
    switch (metric) {
      case Metric::kInferenceErrors:
        if (totals.requests + totals.errors > 0) return totals.error_rate();
        break;
      case Metric::kInferenceLatency:  // its logarithm
        if (totals.requests > 0) return std::log(std::max(totals.mean_latency_us(), 1.0));
        break;
      case Metric::kMeanConfidence:
        if (has_predictions()) return totals.mean_confidence();
        break;
      case Metric::kWatchdogAlarms:
        if (totals.requests + totals.errors > 0) return totals.alarm_rate();
        break;
      default:
        break;
    }
    return std::nullopt;
  }
};

constexpr std::array kNumbers = {Metric::kInferenceErrors, Metric::kInferenceLatency,
                                 Metric::kMeanConfidence, Metric::kWatchdogAlarms};

// Of a cohort.
struct Sums {
  std::array<Moments, kNumbers.size()> numbers;
  std::array<Moments, kClasses> classes;
  int64_t predicting = 0;

  void add(const Report& report) {
    for (size_t i = 0; i < kNumbers.size(); ++i) {
      if (const auto number = report.number(kNumbers[i])) numbers[i].add(*number);
    }
    if (!report.has_predictions()) return;
    ++predicting;
    for (uint64_t used = report.classes.used; used != 0; used &= used - 1) {
      const auto i = static_cast<size_t>(std::countr_zero(used));
      classes[i].add(report.share(i));
    }
  }
  void merge(const Sums& other) {
    for (size_t i = 0; i < numbers.size(); ++i) numbers[i].merge(other.numbers[i]);
    for (size_t i = 0; i < kClasses; ++i) classes[i].merge(other.classes[i]);
    predicting += other.predicting;
  }
  int64_t devices() const { return numbers[0].count; }
  Arm arm(Metric metric, size_t class_count) const {
    Arm arm;
    if (metric == Metric::kClassDistribution) {
      arm.classes.assign(classes.begin(), classes.begin() + static_cast<ptrdiff_t>(class_count));
      for (Moments& each : arm.classes) each.count = predicting;  // those without it: a share of 0
      return arm;
    }
    arm.moments =
        numbers[static_cast<size_t>(std::ranges::find(kNumbers, metric) - kNumbers.begin())];
    return arm;
  }
};

// Where a small release stands among the control devices, in one number of which more is worse.
// First the release's own are added, then those of the control are compared.
class Ranking {
 public:
  void add(double value) { values_.push_back(value); }
  bool is_full() const { return values_.size() >= kLeastObservations; }
  void close() {
    const auto first = static_cast<int64_t>(values_.size());
    if (first == 0 || first >= kLeastObservations) return;
    ranks_.first = first;
    ranks_.counted = counted_of(first);
    std::ranges::sort(values_, std::greater());
    mark_ = values_[static_cast<size_t>(ranks_.counted - 1)];
  }
  void compare(double value, int64_t& beyond) const {
    if (ranks_.first > 0 && value >= mark_) ++beyond;
  }
  Ranks among(int64_t second, int64_t beyond) const {
    Ranks ranks = ranks_;
    ranks.second = second;
    ranks.beyond = beyond;
    return ranks;
  }
  bool is_small() const { return ranks_.first > 0; }

 private:
  std::vector<double> values_;
  Ranks ranks_;
  double mark_ = 0;
};

// The rankings of one gate: one of a number, two of each class.
class Rankings {
 public:
  explicit Rankings(const Gate& gate)
      : gate_(gate), rankings_(gate.metric == Metric::kClassDistribution ? 2 * kClasses : 1) {}

  size_t size() const { return rankings_.size(); }
  void add(const Report& report) {
    if (rankings_.front().is_full()) return;  // so many are not ranked
    each(report, 0, [](Ranking& ranking, double value, size_t) { ranking.add(value); });
  }
  void close() {
    for (Ranking& ranking : rankings_) ranking.close();
  }
  void compare(const Report& report, std::vector<int64_t>& beyond) {
    if (!rankings_.front().is_small()) return;
    each(report, gate_.tolerance, [&](const Ranking& ranking, double value, size_t i) {
      ranking.compare(value, beyond[i]);
    });
  }
  std::vector<Ranks> among(int64_t second, const std::vector<int64_t>& beyond,
                           size_t class_count) const {
    std::vector<Ranks> ranks;
    if (!rankings_.front().is_small()) return ranks;
    const size_t used =
        gate_.metric == Metric::kClassDistribution ? 2 * class_count : rankings_.size();
    for (size_t i = 0; i < used; ++i) ranks.push_back(rankings_[i].among(second, beyond[i]));
    return ranks;
  }

 private:
  // `worse_by` is what a device of the control is moved by first: as much worse would be fine.
  template <class Do>
  void each(const Report& report, double worse_by, Do act) {
    if (gate_.metric == Metric::kClassDistribution) {
      for (size_t i = 0; i < kClasses && report.has_predictions(); ++i) {
        act(rankings_[2 * i], report.share(i) + worse_by, 2 * i);
        act(rankings_[2 * i + 1], worse_by - report.share(i), 2 * i + 1);
      }
      return;
    }
    const auto number = report.number(gate_.metric);
    if (!number) return;
    double value = *number + worse_by;
    if (gate_.metric == Metric::kInferenceLatency) value = *number + std::log1p(worse_by);
    if (gate_.metric == Metric::kMeanConfidence) value = -*number * (1 - worse_by);
    act(rankings_.front(), value, 0);
  }

  const Gate& gate_;
  std::vector<Ranking> rankings_;
};

// Devices of the control: those that were asked meanwhile, and those that were not.
struct Control {
  Sums sums;
  std::vector<std::vector<int64_t>> beyond;  // by gate

  void merge(const Control& other) {
    sums.merge(other.sums);
    for (size_t i = 0; i < beyond.size(); ++i) {
      for (size_t j = 0; j < beyond[i].size(); ++j) beyond[i][j] += other.beyond[i][j];
    }
  }
};

// The devices of the target and what they have to do with the release: a table of hashes whose low
// bits are roles, at most half full, 16 to 32 bytes for a device. That two have the same hash is as
// likely as a device that lies.
class Target {
 public:
  enum Role : uint64_t { kNobody = 0, kMember = 1, kAsked = 2, kSucceeded = 4 };

  void add(std::string_view thing, uint64_t roles) {
    if (2 * (used_ + 1) > slots_.size()) grow();
    uint64_t& slot = slot_of(hash_of(thing));
    if (slot == 0) {
      slot = hash_of(thing);
      ++used_;
    }
    slot |= roles;
  }
  uint64_t roles_of(std::string_view thing) const { return slot_of(hash_of(thing)) & kRoles; }

 private:
  static constexpr uint64_t kRoles = kMember | kAsked | kSucceeded;
  static constexpr uint64_t kUsed = 8;  // so that no hash looks like an empty slot

  static uint64_t hash_of(std::string_view thing) {
    return (std::hash<std::string_view>()(thing) & ~kRoles) | kUsed;
  }
  template <class Slots>
  static auto& slot_in(Slots& slots, uint64_t hash) {
    size_t at = (hash >> 4) & (slots.size() - 1);
    while (slots[at] != 0 && (slots[at] & ~kRoles) != hash) at = (at + 1) & (slots.size() - 1);
    return slots[at];
  }
  uint64_t& slot_of(uint64_t hash) { return slot_in(slots_, hash); }
  const uint64_t& slot_of(uint64_t hash) const { return slot_in(slots_, hash); }
  void grow() {
    std::vector<uint64_t> larger(2 * slots_.size());
    for (const uint64_t slot : slots_) {
      if (slot != 0) slot_in(larger, slot & ~kRoles) = slot;
    }
    slots_ = std::move(larger);
  }

  std::vector<uint64_t> slots_ = std::vector<uint64_t>(64);
  size_t used_ = 0;
};

Result<Target> target_of(Store& store, const Record& record) {
  Target target;
  SKERRY_TRY(each_member(store, record,
                         [&](std::string_view thing) { target.add(thing, Target::kMember); }));
  SKERRY_TRY(each_asked(store, record, [&](std::string_view thing, bool succeeded) {
    target.add(thing, Target::kAsked | (succeeded ? Target::kSucceeded : Target::kNobody));
  }));
  return target;
}

// Two versions of one model.
class Versions {
 public:
  explicit Versions(const std::vector<Gate>& gates) : gates_(gates) {
    rankings_.reserve(gates.size());
    for (const Gate& gate : gates) {
      rankings_.emplace_back(gate);
      for (Control& each : controls_) each.beyond.emplace_back(rankings_.back().size());
    }
  }

  Result<void> read(Store& store, const Target& target, const ModelId& with,
                    const ModelId& without) {
    SKERRY_TRY(each_report(store, with, [&](std::string_view thing, std::string_view packed) {
      if ((target.roles_of(thing) & Target::kSucceeded) == 0 || !take(packed)) return;
      release_.add(report_);
      for (Rankings& each : rankings_) each.add(report_);
    }));
    for (Rankings& each : rankings_) each.close();
    SKERRY_TRY(each_report(store, without, [&](std::string_view thing, std::string_view packed) {
      const uint64_t roles = target.roles_of(thing);
      if ((roles & Target::kMember) == 0 || !take(packed)) return;
      Control& control = controls_[(roles & Target::kAsked) != 0 ? 1 : 0];
      control.sums.add(report_);
      for (size_t i = 0; i < rankings_.size(); ++i) {
        rankings_[i].compare(report_, control.beyond[i]);
      }
    }));
    if (!is_whole_)
      return fail(Code::kCorrupt, "control-plane database: counts of a model are damaged");
    if (controls_[0].sums.devices() < kLeastObservations) controls_[0].merge(controls_[1]);
    return {};
  }

  Evidence evidence(size_t gate, int64_t devices) const {
    const Control& control = controls_[0];
    size_t classes = kClasses;
    while (classes > 0 && release_.classes[classes - 1].count == 0 &&
           control.sums.classes[classes - 1].count == 0) {
      --classes;
    }
    Evidence evidence;
    evidence.release = release_.arm(gates_[gate].metric, classes);
    evidence.control = control.sums.arm(gates_[gate].metric, classes);
    evidence.release.devices = devices;
    const bool of_classes = gates_[gate].metric == Metric::kClassDistribution;
    const int64_t others = of_classes ? control.sums.predicting : evidence.control.moments.count;
    evidence.ranks = rankings_[gate].among(others, control.beyond[gate], classes);
    return evidence;
  }

 private:
  bool take(std::string_view packed) {
    const bool is_good = formats::read_packed(packed, report_.totals, report_.classes);
    report_.per_prediction =
        1 / static_cast<double>(std::max<uint64_t>(report_.totals.predictions, 1));
    is_whole_ = is_whole_ && is_good;
    return is_good;
  }

  const std::vector<Gate>& gates_;
  std::vector<Rankings> rankings_;
  Report report_;
  Sums release_;
  std::array<Control, 2> controls_;  // not asked, asked
  bool is_whole_ = true;
};

// Those that a deployment names, and of other models what devices of the cohort say they run, as
// they do of dependencies.
Result<ModelVersions> versions_of(Store& store, const Record& record, Cohort cohort,
                                  const std::string& request_json) {
  ModelVersions versions;
  SKERRY_ASSIGN(const json request, formats::parse_json(request_json));
  for (const auto& [name, component] : request.value("components", json::object()).items()) {
    auto model = find_model(store, ComponentName(name), component.value("componentVersion", ""));
    if (model) versions.emplace(model->provenance.model, model->version);
    if (!model && model.error().code() != Code::kNotFound) return fail(std::move(model.error()));
  }
  SKERRY_ASSIGN(const auto running, running_models(store, record, cohort));
  for (const auto& [name, version] : running) versions.emplace(name, version);
  return versions;
}

}  // namespace

Result<ModelVersions> models_before(Store& store, const Record& record) {
  if (record.previous.id.empty()) return ModelVersions();
  return versions_of(store, record, Cohort::kControl, record.previous.request_json);
}

Result<ModelEvidence> model_evidence(Store& store, const Record& record,
                                     const std::vector<Gate>& gates, int64_t devices) {
  ModelEvidence found;
  found.by_gate.resize(gates.size());
  if (record.previous.id.empty()) {
    found.why = "the target has no revision before to compare with";
    return found;
  }
  SKERRY_ASSIGN(const Deployment release, store.find_deployment(record.id));
  SKERRY_ASSIGN(const auto with,
                versions_of(store, record, Cohort::kRelease, release.request_json));
  const ModelVersions& without = record.previous.models;
  std::optional<Target> target;
  for (const auto& [name, version] : with) {
    const auto before = without.find(name);
    if (before == without.end() || before->second == version) continue;
    if (!target) {
      SKERRY_ASSIGN(target, target_of(store, record));
    }
    Versions versions(gates);
    SKERRY_TRY(versions.read(store, *target, {name, version}, {name, before->second}));
    for (size_t i = 0; i < gates.size(); ++i) {
      found.by_gate[i].push_back(
          {name + " " + version + " against " + before->second, versions.evidence(i, devices)});
    }
  }
  found.why = with.empty()
                  ? "no model of the release is known: skerry model publish says which one a "
                    "component is"
                  : "the release brings no other version of a model that ran before";
  return found;
}

}  // namespace skerry::fleet::rollout
