// Durable changes by the second, assignment to a large group, what a large cohort's models did, and
// certificates in a large fleet.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fleet/active_certificates.h"
#include "fleet/broker_registry.h"
#include "fleet/deployments.h"
#include "fleet/model_metrics.h"
#include "fleet/store_pool.h"
#include "io/env.h"
#include "io/test_directory.h"

namespace {

using namespace skerry;
using namespace skerry::fleet;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

Thing thing_named(const std::string& name) {
  return {.name = ThingName(name), .id = "id"};
}

template <class T>
T must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().message().c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

double one_by_one(Store& store, int count) {
  const auto start = Clock::now();
  for (int i = 0; i < count; ++i) must(store.create_thing(thing_named("a" + std::to_string(i))));
  return count / seconds_since(start);
}

io::Task<void> client(StorePool& pool, int number, int changes) {
  for (int i = 0; i < changes; ++i) {
    const std::string name = "b" + std::to_string(number) + "-" + std::to_string(i);
    must(co_await pool.write(
        [name](Store& store) { return store.create_thing(thing_named(name)); }));
  }
}

double together(const std::string& path, int clients, int changes) {
  io::RealLoop loop;
  auto pool = must(StorePool::open(loop, path));
  io::TaskScope scope;
  const auto start = Clock::now();
  for (int i = 0; i < clients; ++i) {
    scope.spawn(client(*pool, clients * 1000 + i, changes));
  }
  while (scope.size() > 0) loop.run_for(1000);
  return clients * changes / seconds_since(start);
}

double assign(Store& store, int things) {
  must(store.create_group({.name = ThingGroupName("g"), .id = "id"}));
  must(store.transaction([&]() -> Result<void> {
    for (int i = 0; i < things; ++i) {
      const std::string name = "c" + std::to_string(i);
      SKERRY_TRY(store.create_thing(thing_named(name)));
      SKERRY_TRY(store.add_to_group(ThingName(name), ThingGroupName("g")));
    }
    return {};
  }));
  io::RealLoop loop;
  io::RealClock clock;
  io::RealFiles files;
  io::RealProcesses processes(loop);
  io::RealRandom random;
  io::InlinePool inline_pool;
  io::Env env{loop, clock, files, processes, random, inline_pool, inline_pool};
  const Deployments deployments(env, {});
  const auto start = Clock::now();
  must(store.transaction([&]() -> Result<void> {
    SKERRY_TRY(deployments.create(
        store, {{"targetArn", "arn:aws:iot:eu-west-1:000000000000:thinggroup/g"}}));
    return {};
  }));
  return seconds_since(start);
}

// A summary of an ordinary minute: latencies over four powers of two, ten classes.
formats::InferenceSummary minute_of(int thing) {
  formats::InferenceSummary summary{"0123456789abcdef", 1, 1, 60'000, {{{"vad", "1.2.0"}, {}}}};
  formats::ModelCounts& counts = summary.models.front().counts;
  for (int i = 0; i < 600; ++i) {
    ++counts.requests;
    counts.add_latency(400'000 + (i * 7919 + thing) % 5'000'000);
    counts.add_prediction(static_cast<size_t>((i + thing) % 10), 0.9);
  }
  return summary;
}

struct MetricsTimes {
  double take_s = 0;    // all summaries
  double cohort_s = 0;  // median of one question
  size_t things = 0;
};

// All things but some are asked about.
MetricsTimes metrics(Store& store, int things) {
  MetricsTimes times;
  auto start = Clock::now();
  must(store.transaction([&]() -> Result<void> {
    for (int i = 0; i < things; ++i) {
      SKERRY_TRY(take_summary(store, ThingName("c" + std::to_string(i)), minute_of(i), 60'000));
    }
    return {};
  }));
  times.take_s = seconds_since(start);
  std::vector<double> questions;
  for (int i = 0; i < 9; ++i) {
    start = Clock::now();
    const auto cohort = must(cohort_metrics(
        store, {"vad", "1.2.0"}, [](std::string_view thing) { return thing.back() != '7'; }));
    questions.push_back(seconds_since(start));
    times.things = cohort.things;
  }
  std::ranges::sort(questions);
  times.cohort_s = questions[questions.size() / 2];
  return times;
}

// One change after the other, as an operator's script makes them: each is a unit of work, and the
// broker's registry has it before the next.
io::Task<void> change_certificates(StorePool& pool, int from, int to, bool provision) {
  for (int i = from; i < to; ++i) {
    const std::string name = "d" + std::to_string(i);
    must(co_await pool.write([name, provision](Store& store) -> Result<void> {
      const std::string id = std::string(64 - name.size(), '0') + name;
      if (!provision) return store.set_certificate_status(id, CertificateStatus::kRevoked);
      SKERRY_TRY(store.create_thing(thing_named(name)));
      SKERRY_TRY(store.add_certificate(
          {id, std::string(700, 'P'), CertificateStatus::kActive, name, ThingName(), 1, 2}));
      return store.attach_certificate(id, ThingName(name));
    }));
  }
}

void certificates(const std::string& directory, int count) {
  io::RealLoop loop;
  io::RealClock clock;
  io::RealFiles files;
  io::RealProcesses processes(loop);
  io::RealRandom random;
  io::ThreadPool threads("files", 1);
  io::Env env{loop, clock, files, processes, random, threads, threads};
  must(Store::open(directory + "/certificates.db"));
  auto pool = must(StorePool::open(loop, directory + "/certificates.db"));
  ActiveCertificates active(*pool);
  BrokerRegistry registry(env, active, directory + "/broker/registry");
  pool->add_listener(registry);
  const auto timed = [&](const char* what, int from, int to, bool provision) {
    io::TaskScope scope;
    const auto start = Clock::now();
    scope.spawn(change_certificates(*pool, from, to, provision));
    while (scope.size() > 0) loop.run_for(1000);
    std::printf("%-44s %10.0f us each\n",
                (std::string(what) + ", registered: " + std::to_string(from)).c_str(),
                1e6 * seconds_since(start) / (to - from));
  };
  constexpr int kSample = 500;
  timed("provisioning", 0, kSample, true);
  {
    io::TaskScope scope;
    constexpr int kAtOnce = 50;  // so that getting there does not take long
    for (int i = 0; i < kAtOnce; ++i) {
      const int each = (count - kSample) / kAtOnce;
      scope.spawn(change_certificates(*pool, kSample + i * each, kSample + (i + 1) * each, true));
    }
    while (scope.size() > 0) loop.run_for(1000);
  }
  timed("provisioning", count, count + kSample, true);
  timed("revocation", count, count + kSample, false);
}

}  // namespace

int main(int argc, char** argv) {
  const int things = argc > 1 ? std::atoi(argv[1]) : 100'000;
  const io::ScratchDirectory scratch;
  const std::string& directory = scratch.path();
  const std::string path = directory + "/fleet.db";
  {
    auto store = must(Store::open(path));
    std::printf("%-44s %10.0f changes/s\n", "one transaction each", one_by_one(*store, 300));
    for (int clients : {1, 8, 64, 256}) {
      std::printf("%-44s %10.0f changes/s\n",
                  ("pool, requests at once: " + std::to_string(clients)).c_str(),
                  together(path, clients, 20));
    }
    std::printf("%-44s %10.2f s\n",
                ("deployment to a group, things: " + std::to_string(things)).c_str(),
                assign(*store, things));
    const MetricsTimes times = metrics(*store, things);
    std::printf("%-44s %10.0f summaries/s\n", "summaries of models, one transaction",
                things / times.take_s);
    std::printf("%-44s %10.1f ms\n",
                ("a version's metrics over things: " + std::to_string(times.things)).c_str(),
                times.cohort_s * 1e3);
  }
  certificates(directory, 10'500);
  return 0;
}
