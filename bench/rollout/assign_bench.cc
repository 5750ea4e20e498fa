// Assignment of a rollout to a large group: the real store on a disk, until every device of the
// group has its execution. And the gate's look at it.
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "fleet/deployments.h"
#include "fleet/endings.h"
#include "fleet/rollout/engine.h"
#include "io/test_directory.h"
#include "io/test_env.h"

namespace {

using namespace skerry;
using namespace skerry::fleet;
using nlohmann::json;

double seconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

Result<void> fill(Store& store, int64_t things) {
  ThingGroup group;
  group.name = ThingGroupName("g");
  group.id = "g";
  SKERRY_TRY(store.create_group(group));
  return store.transaction([&]() -> Result<void> {
    for (int64_t i = 0; i < things; ++i) {
      const std::string name = "device-" + std::to_string(i);
      SKERRY_TRY(store.create_thing({.name = ThingName(name), .id = name}));
      SKERRY_TRY(store.add_to_group(ThingName(name), group.name));
    }
    return {};
  });
}

double cpu_seconds() {
  struct rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

struct Work {
  double seconds = 0, longest = 0, cpu = 0;
  int64_t units = 0;
};

// As the engine's loop does it: looks, and units of work between them.
Result<Work> drive(Store& store, const rollout::Rollouts& rollouts, const DeploymentId& id,
                   int64_t now_ms) {
  Work work;
  const auto began = std::chrono::steady_clock::now();
  const double cpu_before = cpu_seconds();
  for (bool more = true; more;) {
    const auto look = std::chrono::steady_clock::now();
    const auto timed = [&](auto unit) {
      const auto start = std::chrono::steady_clock::now();
      auto result = unit();
      (void)store.take_effects();
      work.longest = std::max(work.longest, seconds_since(start));
      ++work.units;
      return result;
    };
    SKERRY_ASSIGN(const auto outcome,
                  timed([&] { return rollouts.tick(store, id, {now_ms, 1'000, true}, true); }));
    more = outcome.more;
    for (bool goes_on = more; goes_on && seconds_since(look) * 1000 < rollouts.kLookMs;) {
      SKERRY_ASSIGN(goes_on, timed([&] { return rollouts.go_on(store, id, now_ms); }));
    }
  }
  work.seconds = seconds_since(began);
  work.cpu = cpu_seconds() - cpu_before;
  return work;
}

// It holds for every device after the first unit; the others write it down.
Result<Work> cancel(Store& store, const Deployments& deployments, const DeploymentId& id,
                    int64_t now_ms) {
  Work work;
  const auto began = std::chrono::steady_clock::now();
  const double cpu_before = cpu_seconds();
  SKERRY_TRY(deployments.cancel(store, id));
  for (bool more = true; more; ++work.units) {
    (void)store.take_effects();
    const auto start = std::chrono::steady_clock::now();
    if (work.units > 0) SKERRY_TRY(end_more(store, now_ms));
    work.longest = std::max(work.longest, seconds_since(work.units > 0 ? start : began));
    SKERRY_ASSIGN(more, has_endings(store));
  }
  work.seconds = seconds_since(began);
  work.cpu = cpu_seconds() - cpu_before;
  return work;
}

void print(const char* what, int64_t things, const Work& work) {
  fmt::print(
      "{:>10} devices {} in {:.2f} s ({:.2f} s of CPU), {} units of work, the longest {:.0f} ms\n",
      things, what, work.seconds, work.cpu, work.units, work.longest * 1000);
}

// What devices do then, one after the other: ask for their job, begin it, end it.
Result<void> answer(Store& store, const JobId& job, int64_t things) {
  constexpr int64_t kDevices = 5'000;
  const auto began = std::chrono::steady_clock::now();
  const double cpu_before = cpu_seconds();
  SKERRY_TRY(store.transaction([&]() -> Result<void> {
    for (int64_t i = 0; i < std::min(things, kDevices); ++i) {
      const ThingName thing("device-" + std::to_string(i * 7919 % things));
      SKERRY_TRY(store.next_pending(thing));
      for (const auto status : {ExecutionStatus::kInProgress, ExecutionStatus::kSucceeded}) {
        Store::ExecutionChange change;
        change.status = status;
        SKERRY_TRY(store.update_execution(job, thing, change));
      }
    }
    return {};
  }));
  const double devices = static_cast<double>(std::min(things, kDevices));
  fmt::print("{:>10} a device's question and its two updates: {:.0f} us ({:.0f} us of CPU)\n", "",
             seconds_since(began) / devices * 1e6, (cpu_seconds() - cpu_before) / devices * 1e6);
  return {};
}

Result<void> measure(const std::string& path, int64_t things) {
  SKERRY_ASSIGN(auto store, Store::open(path));
  auto began = std::chrono::steady_clock::now();
  SKERRY_TRY(fill(*store, things));
  fmt::print("{:>10} things registered in {:.1f} s\n", things, seconds_since(began));
  io::BasicTestEnv<io::ManualClock, io::RealFiles> test;
  const Deployments deployments(test.env, {});
  const rollout::Rollouts rollouts(deployments);
  const json request = {{"targetArn", "arn:aws:iot:eu-west-1:000000000000:thinggroup/g"},
                        {"components", json::object()}};
  SKERRY_ASSIGN(const auto plan,
                rollout::parse_plan(json::parse(R"({"stages": [{"percent": 100}]})")));
  began = std::chrono::steady_clock::now();
  SKERRY_ASSIGN(const auto release, deployments.create(*store, request, plan));
  SKERRY_ASSIGN(Work work, drive(*store, rollouts, release.id, test.clock.wall));
  print("asked", things, work);
  SKERRY_TRY(answer(*store, release.job_id, things));
  const auto look = std::chrono::steady_clock::now();
  SKERRY_TRY(rollouts.tick(*store, release.id, {test.clock.wall, 1'000, true}, true));
  fmt::print("{:>10} a look at all of them: {:.0f} ms\n", "", seconds_since(look) * 1000);
  began = std::chrono::steady_clock::now();
  SKERRY_TRY(rollouts.command(*store, release.id, rollout::Rollback{}, test.clock.wall));
  const double first = seconds_since(began);
  SKERRY_ASSIGN(work, drive(*store, rollouts, release.id, test.clock.wall));
  work.seconds += first;
  work.longest = std::max(work.longest, first);
  print("asked back", things, work);
  SKERRY_ASSIGN(const auto plain, deployments.create(*store, request));
  SKERRY_ASSIGN(work, drive(*store, rollouts, plain.id, test.clock.wall));
  print("asked for a deployment without stages", things, work);
  SKERRY_ASSIGN(work, cancel(*store, deployments, plain.id, test.clock.wall));
  print("cancelled", things, work);
  struct rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  fmt::print("{:>10} at most {} MB of memory\n", "", usage.ru_maxrss / 1024);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const int64_t things = argc > 1 ? std::atoll(argv[1]) : 1'000'000;
  const io::ScratchDirectory scratch;
  const auto measured = measure(scratch.path("fleet.db"), things);
  if (measured) return 0;
  fmt::print(stderr, "{}\n", measured.error().message());
  return 1;
}
