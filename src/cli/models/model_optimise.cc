// skerry model optimise: passes alone, or the whole search with a report. Each measurement is a
// `skerry model bench` in a process of its own.
#include "cli/models/model_optimise.h"

#include <unistd.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "cli/local_files.h"
#include "cli/models/media_rows.h"
#include "cli/models/model_graph.h"
#include "cli/models/model_tools.h"
#include "compile/compiler.h"
#include "graph/model_file.h"
#include "graph/statistics.h"
#include "io/blocking_process.h"
#include "io/files.h"
#include "optimise/names.h"
#include "optimise/pass.h"
#include "optimise/search/report.h"
#include "optimise/tflite_form.h"
#include "train/compress.h"

// NOLINTNEXTLINE(readability-redundant-declaration): no header of POSIX has it.
extern char** environ;

namespace skerry::cli {
namespace {

using nlohmann::json;

struct OptimiseOptions {
  std::string model, out;
  bool passes_only = false;
  optimise::PassOptions passes;
  DataOptions data;
  std::vector<std::string> engines;
  std::string goal = "latency";
  std::string max_drop = "1%";
  optimise::SearchOptions search;
  std::string target = "native";
  std::string train_data, train_labels;
  size_t train_epochs = 2;
  double train_rate = 3e-4;
};

// --- Passes alone -------------------------------------------------------------------------------

Table pass_table(const std::vector<optimise::PassReport>& reports) {
  Table table{{"PASS", "PLACES", "NODES", "BYTES", "MS", ""}, {}};
  for (const optimise::PassReport& report : reports) {
    char ms[32];
    std::snprintf(ms, sizeof ms, "%.2f", report.ms);
    table.rows.push_back({std::string(report.name), std::to_string(report.changes),
                          std::to_string(-report.nodes_removed),
                          std::to_string(-report.bytes_removed), ms, std::string(report.what)});
  }
  return table;
}

Result<void> run_passes_only(const Session& session, const OptimiseOptions& options) {
  SKERRY_ASSIGN(const auto model, graph::read_model_file(options.model));
  const size_t before = model.graph->nodes().size();
  SKERRY_ASSIGN(const auto reports, optimise::run_passes(*model.graph, options.passes));
  optimise::name_nodes_apart(*model.graph);
  SKERRY_TRY(graph::write_model_file(*model.graph, options.out));
  const size_t after = model.graph->nodes().size();
  if (!session.output.json) {
    session.output.print_table(pass_table(reports));
    session.output.print_line("\n" + options.out + ": " + std::to_string(after) +
                              " operators, it were " + std::to_string(before));
    return {};
  }
  json passes = json::array();
  for (const auto& report : reports) {
    passes.push_back({{"name", report.name},
                      {"changes", report.changes},
                      {"nodesRemoved", report.nodes_removed},
                      {"bytesRemoved", report.bytes_removed},
                      {"ms", report.ms}});
  }
  session.output.print_json(
      {{"out", options.out}, {"nodesBefore", before}, {"nodes", after}, {"passes", passes}});
  return {};
}

// --- The search ---------------------------------------------------------------------------------

Result<double> parse_drop(const std::string& text) {
  double number = 0;
  const bool percent = text.ends_with('%');
  const std::string digits = percent ? text.substr(0, text.size() - 1) : text;
  if (!CLI::detail::lexical_cast(digits, number) || number < 0 || number > (percent ? 100 : 1)) {
    return fail(Code::kInvalidArgument,
                "--max-accuracy-drop '" + text + "' is neither a share such as 0.01 nor 1%");
  }
  return percent ? number / 100 : number;
}

Result<optimise::Measurement> measure_apart(const OptimiseOptions& options, const std::string& path,
                                            const optimise::EngineSpec& engine,
                                            const optimise::MeasureOptions& wanted) {
  io::ProcessSpec spec;
  spec.argv = {"/proc/self/exe", "--json",          "model",    "bench",        path,
               "--data",         options.data.data, "--engine", to_text(engine)};
  const auto add = [&](const char* name, const std::string& value) {
    if (value.empty()) return;
    spec.argv.emplace_back(name);
    spec.argv.push_back(value);
  };
  add("--labels", options.data.labels);
  add("--divide", std::to_string(options.data.preprocess.divide));
  add("--mean", std::to_string(options.data.preprocess.mean));
  add("--deviation", std::to_string(options.data.preprocess.deviation));
  add("--seconds", std::to_string(wanted.seconds));
  add("--rows", std::to_string(wanted.rows));
  add("--save-answers", wanted.save_outputs);
  add("--expect-answers", wanted.expected);
  if (wanted.layers) spec.argv.emplace_back("--layers");
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    spec.environment.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  constexpr size_t kMaxAnswer = 1 << 20;  // a line for each layer
  SKERRY_ASSIGN(const auto done, io::run_process(spec, kMaxAnswer, {}));
  if (done.status.ok()) return optimise::parse_measurement(done.out);
  // Libraries write there, too.
  const size_t at = std::min(done.err.rfind("{\"error\""), done.err.size());
  const json error = json::parse(done.err.substr(at), nullptr, false);
  const bool ours = error.is_object() && error.contains("error");
  if (!ours) return fail(Code::kFailedPrecondition, "the engine died: " + done.status.text());
  const bool missing = error["error"].value("code", "") == code_name(Code::kUnavailable);
  return fail(missing ? Code::kUnavailable : Code::kFailedPrecondition,
              error["error"].value("message", ""));
}

// The steps of what is compiled of the model at `path`: an artifact does not measure itself.
Result<optimise::Measurement> measure_steps(const OptimiseOptions& options,
                                            const std::string& path) {
  SKERRY_ASSIGN(const auto model, graph::read_model_file(path));
  SKERRY_ASSIGN(const compile::Target* target, compile::find_target(options.target));
  SKERRY_ASSIGN(
      const auto made,
      compile::compile(*model.graph, {.targets = {target}, .check = false, .profile = true}));
  const compile::CompileReport& report = made.report;
  if (!report.profile) return fail(Code::kUnsupported, report.not_measured);
  optimise::Measurement result;
  for (size_t i = 0; i < report.steps.size(); ++i) {
    result.layers.push_back({fmt::format("{}", fmt::join(report.steps[i].nodes, " + ")),
                             report.steps[i].kernel, report.profile->step_us[i]});
  }
  return result;
}

// The same model as the engine reads it. LiteRT reads TensorFlow Lite models, of integers with
// signed activations; `compiled` is what `skerry model compile` makes; OpenVINO reads
// TensorFlow Lite's as well as ONNX.
Result<std::string> prepare_for(const OptimiseOptions& options,
                                const optimise::Candidate& candidate,
                                const optimise::EngineSpec& engine) {
  const bool needs_onnx = engine.name == "onnxruntime" ||
                          (engine.name == "openvino" && !candidate.path.ends_with(".tflite"));
  const std::string ending = engine.name == "compiled" ? ".so"
                             : engine.name == "litert" ? ".tflite"
                             : needs_onnx              ? ".onnx"
                                                       : "";
  if (candidate.path.ends_with(ending)) return candidate.path;
  std::string path = options.search.directory + "/" + candidate.name + ending;
  SKERRY_ASSIGN(const auto model, graph::read_model_file(candidate.path));
  if (engine.name == "compiled") {
    SKERRY_ASSIGN(const compile::Target* target, compile::find_target(options.target));
    SKERRY_ASSIGN(const auto made, compile::compile(*model.graph, {.targets = {target}}));
    io::RealFiles files;
    SKERRY_TRY(io::write_file_atomic(files, path, made.artifact, 0644));
    return path;
  }
  if (engine.name == "litert") SKERRY_TRY(optimise::to_tflite_form(*model.graph));
  SKERRY_TRY(graph::write_model_file(*model.graph, path));
  return path;
}

Result<void> write_results(const OptimiseOptions& options, const optimise::SearchResult& result,
                           const graph::Graph& source) {
  io::RealFiles files;
  const optimise::Trial& best = result.trials[result.winner];
  SKERRY_ASSIGN(const std::string bytes, io::read_file(files, best.path, uint64_t{4} << 30));
  // Compiled models have one size.
  const bool compiled = options.search.engines[best.engine].name == "compiled";
  std::unique_ptr<graph::Graph> fixed;
  if (compiled) {
    SKERRY_ASSIGN(fixed, graph::with_open_dimensions(source, 1));
  }
  const std::pair<std::string, std::string> kFiles[] = {
      {"/" + artifact_name(result), bytes},
      {"/contract.json", contract_of(fixed ? *fixed : source)},
      {"/report.json", report_json(result, options.search)},
      {"/report.md", report_markdown(result, options.search)},
      {"/report.html", report_html(result, options.search)},
  };
  for (const auto& [name, content] : kFiles) {
    SKERRY_TRY(io::write_file_atomic(files, options.out + name, content, 0644));
  }
  return {};
}

Table trial_table(const optimise::SearchResult& result, const optimise::SearchOptions& options) {
  Table table{{"CANDIDATE", "ENGINE", "MIN US", "MEDIAN", "KB", "ACCURACY", "LOST", ""}, {}};
  for (size_t t = 0; t < result.trials.size(); ++t) {
    const optimise::Trial& trial = result.trials[t];
    const optimise::Candidate& candidate = result.candidates[trial.candidate];
    table.rows.push_back({candidate.name, options.engines[trial.engine].name,
                          time_text(trial, trial.min_us), time_text(trial, trial.median_us),
                          fmt::format("{:.1f}", static_cast<double>(trial.bytes) / 1000),
                          accuracy_text(trial), fmt::format("{:.2f}", 100 * trial.drop),
                          t == result.winner ? "chosen" : trial.refusal});
  }
  return table;
}

// --- Candidates by training
// -----------------------------------------------------------------------

struct TrainedKind {
  const char* name;
  const char* how;
  train::Compression compression;
};
constexpr TrainedKind kTrained[] = {
    {"trained-int8", "integer layers, trained to be rounded", {.integers = true}},
    {"trained-pruned-25", "a quarter of the channels less, trained between", {.channels = 0.25}},
    {"trained-pruned-50", "half of the channels less, trained between", {.channels = 0.5}},
    {"trained-pruned-25-int8",
     "a quarter of the channels less, then trained to be rounded",
     {.channels = 0.25, .integers = true}},
};

// What cannot be trained, or has nothing to prune, is no candidate.
Result<std::vector<optimise::MadeElsewhere>> make_by_training(const OptimiseOptions& options,
                                                              const graph::Graph& optimised,
                                                              const optimise::Progress& progress) {
  SKERRY_ASSIGN(const auto rows,
                read_rows(optimised, {options.train_data, options.train_labels,
                                      options.data.pipeline, options.data.preprocess}));
  io::RealFiles files;
  std::vector<optimise::MadeElsewhere> made;
  for (const TrainedKind& kind : kTrained) {
    train::FitOptions fit{.epochs = options.train_epochs,
                          .seed = options.search.seed,
                          .engine = options.search.engines[0],
                          .directory = options.search.directory + "/" + kind.name};
    fit.step.optimiser.rate = options.train_rate;
    SKERRY_TRY(io::make_directories(files, fit.directory));
    auto result =
        compress(optimised, rows, kind.compression, fit, files, [&](const train::FitProgress& now) {
          progress("training " + std::string(kind.name) + ": epoch " + std::to_string(now.epoch) +
                       " of " + std::to_string(now.epochs),
                   0.4);
        });
    if (!result && result.error().code() == Code::kUnsupported) continue;
    if (!result) return fail(result.error().with_context(kind.name));
    size_t integers = 0;
    for (const auto& node : result->model->nodes()) {
      const graph::Value* first = node->input(0);
      const bool weights = node->op() == "DequantizeLinear" && first->constant() != nullptr &&
                           first->type().element == graph::DataType::kInt8;
      integers += weights ? 1 : 0;
    }
    made.push_back({std::move(result->model), kind.name, kind.how, integers});
  }
  return made;
}

Result<void> search_best(const Session& session, OptimiseOptions& options) {
  if (options.data.data.empty()) {
    return fail(Code::kInvalidArgument,
                "the search needs --data; without any, --passes-only makes what needs none");
  }
  SKERRY_ASSIGN(options.search.max_accuracy_drop, parse_drop(options.max_drop));
  options.search.goal = options.goal == "size"     ? optimise::Goal::kSize
                        : options.goal == "memory" ? optimise::Goal::kMemory
                                                   : optimise::Goal::kLatency;
  if (options.engines.empty()) options.engines = {"reference"};
  for (const std::string& engine : options.engines) {
    options.search.engines.push_back(optimise::parse_engine(engine));
  }
  options.search.directory = options.out + "/candidates";
  std::error_code error;
  std::filesystem::create_directories(options.search.directory, error);
  if (error) return fail(Code::kInvalidArgument, options.out + ": " + error.message());
  SKERRY_ASSIGN(const auto source, graph::read_model_file(options.model));
  SKERRY_ASSIGN(const auto data,
                read_rows(*source.graph, options.data, options.search.directory + "/rows"));
  if (!options.train_data.empty()) {
    options.search.make_more = [&](const graph::Graph& optimised,
                                   const optimise::Progress& progress) {
      return make_by_training(options, optimised, progress);
    };
  }
  std::map<std::string, std::string> compiled_of;  // paths of models, by what was made of them
  const auto measure = [&](const std::string& path, const optimise::EngineSpec& engine,
                           const optimise::MeasureOptions& wanted) {
    const auto from = compiled_of.find(path);
    return wanted.layers && from != compiled_of.end()
               ? measure_steps(options, from->second)
               : measure_apart(options, path, engine, wanted);
  };
  options.search.prepare = [&](const optimise::Candidate& candidate,
                               const optimise::EngineSpec& engine) {
    auto path = prepare_for(options, candidate, engine);
    if (path && engine.name == "compiled") compiled_of[*path] = candidate.path;
    return path;
  };
  const auto progress = [&](const std::string& line, double done) {
    session.output.progress(std::to_string(static_cast<int>(done * 100)) + " %  " + line);
  };
  auto result = optimise::search(options.model, data, options.search, measure, progress);
  session.output.progress("");
  if (!result) return fail(std::move(result.error()));
  SKERRY_TRY(write_results(options, *result, *source.graph));
  if (session.output.json) {
    session.output.print_json(json::parse(report_json(*result, options.search)));
    return {};
  }
  session.output.print_table(trial_table(*result, options.search));
  for (const std::string& line : missing_engines(*result, options.search)) {
    session.output.print_line("\n" + line);
  }
  session.output.print_line("\n" + verdict(*result, options.search));
  session.output.print_line("The report: " + options.out + "/report.html; publish with\n" +
                            "  skerry model publish " + options.out + "/" + artifact_name(*result) +
                            " --report " + options.out + "/report.json --contract " + options.out +
                            "/contract.json --name NAME --version VERSION");
  return {};
}

Result<void> run_optimise(const Session& session, OptimiseOptions& options) {
  return options.passes_only ? run_passes_only(session, options) : search_best(session, options);
}

void add_training_options(CLI::App& command, OptimiseOptions& options) {
  auto* data = command
                   .add_option("--train-data", options.train_data,
                               "Other rows, to train candidates on: pruned ones, and ones that "
                               "are trained to be rounded")
                   ->check(CLI::ExistingPath);
  auto* labels = command.add_option("--train-labels", options.train_labels, "Their classes")
                     ->check(CLI::ExistingFile)
                     ->needs(data);
  data->needs(labels);
  command.add_option("--train-epochs", options.train_epochs, "Of each of them")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->needs(data);
  command.add_option("--train-rate", options.train_rate, "Learning rate")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->needs(data);
}

void add_pass_options(CLI::App& command, OptimiseOptions& options) {
  command.add_flag("--passes-only", options.passes_only,
                   "Only rewrite the graph; -o is a file then, *.onnx or *.graph");
  command.add_option("--pass", options.passes.also, "Also these, which are off by default")
      ->delimiter(',');
  command.add_option("--no-pass", options.passes.without, "All but these")->delimiter(',');
  command.add_option("--only-pass", options.passes.only, "These and no others")->delimiter(',');
}

}  // namespace

void add_model_optimise(CLI::App& model, Session& session) {
  auto options = std::make_shared<OptimiseOptions>();
  CLI::App* command = model.add_subcommand(
      "optimise", "Make a model smaller and faster, and show that it still answers the same");
  command->add_option("MODEL", options->model, "The model, *.onnx")
      ->required()
      ->check(CLI::ExistingFile);
  command->add_option("-o,--out", options->out, "Folder for the best model and the report")
      ->required();
  add_data_options(*command, options->data);
  command->add_option("--engine", options->engines,
                      std::string(kEngineHelp) + "; repeatable (default: reference)");
  command->add_option("--target", options->target, "What the engine `compiled` compiles for")
      ->capture_default_str();
  command->add_option("--goal", options->goal, "latency, size or memory")
      ->check(CLI::IsMember({"latency", "size", "memory"}))
      ->capture_default_str();
  command
      ->add_option("--max-accuracy-drop", options->max_drop,
                   "Of the rows, with labels; without, of the rows that are answered otherwise")
      ->capture_default_str();
  command
      ->add_option("--tolerance", options->search.tolerance,
                   "Relative difference of answers that stay in floats")
      ->capture_default_str();
  command
      ->add_option("--calibration-rows", options->search.calibration_rows,
                   "Of the data that choose the ranges of integers")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--rounds", options->search.rounds, "Of measuring, in turns")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--seconds", options->search.seconds, "Of each measurement")
      ->capture_default_str();
  command->add_option("--rows", options->search.rows, "Of the data for accuracy; 0: all");
  command->add_option("--seed", options->search.seed, "Of the order of turns")
      ->capture_default_str();
  add_pass_options(*command, *options);
  add_training_options(*command, *options);
  command->footer(R"(
Candidates: passes alone; integers with ranges by minmax, percentile, mse and entropy, after cross-layer equalisation,
and with the worst layers left in floats; dynamic integers; weights as INT8, INT4 and FP16; with --train-data also pruned ones with training between,
and integers that are trained to be rounded. Each is measured in each
engine in a process of its own, as the form that it reads: the first engine says what is expected, the others are given
what did not lose too much there; one that is not there is left out, and the report says why. What has been measured in the folder before is not measured again.
Examples:
  skerry model optimise net.onnx -o smaller.onnx --passes-only
  skerry model optimise net.onnx -o best --data images.npy --labels labels.npy --divide 255 \
      --engine onnxruntime=/usr/lib/libonnxruntime.so --goal latency --max-accuracy-drop 0.5%
  skerry model optimise net.onnx -o best --data images.npy --labels labels.npy \
      --engine onnxruntime=/usr/lib/libonnxruntime.so --engine litert=/usr/lib/libLiteRt.so \
      --engine openvino=/usr/lib/libopenvino_c.so --engine compiled
  skerry model optimise net.onnx -o best --data photos/ --divide 255 --engine compiled)");
  command->callback([&session, options] {
    session.action = [&session, options] { return run_optimise(session, *options); };
  });
}

}  // namespace skerry::cli
