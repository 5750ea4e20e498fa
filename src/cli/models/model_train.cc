// skerry model train|finetune: weights from labelled rows, or from a teacher.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/models/media_rows.h"
#include "cli/models/model_graph.h"
#include "cli/models/model_optimise.h"
#include "cli/models/model_tools.h"
#include "graph/model_file.h"
#include "io/files.h"
#include "optimise/names.h"
#include "train/adapt.h"
#include "train/compress.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

struct TrainOptions {
  bool fresh = false;  // train, not finetune
  std::string model, out, engine = "reference", teacher_engine;
  DataOptions data;
  std::string loss = "cross-entropy", optimiser = "adamw", schedule = "cosine";
  std::vector<std::string> augment, freeze;
  int64_t classes = 0;
  bool restart = false;
  train::Distillation distillation;
  train::Compression compression;
  train::FitOptions fit;
};

// --- Progress -----------------------------------------------------------------------------------

std::string roughly(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) return std::to_string(whole / 60) + " min";
  return std::to_string(whole / 3600) + " h " + std::to_string(whole / 60 % 60) + " min";
}

std::vector<std::string> progress_lines(const train::FitProgress& now, bool labelled) {
  std::vector<double> losses, accuracies, validation;
  for (const train::EpochResult& one : *now.history) {
    losses.push_back(one.loss);
    accuracies.push_back(one.accuracy);
    validation.push_back(labelled ? one.validation_accuracy : one.validation_loss);
  }
  if (now.step > 0) {
    losses.push_back(now.loss);
    accuracies.push_back(now.accuracy);
  }
  std::vector<std::string> lines = {
      "epoch " + std::to_string(now.epoch) + "/" + std::to_string(now.epochs) + "  step " +
          std::to_string(now.step) + "/" + std::to_string(now.steps) + "  about " +
          roughly(now.left_s) + " left",
      "loss        " + fmt::format("{:8.4f}  ", losses.empty() ? 0 : losses.back()) + bars(losses)};
  const auto percent = [](double share) { return fmt::format("{:7.2f} % ", 100 * share); };
  if (labelled) {
    lines.push_back("accuracy    " + percent(accuracies.empty() ? 0 : accuracies.back()) +
                    bars(accuracies));
  }
  if (!validation.empty()) {
    lines.push_back(
        "validation  " +
        (labelled ? percent(validation.back()) : fmt::format("{:8.4f}  ", validation.back())) +
        bars(validation));
  }
  return lines;
}

// --- Running ------------------------------------------------------------------------------------

Result<void> parse_names(TrainOptions& options) {
  train::StepOptions& step = options.fit.step;
  SKERRY_ASSIGN(step.loss.loss, train::parse_loss(options.loss));
  SKERRY_ASSIGN(step.optimiser.optimiser, train::parse_optimiser(options.optimiser));
  SKERRY_ASSIGN(step.optimiser.schedule, train::parse_schedule(options.schedule));
  for (const std::string& text : options.augment) {
    SKERRY_TRY(train::parse_augmentation(text, options.fit.augmentation));
  }
  options.fit.engine = optimise::parse_engine(options.engine);
  options.fit.teacher_engine = options.teacher_engine.empty()
                                   ? options.fit.engine
                                   : optimise::parse_engine(options.teacher_engine);
  options.fit.directory = options.out + "/training";
  options.fit.resume = !options.restart;
  if (!options.fit.teacher.empty()) step.distillation = options.distillation;
  return {};
}

Result<void> write_results(const TrainOptions& options, train::FitResult& result) {
  io::RealFiles files;
  optimise::name_nodes_apart(*result.model);
  SKERRY_TRY(graph::write_model_file(*result.model, options.out + "/model.onnx"));
  const std::pair<const char*, std::string> kFiles[] = {
      {"/contract.json", contract_of(*result.model)},
      {"/report.json", fit_json(result, options.fit) + "\n"},
      {"/report.html", fit_html(result, options.fit)},
  };
  for (const auto& [name, content] : kFiles) {
    SKERRY_TRY(io::write_file_atomic(files, options.out + name, content, 0644));
  }
  return {};
}

void print_result(const Output& output, const TrainOptions& options,
                  const train::FitResult& result) {
  if (output.json) {
    json report = json::parse(fit_json(result, options.fit));
    report["out"] = options.out;
    output.print_json(report);
    return;
  }
  Table table{{"EPOCH", "LOSS", "ACCURACY", "VALIDATION", "", "SECONDS"}, {}};
  for (size_t i = 0; i < result.history.size(); ++i) {
    const train::EpochResult& one = result.history[i];
    const bool validated = result.validation_rows > 0;
    table.rows.push_back({std::to_string(one.epoch), fmt::format("{:.4f}", one.loss),
                          result.labelled ? fmt::format("{:.2f} %", 100 * one.accuracy) : "-",
                          !validated        ? "-"
                          : result.labelled ? fmt::format("{:.2f} %", 100 * one.validation_accuracy)
                                            : fmt::format("{:.4f}", one.validation_loss),
                          i == result.best ? "kept" : "", fmt::format("{:.1f}", one.seconds)});
  }
  output.print_table(table);
  output.print_line("\n" + options.out + "/model.onnx; the report: " + options.out +
                    "/report.html; publish with\n  skerry model publish " + options.out +
                    "/model.onnx --contract " + options.out +
                    "/contract.json --name NAME --version VERSION");
}

Result<void> run_training(const Session& session, TrainOptions& options) {
  SKERRY_TRY(parse_names(options));
  SKERRY_ASSIGN(auto source, graph::read_model_file(options.model));
  graph::Graph& model = *source.graph;
  if (options.fresh) train::reinitialise(model, options.fit.seed);
  if (options.classes > 0) {
    SKERRY_TRY(train::replace_head(model, options.classes, options.fit.seed));
  }
  SKERRY_ASSIGN(options.fit.step.frozen, train::frozen_by(model, options.freeze));
  SKERRY_ASSIGN(const auto data, read_rows(model, options.data));
  std::error_code error;
  std::filesystem::create_directories(options.fit.directory, error);
  if (error) return fail(Code::kInvalidArgument, options.out + ": " + error.message());
  io::RealFiles files;
  const train::OnProgress progress = [&](const train::FitProgress& now) {
    session.output.progress_block(progress_lines(now, data.has_labels()));
  };
  auto result = options.compression.any()
                    ? compress(model, data, options.compression, options.fit, files, progress)
                    : fit(model, data, options.fit, files, progress);
  session.output.progress_block({});
  if (!result) return fail(std::move(result.error()));
  SKERRY_TRY(write_results(options, *result));
  print_result(session.output, options, *result);
  return {};
}

// --- Options ------------------------------------------------------------------------------------

void add_learning_options(CLI::App& command, TrainOptions& options) {
  train::FitOptions& fit = options.fit;
  train::OptimiserOptions& optimiser = fit.step.optimiser;
  command.add_option("--epochs", fit.epochs, "Times that all rows are seen")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--batch", fit.step.batch, "Rows of a step")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--rate", optimiser.rate, "Learning rate")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command.add_option("--loss", options.loss, "cross-entropy, focal, mse or huber")
      ->capture_default_str();
  command.add_option("--optimiser", options.optimiser, "sgd, adam or adamw")->capture_default_str();
  command.add_option("--schedule", options.schedule, "Of the rate: constant, cosine or linear")
      ->capture_default_str();
  command.add_option("--warmup", fit.warmup_epochs, "Epochs in which the rate rises to its height")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--momentum", optimiser.momentum, "Of sgd")->capture_default_str();
  command.add_option("--weight-decay", optimiser.weight_decay, "Of weights, not of biases")
      ->check(CLI::NonNegativeNumber);
  command.add_option("--clip", optimiser.clip_norm, "Longest gradient; 0: any")
      ->check(CLI::NonNegativeNumber);
  command
      .add_option("--average", optimiser.average,
                  "Keep a moving average of the weights, such as 0.999, and answer by it")
      ->check(CLI::Range(0.0, 0.999999));
  command.add_option("--augment", options.augment, "flip, shift=2, noise=0.05")->delimiter(',');
  command.add_option("--seed", fit.seed, "The same seed gives the same model")
      ->capture_default_str();
}

void add_teacher_options(CLI::App& command, TrainOptions& options) {
  auto* teacher = command
                      .add_option("--teacher", options.fit.teacher,
                                  "Learn from this model's answers; labels may be left out then")
                      ->check(CLI::ExistingFile);
  command.add_option("--teacher-engine", options.teacher_engine, "As --engine, for the teacher")
      ->needs(teacher);
  command
      .add_option("--temperature", options.distillation.temperature,
                  "Of the teacher's answers: higher is softer")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->needs(teacher);
  command
      .add_option("--teacher-weight", options.distillation.weight,
                  "Of the teacher; the rest is the labels'")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str()
      ->needs(teacher);
  command
      .add_option("--features", options.distillation.features,
                  "A value of both models that is to become alike")
      ->needs(teacher);
}

void add_compression_options(CLI::App& command, train::Compression& compression) {
  command.add_flag("--qat", compression.integers,
                   "Train it to be rounded: integer layers come out (quantisation-aware training)");
  command
      .add_option("--prune", compression.channels,
                  "Share of the channels that goes, with training between the rounds")
      ->check(CLI::Range(0.0, 0.95));
  command
      .add_option("--sparse", compression.weights,
                  "Share of the weights that becomes zero, with training between the rounds")
      ->check(CLI::Range(0.0, 0.99));
  command.add_option("--rounds", compression.rounds, "Of pruning")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      .add_option("--calibration-rows", compression.calibration_rows,
                  "Of the data that choose what goes, and the first ranges of integers")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
}

constexpr const char* kFinetuneHelp = R"(
OUT/model.onnx is the model of the best epoch, by the rows that are held back. What was interrupted goes on where its
last checkpoint was, and ends with the same model as if it had not been; --restart begins anew.
Examples:
  skerry model finetune net.onnx -o tuned --data images.npy --labels labels.npy --divide 255 \
      --engine onnxruntime=/usr/lib/libonnxruntime.so --epochs 5 --rate 3e-4 --patience 2
  skerry model finetune net.onnx -o sorter --data parts.npy --labels kinds.npy --classes 4 --freeze body
  skerry model finetune small.onnx -o pupil --data images.npy --teacher large.onnx
  skerry model finetune net.onnx -o integers --data images.npy --labels labels.npy --qat --epochs 2 --rate 1e-4
  skerry model finetune net.onnx -o slim --data images.npy --labels labels.npy --prune 0.5 --teacher net.onnx)";

constexpr const char* kTrainHelp = R"(
As finetune, but all weights begin anew; MODEL says what is computed, as ONNX or as a graph in text (*.graph).
Example:
  skerry model train net.graph -o trained --data train-images-idx3-ubyte --labels train-labels-idx1-ubyte \
      --divide 255 --engine onnxruntime=/usr/lib/libonnxruntime.so --epochs 10 --augment shift=2)";

void add_command(CLI::App& model, Session& session, bool fresh) {
  auto options = std::make_shared<TrainOptions>();
  options->fresh = fresh;
  CLI::App* command = model.add_subcommand(
      fresh ? "train" : "finetune",
      fresh ? "Train a model from nothing on labelled rows"
            : "Train a model further: on labelled rows, for other classes, or as another's pupil");
  command->add_option("MODEL", options->model, "The model")->required()->check(CLI::ExistingFile);
  command->add_option("-o,--out", options->out, "Folder for the model, the report, checkpoints")
      ->required();
  add_data_options(*command, options->data);
  command->get_option("--data")->required();
  command->add_option("--engine", options->engine, kEngineHelp)->capture_default_str();
  command->add_option("--threads", options->fit.threads, "Of the engine")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  add_learning_options(*command, *options);
  command
      ->add_option("--classes", options->classes, "Give the model a new head for so many classes")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--freeze", options->freeze,
                   "Layers or weights that stay, as a pattern; 'body': all but the last layer")
      ->delimiter(',');
  command->add_option("--validation", options->fit.validation, "Share of the rows held back")
      ->check(CLI::Range(0.0, 0.9))
      ->capture_default_str();
  command->add_option("--patience", options->fit.patience,
                      "Epochs without a better validation that end it; 0: none");
  command
      ->add_option("--checkpoint-seconds", options->fit.checkpoint_seconds,
                   "Between checkpoints; there is one after each epoch, too")
      ->capture_default_str();
  command->add_flag("--restart", options->restart, "Begin anew, whatever checkpoint is there");
  add_teacher_options(*command, *options);
  if (!fresh) add_compression_options(*command, options->compression);
  command->footer(fresh ? kTrainHelp : kFinetuneHelp);
  command->callback([&session, options] {
    session.action = [&session, options] { return run_training(session, *options); };
  });
}

}  // namespace

void add_model_train(CLI::App& model, Session& session) {
  add_command(model, session, true);
  add_command(model, session, false);
}

}  // namespace skerry::cli
