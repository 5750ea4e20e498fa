// What models do on devices, from the summaries of their inference services: totals of each version
// on each thing, and hours of each version over the fleet. The seam for whoever judges a version:
// rollouts compare the cohort that has a new one with the cohort that has the old one.
//
// Every summary counts once, however often and however late it comes (formats/inference_summary.h).
// The functions work in the session they are given: one unit of work of the StorePool.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fleet/device_link.h"
#include "fleet/store_pool.h"
#include "fleet/thing_inbox.h"
#include "formats/inference_summary.h"
#include "io/env.h"

namespace skerry::fleet {

// True for the things that belong to it; asked in the order of their names.
using Cohort = std::function<bool(std::string_view thing)>;

// One value of each thing, summed up: what a test needs that takes things, not requests, as
// independent.
struct Spread {
  size_t things = 0;
  double sum = 0;
  double squares = 0;
  void add(double value);
  double mean() const;      // 0 where there are none
  double variance() const;  // of the sample; 0 below two things
};

struct CohortMetrics {
  formats::ModelCounts counts;  // of all things together, since they have the version
  size_t things = 0;            // that have said something of this version
  Spread error_rate;            // of things with requests or errors
  Spread mean_latency_us;       // of things with requests
  Spread mean_confidence;       // of things with predictions
};
// What the things of a cohort said about one version. To see what happened since a moment, take it
// then and now: now.counts.since(then.counts). 100,000 things take less than 100 ms
// (bench/store).
Result<CohortMetrics> cohort_metrics(Store& store, const formats::ModelId& model,
                                     const Cohort& cohort);

struct ThingModel {
  formats::ModelId model;
  int64_t first_ms = 0;  // by the control plane's clock
  int64_t last_ms = 0;
  formats::ModelCounts counts;
};
Result<std::vector<ThingModel>> models_of_thing(Store& store, const ThingName& thing);

struct ModelHour {
  int64_t hour_ms = 0;  // its beginning
  formats::ModelCounts counts;
};
// Hours in which things say that they used it, oldest first.
Result<std::vector<ModelHour>> model_history(Store& store, const formats::ModelId& model,
                                             int64_t from_ms, int64_t until_ms);

// All of it or nothing; false where this one was taken before. kFailedPrecondition where the thing
// speaks of more versions than kVersionsOfThing in a day.
inline constexpr size_t kVersionsOfThing = 64;
Result<bool> take_summary(Store& store, const ThingName& thing,
                          const formats::InferenceSummary& summary, int64_t now_ms);
// Forgets totals and hours older than that, at most `limit` of each; how many went.
Result<int64_t> prune_metrics(Store& store, int64_t oldest_ms, int64_t limit);

class ModelMetricsService {
 public:
  // Registers its route with `link`, which must not outlive it. What comes while the
  // store takes nothing waits (thing_inbox.h).
  ModelMetricsService(io::Env& env, StorePool& stores, DeviceLink& link);

 private:
  ThingInbox inbox_;
};

}  // namespace skerry::fleet
