// Assignment of a rollout to a large group: the real store on a disk, until every device of the
// group has its execution. And the gate's look at it.
#include <fmt/format.h>
#include <stdlib.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "fleet/deployments.h"
#include "fleet/rollout/engine.h"
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
  int64_t units = 0;
  double longest = 0;
  for (bool more = true; more; ++units) {
    const auto unit = std::chrono::steady_clock::now();
    SKERRY_ASSIGN(const auto outcome,
                  rollouts.tick(*store, release.id, {test.clock.wall, 1'000}, true));
    (void)store->take_effects();
    longest = std::max(longest, seconds_since(unit));
    more = outcome.more;
  }
  fmt::print("{:>10} devices asked in {:.2f} s, {} units of work, the longest {:.0f} ms\n", things,
             seconds_since(began), units, longest * 1000);
  began = std::chrono::steady_clock::now();
  SKERRY_TRY(rollouts.tick(*store, release.id, {test.clock.wall, 1'000}, true));
  fmt::print("{:>10} a look at all of them: {:.0f} ms\n", "", seconds_since(began) * 1000);
  began = std::chrono::steady_clock::now();
  SKERRY_TRY(rollouts.command(*store, release.id, rollout::Rollback{}, test.clock.wall));
  for (bool more = true; more;) {
    SKERRY_ASSIGN(const auto outcome,
                  rollouts.tick(*store, release.id, {test.clock.wall, 1'000}, true));
    (void)store->take_effects();
    more = outcome.more;
  }
  fmt::print("{:>10} devices asked back in {:.2f} s\n", things, seconds_since(began));
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const int64_t things = argc > 1 ? std::atoll(argv[1]) : 1'000'000;
  std::string pattern = std::filesystem::temp_directory_path() / "skerry-bench-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) return 1;
  const auto measured = measure(pattern + "/fleet.db", things);
  std::filesystem::remove_all(pattern);
  if (measured) return 0;
  fmt::print(stderr, "{}\n", measured.error().message());
  return 1;
}
