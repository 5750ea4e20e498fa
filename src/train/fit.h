// Training: epochs over shuffled data, validation, early stopping, checkpoints. The same model,
// data, options and seed give the same result, however often it was interrupted.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "io/files.h"
#include "train/trainer.h"

namespace skerry::train {

struct FitOptions {
  StepOptions step;
  size_t epochs = 10;
  uint64_t seed = 1;
  double validation = 0.1;  // share of the rows that are not trained on but tell how well it goes
  size_t patience = 0;      // epochs without a better validation that end it; 0: none do
  double warmup_epochs = 0;
  Augmentation augmentation;
  optimise::EngineSpec engine = {.name = "reference", .library = ""};
  size_t threads = 1;
  std::string directory;           // for step.onnx, forward.onnx, checkpoint; there already
  double checkpoint_seconds = 30;  // and after each epoch
  bool resume = true;              // from the directory's checkpoint, where there is one
  std::string teacher;             // a model whose answers count; "" for none
  optimise::EngineSpec teacher_engine = {.name = "reference", .library = ""};
};

struct EpochResult {
  size_t epoch = 0;               // from 1
  double loss = 0, accuracy = 0;  // while training
  double validation_loss = 0, validation_accuracy = 0;
  double seconds = 0;
};

struct FitProgress {
  size_t epoch = 1, epochs = 1;   // from 1
  size_t step = 0, steps = 1;     // of the epoch
  double loss = 0, accuracy = 0;  // of the epoch so far
  double left_s = 0;              // about
  const std::vector<EpochResult>* history = nullptr;
};
using OnProgress = std::function<void(const FitProgress&)>;

struct FitResult {
  std::unique_ptr<Graph> model;  // with the parameters of the best epoch
  std::vector<EpochResult> history;
  size_t best = 0;  // of history
  size_t training_rows = 0, validation_rows = 0, steps = 0, parameters = 0;
  bool stopped_early = false, resumed = false, labelled = false;
  EpochResult before;  // validation of the model as it came
};

// kInvalidArgument where model, data and options do not go together, kFailedPrecondition where
// training fails; the last checkpoint stays.
Result<FitResult> fit(const Graph& model, const optimise::Dataset& data, const FitOptions& options,
                      io::Files& files, const OnProgress& progress = {});

std::string fit_json(const FitResult& result, const FitOptions& options);
std::string fit_html(const FitResult& result, const FitOptions& options);

}  // namespace skerry::train
