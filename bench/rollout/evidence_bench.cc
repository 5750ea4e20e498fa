// A look at a rollout whose gates judge what models do: half of the devices have the release, all
// of them have said what the version before did, in the real store on a disk.
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "fleet/deployments.h"
#include "fleet/model_metrics.h"
#include "fleet/models.h"
#include "fleet/rollout/engine.h"
#include "io/test_directory.h"
#include "io/test_env.h"

namespace {

using namespace skerry;
using namespace skerry::fleet;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr std::string_view kPlan = R"({"stages": [{"percent": 50, "bakeSeconds": 86400, "gates": [
    {"metric": "deploymentFailures"}, {"metric": "inferenceErrors"}, {"metric": "inferenceLatency"},
    {"metric": "meanConfidence"}, {"metric": "classDistribution"}]}, {"percent": 100}]})";

double ms_since(Clock::time_point began) {
  return std::chrono::duration<double, std::milli>(Clock::now() - began).count();
}

double cpu_ms() {
  struct rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto ms = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_usec) / 1e3;
  };
  return ms(usage.ru_utime) + ms(usage.ru_stime);
}

int64_t peak_mb() {
  struct rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

// Latencies over four powers of two, ten classes.
formats::InferenceSummary minute_of(int64_t device, const std::string& version) {
  formats::InferenceSummary summary{
      "run00000" + version.substr(2, 1), 1, 1, 60'000, {{{"vad", version}, {}}}};
  formats::ModelCounts& counts = summary.models.front().counts;
  for (int64_t i = 0; i < 600; ++i) {
    ++counts.requests;
    counts.add_latency(400'000 + (i * 7919 + device) % 5'000'000);
    counts.add_prediction(static_cast<size_t>((i + device) % 10),
                          0.9 + 0.0001 * static_cast<double>(device % 100));
  }
  return summary;
}

ThingName device(int64_t i) {
  return ThingName("device-" + std::to_string(i));
}

Result<void> publish(Store& store, const std::string& version) {
  ModelVersion model{ComponentName("com.example.Vad"), version, {}, "bench", 1};
  model.provenance.model = "vad";
  SKERRY_TRY(describe_model(store, model));
  const json recipe = {{"RecipeFormatVersion", "2020-01-25"},
                       {"ComponentName", "com.example.Vad"},
                       {"ComponentVersion", version},
                       {"Manifests", {{{"Lifecycle", json::object()}}}}};
  return store.create_component(
      {ComponentName("com.example.Vad"), version, recipe.dump(), "", "", "{}", 1});
}

Result<void> fill(Store& store, int64_t devices) {
  ThingGroup group;
  group.name = ThingGroupName("g");
  group.id = "g";
  SKERRY_TRY(store.create_group(group));
  for (int64_t i = 0; i < devices; ++i) {
    SKERRY_TRY(store.create_thing({.name = device(i), .id = std::to_string(i)}));
    SKERRY_TRY(store.add_to_group(device(i), group.name));
    CoreDevice core;
    core.thing = device(i);
    SKERRY_TRY(store.upsert_core_device(core));
    SKERRY_TRY(take_summary(store, device(i), minute_of(i, "1.0.0"), 60'000));
  }
  SKERRY_TRY(publish(store, "1.0.0"));
  return publish(store, "1.1.0");
}

// Who was asked has it, and says so.
Result<void> succeed(Store& store, const JobId& job, int64_t devices) {
  for (int64_t i = 0; i < devices; ++i) {
    if (!store.find_execution(job, device(i))) continue;
    Store::ExecutionChange change;
    change.status = ExecutionStatus::kSucceeded;
    SKERRY_TRY(store.update_execution(job, device(i), change));
    SKERRY_TRY(take_summary(store, device(i), minute_of(i, "1.1.0"), 60'000));
  }
  return {};
}

template <class Ask>
Result<void> time(const char* what, Ask ask) {
  std::vector<double> took;
  const double cpu_before = cpu_ms();
  for (int i = 0; i < 9; ++i) {
    const auto began = Clock::now();
    SKERRY_TRY(ask());
    took.push_back(ms_since(began));
  }
  std::ranges::sort(took);
  fmt::print("{:>10} {}: {:.0f} ms (median of 9; {:.0f} to {:.0f}; {:.0f} ms of CPU)\n", "", what,
             took[4], took[0], took[8], (cpu_ms() - cpu_before) / 9);
  return {};
}

Result<void> measure(const std::string& path, int64_t devices) {
  SKERRY_ASSIGN(auto store, Store::open(path));
  SKERRY_TRY(store->transaction([&] { return fill(*store, devices); }));
  io::BasicTestEnv<io::ManualClock, io::RealFiles> test;
  const Deployments deployments(test.env, {});
  const rollout::Rollouts rollouts(deployments);
  const auto deploy = [&](const char* version, std::optional<rollout::Plan> plan) {
    const json request = {{"targetArn", "arn:aws:iot:eu-west-1:000000000000:thinggroup/g"},
                          {"components", {{"com.example.Vad", {{"componentVersion", version}}}}}};
    return deployments.create(*store, request, std::move(plan));
  };
  SKERRY_TRY(deploy("1.0.0", std::nullopt));
  SKERRY_ASSIGN(const auto plan, rollout::parse_plan(json::parse(kPlan)));
  SKERRY_ASSIGN(const auto release, deploy("1.1.0", plan));
  const rollout::Moment moment{test.clock.wall, 1'000, true};
  for (bool more = true; more;) {
    SKERRY_ASSIGN(const auto outcome, rollouts.tick(*store, release.id, moment, true));
    (void)store->take_effects();
    more = outcome.more;
  }
  SKERRY_TRY(store->transaction([&] { return succeed(*store, release.job_id, devices); }));
  SKERRY_ASSIGN(const auto record, rollout::find_rollout(*store, release.id));
  fmt::print("{:>10} devices in a rollout at 50 %\n", devices);
  const int64_t before_mb = peak_mb();
  SKERRY_TRY(time("a look with five gates, four of them on models",
                  [&] { return rollouts.look(*store, record, moment); }));
  fmt::print("{:>10} at most {} MB of memory, {} MB before\n", "", peak_mb(), before_mb);
  SKERRY_TRY(time("what a cohort says about a version", [&] {
    return cohort_metrics(*store, {"vad", "1.0.0"},
                          [](std::string_view thing) { return thing.back() != '7'; });
  }));
  SKERRY_ASSIGN(const auto facts, rollouts.look(*store, record, moment));
  for (const auto& each : facts.findings) {
    fmt::print("{:>10} {}: {}\n", "", name_of(each.metric), name_of(each.verdict));
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const int64_t devices = argc > 1 ? std::atoll(argv[1]) : 100'000;
  const io::ScratchDirectory scratch;
  const auto measured = measure(scratch.path("fleet.db"), devices);
  if (measured) return 0;
  fmt::print(stderr, "{}\n", measured.error().message());
  return 1;
}
