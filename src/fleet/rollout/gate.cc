// One way of judging for each kind of number that metrics are: shares of devices, rates, means,
// and distributions.
#include "fleet/rollout/gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "formats/node.h"

namespace skerry::fleet::rollout {
namespace {

using nlohmann::json;

constexpr formats::EnumNames<Verdict, 3> kVerdicts = {{{Verdict::kFine, "fine"},
                                                       {Verdict::kWorse, "worse"},
                                                       {Verdict::kNotEnoughData, "notEnoughData"}}};

constexpr double kBaselineDevices = 200;

void not_enough(Finding& finding, std::string why) {
  finding.verdict = Verdict::kNotEnoughData;
  finding.text = std::move(why);
}

std::string compared(const Finding& finding, const char* format) {
  return fmt::format(fmt::runtime(format), finding.release, finding.release_interval.low,
                     finding.release_interval.high, finding.control, finding.control_interval.low,
                     finding.control_interval.high);
}

Counted counted(const Arm& arm) {
  return {static_cast<double>(arm.events), static_cast<double>(arm.devices)};
}

// Whether `release` fails more than `control` does, by either of two tests that share alpha.
bool is_worse_share(const Counted& release, const Counted& control, double tolerance,
                    double alpha) {
  if (log_evidence_above(release, control, tolerance) >= -std::log(alpha / 2)) return true;
  const Interval with = proportion_interval(release.events, release.trials, alpha / 4);
  const Interval without = proportion_interval(control.events, control.trials, alpha / 4);
  return with.low > without.high + tolerance;
}

void judge_share(const Gate& gate, const Evidence& evidence, double alpha, Finding& finding) {
  const Counted release = counted(evidence.release);
  Counted control = counted(evidence.control);
  // What a plan expects weighs as much as so many devices: a target with little history is judged
  // by it, one with much by its history.
  if (gate.metric == Metric::kDeploymentFailures) {
    control.events += kBaselineDevices * gate.baseline;
    control.trials += kBaselineDevices;
  }
  if (control.trials == 0) return not_enough(finding, "no device outside the release has reported");
  finding.release = release.trials == 0 ? 0 : release.events / release.trials;
  finding.control = control.events / control.trials;
  finding.release_interval = proportion_interval(release.events, release.trials, alpha / 4);
  finding.control_interval = proportion_interval(control.events, control.trials, alpha / 4);
  finding.text = compared(
      finding, "{:.4f} ({:.4f} to {:.4f}) of the devices, control {:.4f} ({:.4f} to {:.4f})");
  if (is_worse_share(release, control, gate.tolerance, alpha)) {
    finding.verdict = Verdict::kWorse;
    return;
  }
  if (evidence.release.devices < gate.min_devices) {
    return not_enough(finding,
                      fmt::format("{} of {} devices", evidence.release.devices, gate.min_devices));
  }
  // So few devices that even if all of them failed nothing would follow: people have to look.
  const bool can_tell =
      is_worse_share({release.trials, release.trials}, control, gate.tolerance, alpha);
  if (release.events > 0 && !can_tell) {
    return not_enough(finding, fmt::format("{} of {} devices is too little to tell from chance",
                                           release.events, release.trials));
  }
  finding.verdict = Verdict::kFine;
}

void judge_rate(const Gate& gate, const Evidence& evidence, double alpha, Finding& finding) {
  const Arm& release = evidence.release;
  const Arm& control = evidence.control;
  if (release.device_hours <= 0 || control.device_hours <= 0) {
    return not_enough(finding, "no device of a cohort has reported");
  }
  finding.release = release.count / release.device_hours;
  finding.control = control.count / control.device_hours;
  finding.release_interval =
      rate_interval(release.count, release.device_hours, alpha / 2, release.dispersion);
  finding.control_interval =
      rate_interval(control.count, control.device_hours, alpha / 2, control.dispersion);
  finding.text = compared(
      finding, "{:.4g} ({:.4g} to {:.4g}) per device and hour, control {:.4g} ({:.4g} to {:.4g})");
  const bool worse =
      finding.release_interval.low > finding.control_interval.high * (1 + gate.tolerance);
  finding.verdict = worse ? Verdict::kWorse : Verdict::kFine;
  if (worse) return;
  if (release.devices < gate.min_devices) {
    return not_enough(finding, fmt::format("{} of {} devices", release.devices, gate.min_devices));
  }
  // Of one device nobody can tell whether it is the release or the device.
  if (release.devices == 1 && finding.release > finding.control) {
    not_enough(finding,
               "the only device with the release restarts components more often than the "
               "control, which is too little to tell from chance");
  }
}

bool is_worse_mean(const Gate& gate, const Finding& finding) {
  if (gate.metric == Metric::kMeanConfidence) {
    return finding.release_interval.high < finding.control_interval.low * (1 - gate.tolerance);
  }
  if (gate.metric == Metric::kInferenceLatency) {  // logarithms
    return finding.release_interval.low >
           finding.control_interval.high + std::log1p(gate.tolerance);
  }
  return finding.release_interval.low > finding.control_interval.high + gate.tolerance;
}

// Whether so few devices would be a verdict if they stood as badly as can be.
bool can_tell(const Ranks& ranks, double alpha) {
  return log_chance_of({ranks.first, ranks.counted, ranks.second, 0}) <= std::log(alpha);
}
bool is_worse_by_rank(const std::vector<Ranks>& ranks, double alpha) {
  return std::ranges::any_of(
      ranks, [&](const Ranks& each) { return log_chance_of(each) <= std::log(alpha); });
}

// Of observations of devices, `worse` or not by what there is: the verdict, and why it is none yet.
// `alpha` is that of each rank.
void conclude(const Gate& gate, const Evidence& evidence, bool worse, int64_t control, double alpha,
              Finding& finding) {
  // Of a release on a few devices all have to report.
  finding.needed = std::max(gate.min_devices,
                            std::clamp<int64_t>(evidence.release.devices, 1, kLeastObservations));
  finding.verdict = worse ? Verdict::kWorse : Verdict::kFine;
  if (worse) return;
  if (control == 0) return not_enough(finding, "no device of the control cohort has reported");
  if (finding.devices < finding.needed) {
    return not_enough(finding, fmt::format("{} of {} devices with the release have reported",
                                           finding.devices, finding.needed));
  }
  if (finding.devices >= kLeastObservations && control < kLeastObservations) {
    return not_enough(finding, fmt::format("{} of {} devices of the control cohort have reported",
                                           control, kLeastObservations));
  }
  const bool is_small = finding.devices < kLeastObservations;
  if (is_small && (evidence.ranks.empty() || !can_tell(evidence.ranks.front(), alpha))) {
    not_enough(finding,
               fmt::format("{} devices with the release and {} of the control cohort are too few "
                           "to tell from chance",
                           finding.devices, control));
  }
}

void judge_mean(const Gate& gate, const Evidence& evidence, double alpha, Finding& finding) {
  const Moments& release = evidence.release.moments;
  const Moments& control = evidence.control.moments;
  finding.devices = release.count;
  finding.release = release.mean();
  finding.control = control.mean();
  finding.release_interval = mean_interval(release, alpha / 4);
  finding.control_interval = mean_interval(control, alpha / 4);
  const bool worse = is_worse_mean(gate, finding) || is_worse_by_rank(evidence.ranks, alpha / 2);
  if (gate.metric == Metric::kInferenceLatency) {
    for (double* each : {&finding.release, &finding.control, &finding.release_interval.low,
                         &finding.release_interval.high, &finding.control_interval.low,
                         &finding.control_interval.high}) {
      *each = std::exp(*each);
    }
  }
  finding.text =
      release.count < kLeastObservations
          ? fmt::format("{:.4g} on {} devices, control {:.4g} on {}", finding.release,
                        release.count, finding.control, control.count)
          : compared(finding, "{:.4g} ({:.4g} to {:.4g}), control {:.4g} ({:.4g} to {:.4g})");
  conclude(gate, evidence, worse, control.count, alpha / 2, finding);
}

// Shows the class that moved farthest.
void judge_classes(const Gate& gate, const Evidence& evidence, double alpha, Finding& finding) {
  const size_t classes = std::min(evidence.release.classes.size(), evidence.control.classes.size());
  finding.devices = classes == 0 ? 0 : evidence.release.classes[0].count;
  const int64_t control = classes == 0 ? 0 : evidence.control.classes[0].count;
  const double share = alpha / 2 / static_cast<double>(std::max<size_t>(classes, 1));
  bool worse = is_worse_by_rank(evidence.ranks, share / 2);
  double farthest = -1;
  for (size_t i = 0; i < classes; ++i) {
    const Moments& with = evidence.release.classes[i];
    const Moments& without = evidence.control.classes[i];
    const Interval a = mean_interval(with, share / 2), b = mean_interval(without, share / 2);
    worse = worse || std::max(a.low - b.high, b.low - a.high) > gate.tolerance;
    const double moved = std::abs(with.mean() - without.mean());
    if (moved <= farthest) continue;
    farthest = moved;
    finding.release = with.mean();
    finding.control = without.mean();
    finding.release_interval = a;
    finding.control_interval = b;
    finding.text =
        fmt::format("class {}: ", i) +
        (with.count < kLeastObservations
             ? fmt::format("{:.4f} on {} devices, control {:.4f} on {}", finding.release,
                           with.count, finding.control, without.count)
             : compared(finding, "{:.4f} ({:.4f} to {:.4f}), control {:.4f} ({:.4f} to {:.4f})"));
  }
  conclude(gate, evidence, worse, control, share / 2, finding);
}

}  // namespace

std::string_view name_of(Verdict verdict) {
  return formats::enum_name(kVerdicts, verdict);
}

json to_json(const Finding& finding) {
  const auto interval = [](const Interval& of) {
    const auto bound = [](double value) { return std::isfinite(value) ? json(value) : json(); };
    return json::array({bound(of.low), bound(of.high)});
  };
  return {{"metric", name_of(finding.metric)},
          {"verdict", name_of(finding.verdict)},
          {"release", finding.release},
          {"control", finding.control},
          {"releaseInterval", interval(finding.release_interval)},
          {"controlInterval", interval(finding.control_interval)},
          {"devices", finding.devices},
          {"needed", finding.needed},
          {"text", finding.text}};
}

std::vector<Gate> gates_of(const Plan& plan, size_t stage) {
  std::vector<Gate> gates;
  for (size_t i = 0; i <= stage && i < plan.stages.size(); ++i) {
    for (const Gate& gate : plan.stages[i].gates) {
      auto known = std::ranges::find(gates, gate.metric, &Gate::metric);
      if (known == gates.end()) {
        gates.push_back(gate);
      } else {
        *known = gate;
      }
    }
  }
  return gates;
}

double alpha_of(const Plan& plan) {
  const size_t gates = gates_of(plan, plan.stages.size()).size();
  return plan.false_alarm / static_cast<double>(std::max<size_t>(gates, 1));
}

Finding judge(const Gate& gate, const Evidence& evidence, double alpha) {
  Finding finding;
  finding.metric = gate.metric;
  finding.devices = evidence.release.devices;
  finding.needed = gate.min_devices;
  switch (gate.metric) {
    case Metric::kDeploymentFailures:
    case Metric::kUnhealthyDevices:
    case Metric::kComponentErrors:
    case Metric::kFiringAlerts:
      judge_share(gate, evidence, alpha, finding);
      break;
    case Metric::kComponentRestarts:
      judge_rate(gate, evidence, alpha, finding);
      break;
    case Metric::kInferenceErrors:
    case Metric::kInferenceLatency:
    case Metric::kMeanConfidence:
    case Metric::kWatchdogAlarms:
      judge_mean(gate, evidence, alpha, finding);
      break;
    case Metric::kClassDistribution:
      judge_classes(gate, evidence, alpha, finding);
      break;
  }
  return finding;
}

bool is_of_models(Metric metric) {
  return metric >= Metric::kInferenceErrors;
}

Finding judge_models(const Gate& gate, const std::vector<Comparison>& models,
                     const std::string& why, double alpha) {
  if (models.empty()) {
    Finding finding = judge(gate, {}, alpha);
    finding.text = why;
    return finding;
  }
  const auto badness = [](const Finding& finding) {
    return finding.verdict == Verdict::kWorse ? 2 : finding.verdict == Verdict::kNotEnoughData;
  };
  std::optional<Finding> worst;
  for (const Comparison& model : models) {
    Finding finding = judge(gate, model.evidence, alpha / static_cast<double>(models.size()));
    finding.text = model.name + ": " + finding.text;
    if (!worst || badness(finding) > badness(*worst)) worst = std::move(finding);
  }
  return *worst;
}

}  // namespace skerry::fleet::rollout
