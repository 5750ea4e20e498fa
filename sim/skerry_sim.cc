// skerry-sim: any number of simulated fleets on demand, or one seed again with a trace.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/log.h"
#include "sim/deployment_sim.h"

int main(int argc, char** argv) {
  CLI::App app("Simulated fleets under faults. A seed that fails is printed and replays exactly.",
               "skerry-sim");
  app.footer(
      "\nExamples:\n  skerry-sim --from 1 --seeds 10000\n  skerry-sim --seed 4711 --trace\n\n"
      "Exit codes: 0 all invariants held, 1 a seed failed, 2 usage.");
  uint64_t from = 1, seeds = 200, seed = 0;
  skerry::sim::DeploymentSimOptions options;
  app.add_option("--from", from, "The first seed");
  app.add_option("--seeds", seeds, "How many");
  auto* one = app.add_option("--seed", seed, "Only this one");
  app.add_flag("--trace", options.trace, "Print what happens");
  app.add_flag("--liveness", options.liveness,
               "End the faults in the midst of it; all must then be done in bounded time");
  app.add_option("--devices", options.devices, "Devices in a fleet")->check(CLI::Range(1, 1000));
  app.add_option("--rounds", options.rounds, "Deployments to each")->check(CLI::Range(1, 100));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (*one) {
    from = seed;
    seeds = 1;
  }
  skerry::log::configure(options.trace ? skerry::log::Level::kInfo : skerry::log::Level::kError,
                         skerry::log::Format::kText);
  long succeeded = 0, failed = 0, crashes = 0, losses = 0;
  int64_t slowest_ms = 0;
  for (options.seed = from; options.seed < from + seeds; ++options.seed) {
    auto report = skerry::sim::run_deployment_sim(options);
    if (report.violation) {
      std::printf(
          "seed %llu: %s\nreplay: skerry-sim --seed %llu --devices %d --rounds %d%s --trace\n",
          static_cast<unsigned long long>(options.seed), report.violation->c_str(),
          static_cast<unsigned long long>(options.seed), options.devices, options.rounds,
          options.liveness ? " --liveness" : "");
      return 1;
    }
    succeeded += report.succeeded;
    failed += report.failed;
    crashes += report.crashes;
    losses += report.losses;
    slowest_ms = std::max(slowest_ms, report.settled_ms);
  }
  std::printf(
      "%llu seeds: %ld deployments succeeded, %ld failed and took themselves back, %ld power "
      "cuts, %ld lost journals; the slowest was done %lld s after its faults\n",
      static_cast<unsigned long long>(seeds), succeeded, failed, crashes, losses,
      static_cast<long long>(slowest_ms / 1000));
  return 0;
}
