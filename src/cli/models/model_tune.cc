// skerry model tune: which way each layer of a model is fastest in, on one kind of machine.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/models/model_graph.h"
#include "cli/models/model_interface.h"
#include "cli/models/model_tools.h"
#include "compile/cost_model.h"
#include "compile/tune.h"
#include "graph/model_file.h"
#include "io/files.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

struct TuneCommand {
  std::string model;
  std::string target = "native";
  std::string out;
  std::string ssh_host;
  double seconds = 60;
  uint64_t seed = 1;
  InterfaceWords interface;
};

std::string percent(double share) {
  return fmt::format("{:.0f} %", 100 * share);
}

std::string progress_text(const compile::SearchProgress& progress) {
  return fmt::format("{:.0f} s: {} of {} ways tried{}; the best take {} of the usual time",
                     progress.seconds, progress.tried, progress.ways,
                     progress.is_final ? ", the best again" : "", percent(progress.share));
}

// What was tried, beside what the model of costs says of it.
json measured_json(const compile::Tuned& tuned, size_t layer) {
  const compile::Target& target = **compile::find_target(tuned.tuning.target);
  const auto& space = tuned.layers[layer];
  json measured = json::array();
  for (size_t i = 0; i < space.ways.size(); ++i) {
    const double share = tuned.search.layers[layer].shares[i];
    if (!std::isfinite(share)) continue;
    json each = {{"way", space.ways[i].text()}, {"share", share}, {"work", nullptr}};
    if (const auto work = compile::work_of(target, tuned.sizes[layer], space.ways[i])) {
      each["work"] = *work;
      each["cycles"] = *compile::expected_cycles(target, tuned.sizes[layer], space.ways[i]);
    }
    measured.push_back(std::move(each));
  }
  return measured;
}

json tuned_json(const compile::Tuned& tuned, const TuneCommand& options) {
  json layers = json::array();
  for (size_t i = 0; i < tuned.layers.size(); ++i) {
    const auto& space = tuned.layers[i];
    const auto& found = tuned.search.layers[i];
    layers.push_back({{"layer", space.layer},
                      {"way", space.ways[found.way].text()},
                      {"usualWay", space.ways[0].text()},
                      {"us", found.us},
                      {"usualUs", found.usual_us},
                      {"ways", space.ways.size()},
                      {"tried", found.tried + 1},
                      {"measured", measured_json(tuned, i)}});
  }
  return {{"tuning", options.out},
          {"target", tuned.tuning.target},
          {"machine", tuned.tuning.machine},
          {"seed", options.seed},
          {"isFaster", tuned.search.is_faster},
          {"us", tuned.search.us},
          {"usualUs", tuned.search.usual_us},
          {"restarts", tuned.search.restarts},
          {"layers", std::move(layers)}};
}

void print_tuned(const Session& session, const compile::Tuned& tuned, const TuneCommand& options) {
  if (session.output.json) return session.output.print_json(tuned_json(tuned, options));
  Table table{{"LAYER", "WAY", "US", "USUAL", "TRIED"}, {}};
  for (size_t i = 0; i < tuned.layers.size(); ++i) {
    const auto& space = tuned.layers[i];
    const auto& found = tuned.search.layers[i];
    table.rows.push_back({space.layer, found.way == 0 ? "as usual" : space.ways[found.way].text(),
                          fmt::format("{:.2f}", found.us), fmt::format("{:.2f}", found.usual_us),
                          fmt::format("{} of {}", found.tried + 1, space.ways.size())});
  }
  session.output.print_table(table);
  const auto& search = tuned.search;
  session.output.print_line(
      search.is_faster
          ? fmt::format("A run takes {:.2f} µs instead of {:.2f} ({} of it), on {}", search.us,
                        search.usual_us, percent(search.us / search.usual_us), tuned.tuning.machine)
          : fmt::format("A run is not faster than in the usual ways, which are kept: {:.2f} µs, "
                        "on {}",
                        search.usual_us, tuned.tuning.machine));
  session.output.print_line(options.out + " is for skerry model compile --target " +
                            tuned.tuning.target + " --tuning");
}

// With the layers of other models that are in the file already.
Result<void> write_tuning(const std::string& path, compile::Tuning tuning) {
  if (std::filesystem::exists(path)) {
    SKERRY_ASSIGN(compile::Tuning before, compile::read_tuning(path));
    if (before.target != tuning.target) {
      return fail(Code::kAlreadyExists,
                  fmt::format("{} is there, for {}: name another file", path, before.target));
    }
    if (before.kernels == tuning.kernels) tuning.layers.merge(before.layers);
  }
  io::RealFiles files;
  return io::write_file_atomic(files, path, compile::to_text(tuning), 0644);
}

Result<void> run_tune(const Session& session, const TuneCommand& options) {
  SKERRY_ASSIGN(const auto* target, compile::find_target(options.target));
  if (std::filesystem::exists(options.out)) {
    SKERRY_ASSIGN(const compile::Tuning before, compile::read_tuning(options.out));
    if (before.target != target->name) {
      return fail(Code::kAlreadyExists, fmt::format("{} is there, for {}: name another file",
                                                    options.out, before.target));
    }
  }
  SKERRY_ASSIGN(const auto model, graph::read_model_file(options.model));
  SKERRY_ASSIGN(auto interface, interface_of(options.interface));
  const auto tuned = compile::tune(
      *model.graph, {.target = target,
                     .interface = std::move(interface),
                     .search = {.seconds = options.seconds,
                                .seed = options.seed,
                                .progress =
                                    [&](const compile::SearchProgress& progress) {
                                      session.output.progress(progress_text(progress));
                                    }},
                     .ssh_host = options.ssh_host});
  session.output.progress("");
  if (!tuned) return fail(tuned.error().with_context(options.model));
  SKERRY_TRY(write_tuning(options.out, tuned->tuning));
  print_tuned(session, *tuned, options);
  return {};
}

}  // namespace

void add_model_tune(CLI::App& model, Session& session) {
  auto options = std::make_shared<TuneCommand>();
  CLI::App* command = model.add_subcommand(
      "tune", "Measure which way each layer of a model is fastest in, for skerry model compile");
  command->add_option("MODEL", options->model, "The model")->required();
  command->add_option("--target", options->target, "What it is for, as in skerry model compile")
      ->capture_default_str();
  command
      ->add_option("--seconds", options->seconds,
                   "How long it may take; what was begun is ended, which takes some more")
      ->check(CLI::Range(1.0, 86400.0))
      ->capture_default_str();
  command
      ->add_option("--seed", options->seed,
                   "Of the order in which ways are tried: the same times give the same result")
      ->capture_default_str();
  command
      ->add_option("-o,--out", options->out,
                   "The file to write; layers of other models that are in it stay")
      ->required();
  command
      ->add_option("--ssh", options->ssh_host,
                   "HOST or USER@HOST that ssh reaches without a question: measured there, by "
                   "programs that are copied into its folder for temporary files and removed again")
      ->check([](const std::string& host) {
        return host.empty() || host[0] == '-' ? std::string("is no name of a host") : std::string();
      });
  add_interface_options(*command, options->interface);
  command->footer(R"(
Tiles, chains of sums, the order of weights, Winograd's algorithm and sparse forms are tried layer by layer, beside the
usual way in one run; the best few again in several, and only what wins in nearly all of them is taken. The file is plain
text for one target, and serves every model that has the same layers. It needs the compiler of the target on this machine.
Examples:
  skerry model tune keywords.onnx -o here.tuning
  skerry model tune keywords.onnx --target x86-64-v3 --seconds 180 --seed 7 -o v3.tuning
  skerry model tune keywords.onnx --target cortex-a72 --ssh pi@press-7.local -o pi4.tuning
  skerry model compile keywords.onnx --target cortex-a72 --tuning pi4.tuning -o keywords.so)");
  command->callback([&session, options] {
    session.action = [&session, options] { return run_tune(session, *options); };
  });
}

}  // namespace skerry::cli
