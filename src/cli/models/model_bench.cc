// skerry model bench: one model in one engine, in this process.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

#include "cli/local_files.h"
#include "cli/models/media_rows.h"
#include "cli/models/model_graph.h"
#include "cli/models/model_optimise.h"
#include "cli/models/model_tools.h"
#include "io/temporary_folder.h"

namespace skerry::cli {
namespace {

struct BenchOptions {
  std::string model;
  std::string engine = "reference";
  DataOptions data;
  optimise::MeasureOptions measure;
};

// What each layer takes: runs for nothing else, which the profiler makes slower.
Result<void> bench_layers(const Session& session, const BenchOptions& options) {
  SKERRY_ASSIGN(const auto folder, io::TemporaryFolder::make("skerry-profile"));
  SKERRY_ASSIGN(auto engine,
                optimise::Engine::load(options.model, optimise::parse_engine(options.engine),
                                       options.measure.threads, folder.path()));
  SKERRY_ASSIGN(const auto data, read_rows(*engine.inputs(), options.data));
  SKERRY_ASSIGN(const auto result, optimise::measure(engine, data, options.measure));
  if (session.output.json) {
    session.output.print_json(nlohmann::json::parse(to_json(result)));
    return {};
  }
  Table table{{"LAYER", "OPERATOR", "µs"}, {}};
  for (const runtime::LayerTime& layer : result.layers) {
    table.rows.push_back({layer.name, layer.op, fmt::format("{:.1f}", layer.us)});
  }
  session.output.print_table(table);
  return {};
}

Result<void> bench(const Session& session, const BenchOptions& options) {
  if (options.measure.layers) return bench_layers(session, options);
  const auto begin = std::chrono::steady_clock::now();
  SKERRY_ASSIGN(auto engine,
                optimise::Engine::load(options.model, optimise::parse_engine(options.engine),
                                       options.measure.threads));
  const std::chrono::duration<double, std::milli> load = std::chrono::steady_clock::now() - begin;
  SKERRY_ASSIGN(const auto data, read_rows(*engine.inputs(), options.data));
  SKERRY_ASSIGN(auto result, optimise::measure(engine, data, options.measure));
  result.load_ms = load.count();
  if (session.output.json) {
    session.output.print_json(nlohmann::json::parse(to_json(result)));
    return {};
  }
  const auto text = [](const char* format, auto... values) {
    char line[128];
    std::snprintf(line, sizeof line, format, values...);
    return std::string(line);
  };
  Table table{{"MEASURED", ""}, {}};
  table.rows.push_back(
      {"one run", text("minimum %.1f µs, median %.1f, p90 %.1f of %zu runs", result.min_us,
                       result.median_us, result.p90_us, result.runs)});
  table.rows.push_back({"load", text("%.1f ms", result.load_ms)});
  table.rows.push_back({"peak memory", bytes_text(static_cast<int64_t>(result.peak_bytes))});
  if (data.has_labels()) {
    const auto share = optimise::share_of(result.correct, result.rows);
    table.rows.push_back(
        {"accuracy", text("%.2f %% of %zu rows (95 %%: %.2f to %.2f)", 100 * share.value,
                          result.rows, 100 * share.lowest, 100 * share.highest)});
  }
  if (result.compared > 0) {
    table.rows.push_back({"agreement", text("%zu of %zu rows, relative difference %.3g",
                                            result.agreed, result.compared, result.error)});
  }
  session.output.print_table(table);
  return {};
}

}  // namespace

void add_data_options(CLI::App& command, DataOptions& options) {
  command
      .add_option(
          "--data", options.data,
          "Rows for the inputs: .npy, .npz, IDX, a folder with NAME.npy for each input, or one "
          "of PNG, JPEG or WAV files, in folders by class or not")
      ->check(CLI::ExistingPath);
  command.add_option("--labels", options.labels, "The right class of each row: .npy or IDX")
      ->check(CLI::ExistingFile)
      ->needs("--data");
  command
      .add_option("--pipeline", options.pipeline,
                  "What makes the inputs of the content of each file in the folder --data: steps "
                  "(docs/pipelines.md) from one BYTES to outputs with the inputs' names")
      ->check(CLI::ExistingFile)
      ->needs("--data");
  command.add_option("--divide", options.preprocess.divide, "Data is divided by this first")
      ->check(CLI::PositiveNumber);
  command.add_option("--mean", options.preprocess.mean, "Then this is subtracted");
  command.add_option("--deviation", options.preprocess.deviation, "Then it is divided by this")
      ->check(CLI::PositiveNumber);
}

std::string to_text(const optimise::EngineSpec& engine) {
  return engine.library.empty() ? engine.name : engine.name + "=" + engine.library;
}

void add_model_bench(CLI::App& model, Session& session) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = model.add_subcommand(
      "bench", "Measure a model in an engine: time, memory, and accuracy on labelled data");
  command->add_option("MODEL", options->model, "The model, as the engine reads it")->required();
  add_data_options(*command, options->data);
  command->get_option("--data")->required();
  command->add_option("--engine", options->engine, kEngineHelp)->capture_default_str();
  command
      ->add_option("--seconds", options->measure.seconds, "Of timing, after as long of warming up")
      ->capture_default_str();
  command->add_option("--threads", options->measure.threads, "Of one run")->capture_default_str();
  command->add_option("--rows", options->measure.rows, "Of the data for accuracy; 0: all");
  command->add_option("--save-answers", options->measure.save_outputs, "Write them as .npy");
  command
      ->add_option("--expect-answers", options->measure.expected,
                   "Compare with what another model's --save-answers wrote")
      ->check(CLI::ExistingFile);
  command->add_flag("--layers", options->measure.layers,
                    "What each layer takes instead, by the engine's own profiler (onnxruntime, "
                    "litert, openvino)");
  command->footer(R"(
Examples:
  skerry model bench net.onnx --data t10k-images-idx3-ubyte --labels t10k-labels-idx1-ubyte --divide 255 \
      --engine onnxruntime=/usr/lib/libonnxruntime.so
  skerry model bench net.onnx --data rows.npy --rows 100
  skerry model bench net.onnx --data rows.npy --layers --engine onnxruntime=/usr/lib/libonnxruntime.so)");
  command->callback([&session, options] {
    session.action = [&session, options] { return bench(session, *options); };
  });
}

}  // namespace skerry::cli
