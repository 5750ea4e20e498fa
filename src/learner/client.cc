// Files, training, and what is sent of it.
#include "learner/client.h"

#include <cstring>

#include "base/encoding.h"
#include "base/log.h"
#include "base/sha256.h"
#include "formats/checkpoint.h"
#include "graph/model_file.h"

namespace skerry::learner {
namespace {

using federated::Task;
using federated::TaskMessage;

constexpr double kAfterWorkS = 1;
constexpr double kAfterFailureS = 10;
constexpr double kWhileBusyS = 60;
constexpr size_t kMostControls = 16;
constexpr uint64_t kAroundParametersBytes = 64 << 10;

// Rows keep their part when more come behind them.
struct Split {
  std::vector<size_t> training, validation;
};
Split split_of(size_t rows, double validation) {
  Split split;
  for (size_t row = 0; row < rows; ++row) {
    uint64_t mixed = (row + 1) * 0x9E3779B97F4A7C15;  // splitmix64
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB;
    const double drawn = static_cast<double>((mixed ^ mixed >> 31) >> 11) * 0x1p-53;
    (drawn < validation ? split.validation : split.training).push_back(row);
  }
  return split;
}

size_t numbers_in(const TaskMessage& task) {
  return federated::numbers_of(task.local, task.parameters);
}

Result<Vector> parameters_in(std::string_view bytes, size_t count) {
  SKERRY_ASSIGN(const auto file, formats::decode_checkpoint(bytes));
  if (file.tensors.size() != 1 || file.tensors[0].type != tensor::DataType::kFp32 ||
      file.tensors[0].bytes.size() != count * sizeof(float)) {
    return fail(Code::kCorrupt, "the control plane sends other parameters than it says");
  }
  Vector vector(count);
  std::memcpy(vector.data(), file.tensors[0].bytes.data(), count * sizeof(float));
  return vector;
}

}  // namespace

io::Task<void> Client::run() {
  for (;;) {
    const auto wait_s = co_await work();
    if (!wait_s) {
      log::warn("learn", "no work came of this", {{"error", wait_s.error().message()}});
    }
    // Not all at once, where the server has just come back.
    const double jitter = 0.5 + env_.random.uniform();
    const double seconds = (wait_s ? *wait_s : kAfterFailureS) * jitter;
    co_await io::sleep(env_.loop, static_cast<int64_t>(seconds * 1000));
  }
}

io::Task<Result<double>> Client::work() {
  const std::string busy = busy_with(options_.policy, env_.files);
  if (!busy.empty()) {
    log::debug("learn", "not now", {{"reason", busy}});
    co_return kWhileBusyS;
  }
  std::vector<std::string> names;
  for (const DataSource& source : options_.data) names.push_back(source.name);
  SKERRY_CO_ASSIGN(const TaskMessage task, co_await fleet_.next_task(names));
  if (task.kind == Task::Kind::kWait) co_return task.retry_after_s;
  auto prepared = co_await prepare(task);
  auto done = prepared ? co_await take_part(std::move(*prepared))
                       : Result<void>(fail(std::move(prepared.error())));
  if (done) co_return kAfterWorkS;
  const Code code = done.error().code();
  if (code == Code::kUnavailable || code == Code::kTimeout) co_return fail(std::move(done.error()));
  log::warn("learn", "not taking part in this round",
            {{"training", task.training}, {"reason", done.error().message()}});
  // So that nobody waits for us; where it has gone on already, that is fine.
  if (auto told = co_await fleet_.refuse(task.training, task.attempt); !told) {
    log::debug("learn", "not heard", {{"error", told.error().message()}});
  }
  co_return kAfterFailureS;
}

// The model and the parameters of the round.
io::Task<Result<Client::Work>> Client::prepare(TaskMessage task) {
  const auto source = std::ranges::find(options_.data, task.data, &DataSource::name);
  if (source == options_.data.end()) {
    co_return fail(Code::kPermissionDenied, "there is no data '" + task.data + "' here");
  }
  // Before anything of it is fetched; rows are looked at when they are read.
  SKERRY_CO_TRY(check(options_.policy, task, SIZE_MAX));
  const std::string models = options_.directory + "/models";
  const std::string updates = options_.directory + "/updates";
  Work work{.task = task,
            .data = *source,
            .model_path = models + "/" + task.model_sha256 + ".onnx",
            .update_path = updates + "/" + task.training + "-" + std::to_string(task.attempt),
            .parameters = nullptr};
  for (const std::string& path : {updates, options_.directory + "/step"}) {
    SKERRY_CO_TRY(io::make_directories(env_.files, path, 0700));
  }
  if (!io::exists(env_.files, work.model_path)) {
    SKERRY_CO_ASSIGN(const std::string model,
                     co_await fleet_.model(task.training, task.model_bytes));
    if (hex_encode(sha256(model)) != task.model_sha256) {
      co_return fail(Code::kCorrupt, "the model is not the one that was said");
    }
    SKERRY_CO_TRY(io::remove_all(env_.files, models));  // of the training before
    SKERRY_CO_TRY(io::make_directories(env_.files, models, 0700));
    SKERRY_CO_TRY(io::write_file_atomic(env_.files, work.model_path, model));
  }
  const bool is_kept = task.kind == Task::Kind::kTrain && !task.secure;
  if (is_kept && io::exists(env_.files, work.update_path)) co_return work;
  SKERRY_CO_ASSIGN(
      const std::string bytes,
      co_await fleet_.parameters(task.training, task.round,
                                 numbers_in(task) * sizeof(float) + kAroundParametersBytes));
  SKERRY_CO_ASSIGN(Vector vector, parameters_in(bytes, numbers_in(task)));
  work.parameters = std::make_shared<const Vector>(std::move(vector));
  co_return work;
}

io::Task<Result<void>> Client::take_part(Work work) {
  if (work.task.kind == Task::Kind::kTrain && work.task.secure) {
    co_return co_await train_securely(std::move(work));
  }
  if (work.task.kind == Task::Kind::kTrain) co_return co_await train(std::move(work));
  co_return co_await evaluate(std::move(work));
}

io::Task<Result<void>> Client::train(Work work) {
  const TaskMessage& task = work.task;
  std::string update;
  if (work.parameters) {
    SKERRY_CO_TRY(io::remove_all(env_.files, options_.directory + "/updates"));  // of other rounds
    SKERRY_CO_TRY(io::make_directories(env_.files, options_.directory + "/updates", 0700));
    SKERRY_CO_ASSIGN(update,
                     co_await io::run_on(pool_, env_.loop, [this, work] { return encoded(work); }));
    SKERRY_CO_TRY(io::write_file_atomic(env_.files, work.update_path, update));
  } else {
    SKERRY_CO_ASSIGN(update, io::read_file(env_.files, work.update_path,
                                           federated::most_update_bytes(numbers_in(task))));
  }
  SKERRY_CO_TRY(check_outgoing(options_.policy, task, update));
  const size_t bytes = update.size();
  SKERRY_CO_TRY(co_await fleet_.upload(task.training, task.attempt, update));
  if (task.local.scaffold) SKERRY_CO_TRY(keep_control(task, update));
  log::info("learn", "sent an update",
            {{"training", task.training},
             {"attempt", std::to_string(task.attempt)},
             {"bytes", std::to_string(bytes)}});
  co_return io::remove_all(env_.files, work.update_path);
}

io::Task<Result<void>> Client::evaluate(Work work) {
  SKERRY_CO_ASSIGN(const auto evaluation,
                   co_await io::run_on(pool_, env_.loop, [this, work] { return tried(work); }));
  co_return co_await fleet_.evaluated(work.task.training, work.task.attempt, evaluation);
}

// --- On the pool --------------------------------------------------------------------------------

namespace {

struct Opened {
  graph::ModelFile file;
  std::optional<optimise::Dataset> data;
  std::optional<Learner> learner;
  std::optional<train::Batches> batches;
  Split split;
};

Result<std::unique_ptr<Opened>> open(const ClientOptions& options, const TaskMessage& task,
                                     const std::string& model_path, const DataSource& source) {
  auto opened = std::make_unique<Opened>();
  SKERRY_ASSIGN(opened->file, graph::read_model_file(model_path));
  const graph::Graph& model = *opened->file.graph;
  SKERRY_ASSIGN(opened->data,
                optimise::Dataset::read(model, source.rows, source.labels, options.preprocess));
  SKERRY_ASSIGN(opened->learner,
                Learner::open(model, task.local, options.engine, options.directory + "/step"));
  if (opened->learner->initial().size() != task.parameters) {
    return fail(Code::kInvalidArgument, "the model has another number of parameters than was said");
  }
  SKERRY_ASSIGN(opened->batches, train::Batches::open(*opened->data, opened->learner->answer(),
                                                      train::Loss::kCrossEntropy, false));
  opened->split = split_of(opened->data->rows(), options.validation);
  return opened;
}

}  // namespace

std::string Client::control_path(const TaskMessage& task) const {
  return options_.directory + "/controls/" + task.training;
}

Result<Client::Control> Client::read_control(const TaskMessage& task) const {
  const std::string path = control_path(task);
  if (!io::exists(env_.files, path)) return Control{};
  SKERRY_ASSIGN(
      const std::string bytes,
      io::read_file(env_.files, path, task.parameters * sizeof(float) + kAroundParametersBytes));
  Control control;
  SKERRY_ASSIGN(control.values, parameters_in(bytes, task.parameters));
  SKERRY_ASSIGN(const auto file, formats::decode_checkpoint(bytes));
  control.attempt = std::strtoull(file.document.c_str(), nullptr, 10);
  return control;
}

// Moves by what the server has counted, once for each attempt however often the update was sent.
Result<void> Client::keep_control(const TaskMessage& task, std::string_view update) {
  SKERRY_ASSIGN(const Update counted, federated::decode_update(update, numbers_in(task)));
  SKERRY_ASSIGN(Control control, read_control(task));
  if (control.attempt >= task.attempt) return {};
  const std::string folder = options_.directory + "/controls";
  const auto kept = env_.files.list(folder);
  if (control.values.empty() && kept && kept->size() >= kMostControls) {
    SKERRY_TRY(io::remove_all(env_.files, folder));  // of trainings that are over, most of them
  }
  SKERRY_TRY(io::make_directories(env_.files, folder, 0700));
  control.values.resize(task.parameters, 0);
  for (size_t i = 0; i < task.parameters; ++i) {
    control.values[i] += counted.delta[task.parameters + i];
  }
  tensor::Tensor tensor{.name = "control",
                        .type = tensor::DataType::kFp32,
                        .shape = {static_cast<int64_t>(task.parameters)}};
  tensor.bytes.resize(task.parameters * sizeof(float));
  std::memcpy(tensor.bytes.data(), control.values.data(), tensor.bytes.size());
  return formats::write_checkpoint(
      env_.files, control_path(task),
      {.document = std::to_string(task.attempt), .tensors = {std::move(tensor)}});
}

Result<Update> Client::trained(const Work& work) {
  const TaskMessage& task = work.task;
  SKERRY_ASSIGN(const auto opened, open(options_, task, work.model_path, work.data));
  SKERRY_TRY(check(options_.policy, task, opened->split.training.size()));
  Control control;
  if (task.local.scaffold) {
    SKERRY_ASSIGN(control, read_control(task));
  }
  SKERRY_ASSIGN(Update update,
                opened->learner->train(*work.parameters, *opened->batches, opened->split.training,
                                       task.attempt, env_.random.next(), control.values));
  apply(options_.policy, update);
  return update;
}

Result<std::string> Client::encoded(const Work& work) {
  SKERRY_ASSIGN(const Update update, trained(work));
  SKERRY_ASSIGN(const auto coding, federated::parse_coding(work.task.coding));
  return federated::encode(update, coding, env_.random);
}

Result<federated::Evaluation> Client::tried(const Work& work) {
  SKERRY_ASSIGN(const auto opened, open(options_, work.task, work.model_path, work.data));
  SKERRY_TRY(check(options_.policy, work.task, opened->split.training.size()));
  SKERRY_ASSIGN(const auto found, opened->learner->evaluate(*work.parameters, *opened->batches,
                                                            opened->split.validation));
  federated::Evaluation evaluation{.rows = static_cast<double>(found.rows),
                                   .correct = static_cast<double>(found.correct),
                                   .loss = found.loss};
  apply(options_.policy, evaluation);
  return evaluation;
}

}  // namespace skerry::learner
