// The loop. Its position is a number of steps; everything else follows from that and the seed.
#include "train/fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "formats/checkpoint.h"
#include "graph/model_file.h"
#include "optimise/names.h"
#include "train/draw.h"

namespace skerry::train {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;
using tensor::Tensor;

constexpr uint64_t kSplit = 3;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

json to_json(const EpochResult& one) {
  return {{"epoch", one.epoch},
          {"loss", one.loss},
          {"accuracy", one.accuracy},
          {"validationLoss", one.validation_loss},
          {"validationAccuracy", one.validation_accuracy},
          {"seconds", one.seconds}};
}

EpochResult epoch_of(const json& one) {
  return {.epoch = one.value("epoch", size_t{0}),
          .loss = one.value("loss", 0.0),
          .accuracy = one.value("accuracy", 0.0),
          .validation_loss = one.value("validationLoss", 0.0),
          .validation_accuracy = one.value("validationAccuracy", 0.0),
          .seconds = one.value("seconds", 0.0)};
}

struct Rows {
  std::vector<size_t> training, validation;
};

Rows split(size_t rows, double share, uint64_t seed) {
  const std::vector<size_t> order = Draw(seed, kSplit).permutation(rows);
  const auto held = static_cast<std::ptrdiff_t>(std::floor(share * static_cast<double>(rows)));
  return {{order.begin() + held, order.end()}, {order.begin(), order.begin() + held}};
}

// Scores to shares of classes: softmax along the last axis.
tensor::Bytes shares_of(const Tensor& scores) {
  tensor::Bytes bytes = scores.bytes;
  const std::span<float> values(reinterpret_cast<float*>(bytes.data()),
                                bytes.size() / sizeof(float));
  const auto classes = static_cast<size_t>(scores.shape.back());
  for (size_t at = 0; at + classes <= values.size(); at += classes) {
    const std::span<float> row = values.subspan(at, classes);
    const float largest = std::ranges::max(row);
    float sum = 0;
    for (float& value : row) sum += value = std::exp(value - largest);
    for (float& value : row) value /= sum;
  }
  return bytes;
}

// What a batch asks a teacher.
class Teacher {
 public:
  static Result<Teacher> open(const FitOptions& options, int64_t batch) {
    SKERRY_ASSIGN(const auto file, graph::read_model_file(options.teacher));
    const std::string features =
        options.step.distillation ? options.step.distillation->features : "";
    SKERRY_ASSIGN(auto graph, make_teacher(*file.graph, batch, features));
    Teacher teacher;
    if (!features.empty()) teacher.features_ = sizes_of(*graph->outputs()[1]);
    teacher.answer_ = sizes_of(*graph->outputs()[0]);
    optimise::name_nodes_apart(*graph);
    for (const auto& input : graph->inputs()) teacher.inputs_.push_back(input->name());
    const std::string path = options.directory + "/teacher.onnx";
    SKERRY_TRY(graph::write_model_file(*graph, path));
    SKERRY_ASSIGN(teacher.engine_,
                  optimise::Engine::load(path, options.teacher_engine, options.threads));
    return teacher;
  }

  const Sizes& answer() const { return answer_; }
  const Sizes& features() const { return features_; }

  // Its inputs are the pupil's, in their order.
  Result<std::vector<Tensor>> ask(const Batch& batch) {
    if (inputs_.size() != batch.inputs.size()) {
      return fail(Code::kInvalidArgument, "the teacher has other inputs than the model");
    }
    std::vector<tensor::TensorView> inputs = tensor::views_of(batch.inputs);
    for (size_t i = 0; i < inputs.size(); ++i) inputs[i].name = inputs_[i];
    return engine_.run(inputs);
  }

 private:
  std::vector<std::string> inputs_;
  Sizes answer_, features_;
  optimise::Engine engine_;
};

class Fitting {
 public:
  Fitting(const Graph& model, const optimise::Dataset& data, const FitOptions& options,
          io::Files& files, const OnProgress& progress)
      : model_(model),
        data_(data),
        options_(options),
        files_(files),
        progress_(progress),
        rows_(split(data.rows(), options.validation, options.seed)) {}

  Result<FitResult> run() {
    SKERRY_TRY(prepare());
    SKERRY_TRY(resume());
    if (epoch_ == 0 && at_step_ == 0 && !rows_.validation.empty()) {
      SKERRY_ASSIGN(const Evaluation first, validate());
      result_.before.validation_loss = first.loss;
      result_.before.validation_accuracy = first.accuracy();
    }
    while (epoch_ < options_.epochs && !enough()) SKERRY_TRY(run_epoch());
    result_.stopped_early = epoch_ < options_.epochs;
    result_.model = trainer_->step().trained(model_, best_.empty() ? trainer_->learned() : best_);
    return std::move(result_);
  }

 private:
  Result<void> prepare() {
    if (options_.epochs < 1) return fail(Code::kInvalidArgument, "there is no epoch to train");
    if (!(options_.validation >= 0 && options_.validation < 1)) {
      return fail(Code::kInvalidArgument, "the share for validation is not in [0, 1)");
    }
    if (rows_.training.empty()) {
      return fail(Code::kInvalidArgument, "the data has no rows to train on");
    }
    StepOptions step = options_.step;
    step.batch = std::min<int64_t>(step.batch, static_cast<int64_t>(rows_.training.size()));
    steps_ = rows_.training.size() / static_cast<size_t>(std::max<int64_t>(step.batch, 1));
    step.optimiser.total_steps = static_cast<double>(steps_ * options_.epochs);
    step.optimiser.warmup_steps = options_.warmup_epochs * static_cast<double>(steps_);
    SKERRY_TRY(open_teacher(step));
    SKERRY_ASSIGN(Step made, make_step(model_, step));
    if (teacher_ && teacher_->answer() != made.answer) {
      return fail(Code::kInvalidArgument, "the teacher answers for other classes than the model");
    }
    SKERRY_ASSIGN(batches_,
                  Batches::open(data_, made.answer, step.loss.loss, teacher_.has_value()));
    SKERRY_ASSIGN(trainer_, Trainer::open(std::move(made), model_, options_.engine,
                                          options_.directory, options_.threads));
    result_.training_rows = rows_.training.size();
    result_.validation_rows = rows_.validation.size();
    result_.labelled = data_.has_labels();
    for (const Carried& one : trainer_->step().parameters) {
      size_t count = 1;
      for (const int64_t size : one.shape) count *= static_cast<size_t>(size);
      result_.parameters += count;
    }
    begin_ = Clock::now();
    last_checkpoint_ = begin_;
    return {};
  }

  Result<void> open_teacher(StepOptions& step) {
    if (options_.teacher.empty()) {
      step.distillation.reset();
      return {};
    }
    if (!step.distillation) step.distillation = Distillation{};
    // Without labels there is the teacher alone.
    if (!data_.has_labels()) step.distillation->weight = 1;
    SKERRY_ASSIGN(teacher_, Teacher::open(options_, step.batch));
    step.distillation->teacher_features = teacher_->features();
    return {};
  }

  // --- Checkpoints ------------------------------------------------------------------------------

  std::string path() const { return options_.directory + "/checkpoint"; }

  // Of everything that the result depends on.
  Result<std::string> fingerprint() {
    Sha256 hash;
    SKERRY_ASSIGN(const std::string step,
                  io::read_file(files_, options_.directory + "/step.onnx", uint64_t{4} << 30));
    hash.update(step);
    for (const Tensor& tensor : trainer_->step().initial(model_)) {
      hash.update({reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size()});
    }
    const Augmentation& how = options_.augmentation;
    hash.update(fmt::format("{} {} {} {} {} {} {} {}", data_.fingerprint(), options_.seed,
                            options_.validation, options_.patience, how.flip, how.shift, how.noise,
                            options_.engine.name));
    return hex_encode(hash.finish());
  }

  Result<void> resume() {
    SKERRY_ASSIGN(fingerprint_, fingerprint());
    if (!options_.resume || !io::exists(files_, path())) return {};
    SKERRY_ASSIGN(formats::Checkpoint checkpoint, formats::read_checkpoint(files_, path()));
    const json document = json::parse(checkpoint.document, nullptr, false);
    if (!document.is_object() || document.value("fingerprint", "") != fingerprint_) {
      return fail(Code::kFailedPrecondition,
                  path() +
                      " belongs to a training of another model, data or options: give "
                      "another folder, or --restart");
    }
    epoch_ = document.value("epoch", size_t{0});
    at_step_ = document.value("step", size_t{0});
    loss_sum_ = document.value("lossSum", 0.0);
    correct_ = document.value("correct", size_t{0});
    result_.steps = document.value("steps", size_t{0});
    result_.best = document.value("best", size_t{0});
    result_.before = epoch_of(document.value("before", json::object()));
    for (const json& one : document.value("history", json::array())) {
      result_.history.push_back(epoch_of(one));
    }
    const size_t carried = trainer_->state().size();
    if (checkpoint.tensors.size() < carried) return fail(Code::kCorrupt, path() + " is incomplete");
    const auto middle = checkpoint.tensors.begin() + static_cast<std::ptrdiff_t>(carried);
    best_.assign(middle, checkpoint.tensors.end());
    checkpoint.tensors.erase(middle, checkpoint.tensors.end());
    SKERRY_TRY(trainer_->set_state(std::move(checkpoint.tensors)));
    result_.resumed = true;
    return {};
  }

  Result<void> save() {
    json history = json::array();
    for (const EpochResult& one : result_.history) history.push_back(to_json(one));
    const json document = {
        {"fingerprint", fingerprint_}, {"epoch", epoch_},     {"step", at_step_},
        {"lossSum", loss_sum_},        {"correct", correct_}, {"steps", result_.steps},
        {"best", result_.best},        {"history", history},  {"before", to_json(result_.before)}};
    formats::Checkpoint checkpoint{.document = document.dump(), .tensors = trainer_->state()};
    checkpoint.tensors.insert(checkpoint.tensors.end(), best_.begin(), best_.end());
    last_checkpoint_ = Clock::now();
    auto written = formats::write_checkpoint(files_, path(), checkpoint);
    if (!written) return fail(written.error().with_context("the checkpoint could not be written"));
    return {};
  }

  // --- Epochs -----------------------------------------------------------------------------------

  Result<void> run_epoch() {
    const auto begin = Clock::now();
    const std::vector<size_t> order = Batches::shuffled(rows_.training, options_.seed, epoch_);
    const auto size = static_cast<size_t>(trainer_->step().batch);
    while (at_step_ < steps_) {
      const auto first = order.begin() + static_cast<std::ptrdiff_t>(at_step_ * size);
      SKERRY_TRY(run_step({first, first + static_cast<std::ptrdiff_t>(size)}));
      if (at_step_ < steps_ && seconds_since(last_checkpoint_) > options_.checkpoint_seconds) {
        SKERRY_TRY(save());
      }
    }
    const auto steps = static_cast<double>(steps_);
    EpochResult done{
        .epoch = epoch_ + 1,
        .loss = loss_sum_ / steps,
        .accuracy = static_cast<double>(correct_) / (steps * static_cast<double>(size))};
    SKERRY_ASSIGN(const Evaluation seen, validate());
    done.validation_loss = seen.loss;
    done.validation_accuracy = seen.accuracy();
    done.seconds = seconds_since(begin);
    result_.history.push_back(done);
    if (is_better(done)) {
      result_.best = epoch_;
      best_ = trainer_->learned();
    }
    ++epoch_;
    at_step_ = 0;
    loss_sum_ = 0;
    correct_ = 0;
    SKERRY_TRY(save());
    report();
    return {};
  }

  // Without labels, how near to the teacher.
  Result<Evaluation> validate() {
    if (!teacher_ || data_.has_labels()) return trainer_->evaluate(*batches_, rows_.validation);
    return trainer_->evaluate(*batches_, rows_.validation, [&](Batch& batch) -> Result<void> {
      SKERRY_ASSIGN(auto answers, teacher_->ask(batch));
      batch.target.bytes = shares_of(answers[0]);
      return {};
    });
  }

  Result<void> run_step(const std::vector<size_t>& rows) {
    SKERRY_ASSIGN(const Batch batch,
                  batches_->take_augmented(rows, options_.augmentation, options_.seed, epoch_));
    std::vector<Tensor> teacher;
    if (teacher_) {
      SKERRY_ASSIGN(teacher, teacher_->ask(batch));
    }
    auto done = trainer_->run(batch, teacher);
    if (!done) {
      return fail(
          done.error().with_context(fmt::format("epoch {}, step {}", epoch_ + 1, at_step_ + 1)));
    }
    loss_sum_ += done->loss;
    correct_ += done->correct;
    ++at_step_;
    ++result_.steps;
    ++steps_here_;
    if (at_step_ < steps_) report();
    return {};
  }

  bool is_better(const EpochResult& done) const {
    if (best_.empty() || rows_.validation.empty()) return true;
    const EpochResult& best = result_.history[result_.best];
    if (result_.labelled && is_classification(options_.step.loss.loss) &&
        done.validation_accuracy != best.validation_accuracy) {
      return done.validation_accuracy > best.validation_accuracy;
    }
    return done.validation_loss < best.validation_loss;
  }

  bool enough() const {
    return options_.patience > 0 && !result_.history.empty() &&
           epoch_ - 1 - result_.best >= options_.patience;
  }

  void report() const {
    if (!progress_) return;
    const double part = std::max<double>(static_cast<double>(at_step_), 1);
    const size_t all = steps_ * options_.epochs;
    const double each =
        seconds_since(begin_) / static_cast<double>(std::max<size_t>(steps_here_, 1));
    progress_({.epoch = std::min(epoch_ + 1, options_.epochs),
               .epochs = options_.epochs,
               .step = at_step_,
               .steps = steps_,
               .loss = loss_sum_ / part,
               .accuracy = static_cast<double>(correct_) /
                           (part * static_cast<double>(trainer_->step().batch)),
               .left_s = each * static_cast<double>(all - std::min(all, result_.steps)),
               .history = &result_.history});
  }

  const Graph& model_;
  const optimise::Dataset& data_;
  const FitOptions& options_;
  io::Files& files_;
  const OnProgress& progress_;
  Rows rows_;
  std::optional<Teacher> teacher_;
  std::optional<Batches> batches_;
  std::optional<Trainer> trainer_;
  std::vector<Tensor> best_;
  std::string fingerprint_;
  size_t steps_ = 0;       // of an epoch
  size_t epoch_ = 0;       // done
  size_t at_step_ = 0;     // of the next one, done
  size_t steps_here_ = 0;  // in this process
  double loss_sum_ = 0;
  size_t correct_ = 0;
  Clock::time_point begin_, last_checkpoint_;
  FitResult result_;
};

}  // namespace

Result<FitResult> fit(const Graph& model, const optimise::Dataset& data, const FitOptions& options,
                      io::Files& files, const OnProgress& progress) {
  return Fitting(model, data, options, files, progress).run();
}

std::string fit_json(const FitResult& result, const FitOptions& options) {
  json history = json::array();
  for (const EpochResult& one : result.history) history.push_back(to_json(one));
  const bool validated = result.validation_rows > 0;
  json out = {{"epochs", result.history.size()},
              {"bestEpoch", result.history.empty() ? 0 : result.history[result.best].epoch},
              {"steps", result.steps},
              {"parameters", result.parameters},
              {"trainingRows", result.training_rows},
              {"validationRows", result.validation_rows},
              {"stoppedEarly", result.stopped_early},
              {"resumed", result.resumed},
              {"loss", name_of(options.step.loss.loss)},
              {"batch", options.step.batch},
              {"rate", options.step.optimiser.rate},
              {"seed", options.seed},
              {"history", history}};
  if (validated && !result.history.empty()) {
    const EpochResult& best = result.history[result.best];
    out["validationLoss"] = best.validation_loss;
    out["validationLossBefore"] = result.before.validation_loss;
    if (result.labelled) {
      out["validationAccuracy"] = best.validation_accuracy;
      out["validationAccuracyBefore"] = result.before.validation_accuracy;
    }
  }
  return out.dump();
}

}  // namespace skerry::train
