// Gates: whether the release is worse than the control cohort, and by which evidence.
//
// The unit of evidence is the device, never the request: ten thousand requests of one camera are
// one camera's opinion.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "fleet/rollout/plan.h"
#include "fleet/rollout/sequential.h"

namespace skerry::fleet::rollout {

// What one cohort has shown of one metric; which members are in use depends on the metric.
struct Arm {
  int64_t devices = 0;
  int64_t events = 0;            // devices that failed, are unhealthy, …
  double count = 0;              // restarts, in
  double device_hours = 0;       // so much time,
  double dispersion = 1;         // in clusters
  Moments moments;               // one observation per device
  std::vector<Moments> classes;  // the share of each class, likewise
};

// Of means and classes, `ranks` says how the devices of a release on fewer than kLeastObservations
// stand: one of a mean, two of a class (more of it, less of it).
struct Evidence {
  Arm release;
  Arm control;
  std::vector<Ranks> ranks;
};

enum class Verdict { kFine, kWorse, kNotEnoughData };
std::string_view name_of(Verdict verdict);  // "fine", "worse", "notEnoughData"

// What people see of a gate.
struct Finding {
  Metric metric = Metric::kDeploymentFailures;
  Verdict verdict = Verdict::kNotEnoughData;
  double release = 0;
  double control = 0;
  Interval release_interval;
  Interval control_interval;
  int64_t devices = 0;  // with the release
  int64_t needed = 0;
  std::string text;  // one sentence

  bool operator==(const Finding&) const = default;
};
nlohmann::json to_json(const Finding& finding);

// The gates that hold in `stage`: its own and those of the stages before it, of one metric the
// last.
std::vector<Gate> gates_of(const Plan& plan, size_t stage);
// What of the plan's false alarms one gate may spend.
double alpha_of(const Plan& plan);

// The release is worse where its interval lies beyond the control's by more than the tolerance, the
// two sharing alpha. Of shares a likelihood ratio of both cohorts together is the other way to see
// it, and each way has half of alpha.
// Of means, how few devices rank among the control's is the other way.
Finding judge(const Gate& gate, const Evidence& evidence, double alpha);

// Whether a metric is about what models do.
bool is_of_models(Metric metric);
// A gate on what models do, of each version of the release that is new: the worst finding. Where
// there is none, `why` tells people.
struct Comparison {
  std::string name;  // "vad 1.3.0 against 1.2.0"
  Evidence evidence;
};
Finding judge_models(const Gate& gate, const std::vector<Comparison>& models,
                     const std::string& why, double alpha);

}  // namespace skerry::fleet::rollout
