// One list of fields for reading, printing and limits.
#include "federated/plan.h"

#include <algorithm>
#include <cmath>
#include <concepts>
#include <functional>
#include <nlohmann/json.hpp>

#include "federated/privacy.h"
#include "federated/secure/neighbours.h"

namespace skerry::federated {
namespace {

using nlohmann::json;

// `each(name, member, least, most)`.
template <class Local, class Each>
void local_fields(Local& local, Each each) {
  each("epochs", local.epochs, 1, 1000);
  each("batch", local.batch, 1, 65536);
  each("rate", local.rate, 1e-12, 1e6);
  each("proximal", local.proximal, 0, 1e6);
}

template <class Of, class Each>
void plan_fields(Of& plan, Each each) {
  each("rounds", plan.rounds, 1, 1e6);
  each("updates", plan.wanted, 1, 1e6);
  each("overSelection", plan.over_selection, 1, 100);
  each("quorum", plan.quorum, 1, 1e6);
  each("deadlineSeconds", plan.deadline_s, 1, 30 * 86400);
  each("mostFailures", plan.most_failures, 1, 1e6);
  each("mostStale", plan.most_stale, 0, 1e6);
  each("evaluators", plan.evaluators, 0, 1e6);
  each("worstDrop", plan.worst_drop, 0, 1);
  each("clip", plan.clip, 0, 1e9);
  each("noise", plan.noise, 0, 1e6);
  each("clipQuantile", plan.clip_quantile, 0, 0.999);
  each("clipRate", plan.clip_rate, 1e-3, 2);
  each("clipNoise", plan.clip_noise, 0, 1e6);
  each("population", plan.population, 0, 1e9);
  each("delta", plan.delta, 1e-12, 0.1);
  each("epsilonLimit", plan.epsilon_limit, 0, 1e9);
  each("serverRate", plan.strategy.server_rate, 1e-12, 1e6);
  each("beta1", plan.strategy.beta1, 0, 0.9999999);
  each("beta2", plan.strategy.beta2, 0, 0.9999999);
  each("tau", plan.strategy.tau, 1e-12, 1e6);
  each("trimmed", plan.strategy.trimmed, 0, 0.5);
  each("malicious", plan.strategy.malicious, 0, 1e6);
  each("devices", plan.strategy.devices, 0, 1e9);
}

// Takes the fields that it knows out of `document`.
class Reader {
 public:
  explicit Reader(json& document) : document_(document) {}

  template <class T>
  void operator()(const char* name, T& member, double least, double most) {
    const auto found = document_.find(name);
    if (found == document_.end()) return;
    const bool fits = std::integral<T> ? found->is_number_integer() : found->is_number();
    const double value = fits ? found->template get<double>() : std::nan("");
    if (!(value >= least && value <= most)) {
      if (wrong_.empty()) {
        wrong_ = std::string(name) + ": must be " + (std::integral<T> ? "a whole" : "a") +
                 " number from " + json(least).dump() + " to " + json(most).dump();
      }
      return;
    }
    member = static_cast<T>(value);
    document_.erase(found);
  }
  void text(const char* name, std::string& member) {
    const auto found = document_.find(name);
    if (found == document_.end() || !found->is_string()) return;
    member = found->get<std::string>();
    document_.erase(found);
  }
  void flag(const char* name, bool& member) {
    const auto found = document_.find(name);
    if (found == document_.end() || !found->is_boolean()) return;
    member = found->get<bool>();
    document_.erase(found);
  }
  Result<void> finish() const {
    if (!wrong_.empty()) return fail(Code::kInvalidArgument, wrong_);
    if (document_.empty()) return {};
    return fail(Code::kInvalidArgument,
                document_.begin().key() + ": is no field of a plan, or of another kind");
  }

 private:
  json& document_;
  std::string wrong_;
};

Result<json> object_of(const json& document) {
  if (!document.is_object()) return fail(Code::kInvalidArgument, "a plan is a JSON object");
  return document;
}

auto writer(json& document) {
  return [&document](const char* name, const auto& member, double, double) {
    document[name] = member;
  };
}

Result<void> check_adaptive(const Plan& plan) {
  if (plan.clip <= 0) {
    return fail(Code::kInvalidArgument,
                "a longest update that follows a quantile (clipQuantile) needs one to begin with "
                "(clip)");
  }
  if (std::isfinite(noise_of_vectors(plan))) return {};
  return fail(
      Code::kInvalidArgument,
      "clipNoise: more than half of the noise, else the count of short updates alone spends "
      "all that may be spent");
}

Result<void> check_secure(const Plan& plan) {
  const std::string& name = plan.strategy.name;
  if (name == "fednova" || name == "fedbuff" || name == "scaffold" || name == "median" ||
      name == "trimmed-mean" || name == "krum") {
    return fail(Code::kInvalidArgument,
                "with secure aggregation there is a sum and no single update, as " + name +
                    " needs: choose fedavg, fedprox, fedadam, fedyogi or fedadagrad");
  }
  if (plan.clip <= 0 || plan.quorum < secure::kFewestMembers) {
    return fail(Code::kInvalidArgument,
                "secure aggregation needs a longest update (clip) and a quorum of at least 3");
  }
  return {};
}

}  // namespace

size_t numbers_of(const LocalTraining& local, size_t parameters) {
  return local.scaffold ? 2 * parameters : parameters;
}

size_t target_of(const Plan& plan) {
  return static_cast<size_t>(std::ceil(static_cast<double>(plan.wanted) * plan.over_selection));
}

double noise_of_count(const Plan& plan) {
  if (plan.noise <= 0 || plan.clip_quantile <= 0) return 0;
  if (plan.clip_noise > 0) return plan.clip_noise;
  return std::max(static_cast<double>(plan.wanted) / 20, plan.noise);
}

double noise_of_vectors(const Plan& plan) {
  if (plan.clip_quantile <= 0) return plan.noise;
  return multiplier_beside_count(plan.noise, noise_of_count(plan));
}

double noise_of_each(const Plan& plan) {
  return noise_of_vectors(plan) / std::sqrt(static_cast<double>(plan.quorum));
}

double count_noise_of_each(const Plan& plan) {
  return noise_of_count(plan) / std::sqrt(static_cast<double>(plan.quorum));
}

secure::FixedPoint fixed_point_of(const Plan& plan, double clip) {
  return secure::fixed_point(clip, std::max(target_of(plan), plan.population), noise_of_each(plan));
}

Result<void> check(const Plan& plan) {
  const std::string& name = plan.strategy.name;
  const bool mean = name == "fedavg" || name == "fedprox";
  if (plan.wanted < 1 || plan.rounds < 1 || plan.quorum < 1 || plan.quorum > plan.wanted ||
      !(plan.over_selection >= 1) || !(plan.deadline_s > 0)) {
    return fail(Code::kInvalidArgument,
                "a round wants at least one device, a quorum of no more than it wants, and a "
                "deadline");
  }
  if (plan.secure) SKERRY_TRY(check_secure(plan));
  if (name == "scaffold" && (plan.clip > 0 || plan.strategy.devices < plan.wanted)) {
    return fail(Code::kInvalidArgument,
                "scaffold wants to know how many devices there are (devices), and cuts no update "
                "(clip)");
  }
  if (name == "fedbuff" && (plan.evaluators > 0 || plan.population > 0)) {
    return fail(Code::kInvalidArgument,
                "with fedbuff nobody waits: there are no evaluators, and no devices are drawn");
  }
  if (plan.clip_quantile > 0) SKERRY_TRY(check_adaptive(plan));
  if (plan.noise <= 0) {
    if (plan.epsilon_limit <= 0) return {};
    return fail(Code::kInvalidArgument,
                "a limit of epsilon needs noise: without, nothing is private");
  }
  if (!mean) {
    return fail(
        Code::kInvalidArgument,
        "how private a round with noise is, is known for fedavg and fedprox, not for " + name);
  }
  if (plan.clip <= 0 || plan.population < plan.wanted) {
    return fail(Code::kInvalidArgument,
                "noise needs a longest update (clip) and the number of devices that a round is "
                "drawn from (population)");
  }
  return {};
}

Result<TrainingPlan> parse_training_plan(const json& document) {
  SKERRY_ASSIGN(json left, object_of(document));
  TrainingPlan plan;
  Reader read(left);
  plan_fields(plan.rounds, std::ref(read));
  local_fields(plan.local, std::ref(read));
  read.text("strategy", plan.rounds.strategy.name);
  read.text("coding", plan.coding);
  read.flag("secure", plan.rounds.secure);
  SKERRY_TRY(read.finish());
  plan.local.clip = plan.rounds.clip;
  plan.local.scaffold = plan.rounds.strategy.name == "scaffold";
  SKERRY_TRY(parse_coding(plan.coding));
  if (plan.rounds.secure && plan.coding != "none") {
    return fail(Code::kInvalidArgument, "coding: masked numbers do not get smaller: none");
  }
  SKERRY_TRY(make_strategy(plan.rounds.strategy, 1));
  return plan;
}

json to_json(const TrainingPlan& plan) {
  json document = {{"strategy", plan.rounds.strategy.name},
                   {"coding", plan.coding},
                   {"secure", plan.rounds.secure}};
  plan_fields(plan.rounds, writer(document));
  local_fields(plan.local, writer(document));
  return document;
}

Result<LocalTraining> parse_local_training(const json& document) {
  SKERRY_ASSIGN(json left, object_of(document));
  LocalTraining local;
  Reader read(left);
  local_fields(local, std::ref(read));
  read("clip", local.clip, 0, 1e9);
  read.flag("scaffold", local.scaffold);
  SKERRY_TRY(read.finish());
  return local;
}

json to_json(const LocalTraining& local) {
  json document = {{"clip", local.clip}};
  if (local.scaffold) document["scaffold"] = true;
  local_fields(local, writer(document));
  return document;
}

}  // namespace skerry::federated
