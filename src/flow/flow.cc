// The coroutines between the queues.
#include "flow/flow.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "base/log_limit.h"
#include "formats/json_ptr.h"
#include "pipeline/value.h"

namespace skerry::flow {
namespace {

using nlohmann::json;
using pipeline::Value;
using tensor::Tensor;
using tensor::TensorSpec;

constexpr std::string_view kModule = "stream";
constexpr int64_t kRetryMs = 200;
constexpr int64_t kLongestRetryMs = 5'000;
constexpr int64_t kLongestModelRetryMs = 1'000;  // of the model, for which windows wait
constexpr size_t kLatencies = 1'024;

int64_t now_us() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

// The spec's shape with what is open as `last` in the last place and 1 elsewhere.
std::vector<int64_t> shape_for(const TensorSpec& spec, int64_t last) {
  std::vector<int64_t> shape = spec.shape;
  for (int64_t& dimension : shape) dimension = dimension == -1 ? 1 : dimension;
  if (!shape.empty() && spec.shape.back() == -1) shape.back() = last;
  return shape;
}

// The shape that the input gets from an item of `shape`; nothing where they do not go together. One
// dimension is the input's last, or its open one; several are its own, with ones before them.
std::optional<std::vector<int64_t>> shape_from(const TensorSpec& spec,
                                               const std::vector<int64_t>& shape) {
  if (shape.size() == 1) {
    const std::vector<int64_t> filled = shape_for(spec, shape[0]);
    const auto count = tensor::element_count(filled);
    return count && *count == static_cast<size_t>(shape[0]) ? std::optional(filled) : std::nullopt;
  }
  if (spec.shape.size() < shape.size()) return std::nullopt;
  std::vector<int64_t> padded(spec.shape.size() - shape.size(), 1);
  padded.insert(padded.end(), shape.begin(), shape.end());
  const auto fits = [](int64_t want, int64_t has) { return want == -1 || want == has; };
  return std::ranges::equal(spec.shape, padded, fits) ? std::optional(padded) : std::nullopt;
}

Value value_of(const Tensor& tensor) {
  return {tensor.type, tensor.shape, tensor.bytes, nullptr};
}

// One number everywhere.
Result<Tensor> filled(const TensorSpec& spec, double number) {
  const std::vector<int64_t> shape = shape_for(spec, 1);
  SKERRY_ASSIGN(const size_t count, tensor::element_count(shape));
  const Value doubles =
      pipeline::own(tensor::DataType::kFp64, shape, std::vector<double>(count, number));
  auto value = pipeline::cast_to(doubles, spec.type);
  if (!value) return fail(value.error().with_context(spec.name));
  return into_tensor(std::move(*value), spec.name);
}

// Elements in their order, whatever the shape.
json elements_of(const Tensor& tensor) {
  const Value value = value_of(tensor);
  if (tensor.type == tensor::DataType::kBytes) {
    json texts = json::array();
    if (auto elements = tensor::split_bytes(tensor.bytes, value.count())) {
      for (const std::string_view element : *elements) texts.push_back(element);
    }
    return texts;
  }
  if (auto integers = pipeline::integers_of(value)) return *integers;
  json numbers = json::array();
  if (auto floats = pipeline::Floats::of(value)) {
    // What JSON has no number for is null.
    for (const float each : floats->span()) numbers.push_back(each);
  }
  return numbers;
}

}  // namespace

std::string FlowReport::to_json() const {
  return json{{"windows", windows}, {"inferred", inferred}, {"failed", failed},
              {"dropped", dropped}, {"told", told},         {"unsent", unsent},
              {"p50_us", p50_us}}
      .dump();
}

struct Flow::Outlet {
  Outlet(io::Loop& loop, const FlowConfig& config, std::unique_ptr<Sink> to)
      : sink(std::move(to)), lines(loop, config.queue, config.drop), ended(loop) {}

  std::unique_ptr<Sink> sink;
  Queue<std::string> lines;
  uint64_t refused = 0;
  log::Limit log;
  io::Completion<bool> ended;
};

Flow::Flow(io::Loop& loop, FlowConfig config, const std::string& service, net::BearerToken token,
           rpc::NucleusAddress nucleus)
    : loop_(loop),
      config_(std::move(config)),
      http_(net::with_token(net::make_http_client(loop, nullptr), std::move(token))),
      sink_http_(net::make_http_client(loop, nullptr)),
      model_(*http_, service, config_.model, config_.version),
      source_(make_source(loop, reads_, nucleus, config_)),
      items_(loop, config_.queue, config_.drop) {
  for (const SinkConfig& sink : config_.sinks) {
    outlets_.emplace_back(loop, config_, make_sink(loop, writes_, *sink_http_, nucleus, sink));
  }
}

Flow::~Flow() = default;

io::Task<Result<void>> Flow::run() {
  SKERRY_CO_TRY(co_await wait_for_model());
  for (Outlet& outlet : outlets_) tasks_.spawn(serve_outlet(&outlet));
  tasks_.spawn(feed());
  while (let_in_) {
    auto item = co_await items_.pop();
    if (!item) break;
    co_await infer(std::move(*item));
  }
  for (Outlet& outlet : outlets_) outlet.lines.close();
  for (Outlet& outlet : outlets_) co_await outlet.ended;
  SKERRY_CO_TRY(let_in_);
  co_return source_ended_;
}

io::Task<void> Flow::feed() {
  source_ended_ = co_await source_->run(items_);
  items_.close();
}

// A model may be deployed after the stream, and a service restarted; what does not fit stays so.
io::Task<Result<void>> Flow::wait_for_model() {
  for (bool was_told = false;;) {
    auto looked = co_await model_.look();
    if (looked) break;
    if (!looked.error().retryable()) co_return looked;
    if (!std::exchange(was_told, true)) {
      log::info(kModule, "waiting for the model",
                {{"model", config_.model}, {"why", looked.error().message()}});
    }
    co_await io::sleep(loop_, kRetryMs);
  }
  SKERRY_CO_TRY(model_.input(config_.input));
  for (const auto& [name, number] : config_.constants) {
    SKERRY_CO_ASSIGN(const TensorSpec* spec, model_.input(name));
    SKERRY_CO_ASSIGN(Tensor constant, filled(*spec, number));
    constants_.push_back(std::move(constant));
  }
  for (const auto& [output, input] : config_.state) SKERRY_CO_TRY(model_.input(input));
  co_return Result<void>();
}

Result<std::vector<Tensor>> Flow::inputs_of(Item item) {
  SKERRY_ASSIGN(const TensorSpec* spec, model_.input(config_.input));
  item.content.name = spec->name;
  auto shape = shape_from(*spec, item.content.shape);
  if (item.content.type != spec->type || !shape) {
    return fail(Code::kInvalidArgument,
                fmt::format("input '{}' of model '{}' is {}; the stream has {}", spec->name,
                            config_.model, tensor::describe(spec->type, spec->shape),
                            tensor::describe(item.content.type, item.content.shape)));
  }
  item.content.shape = *std::move(shape);
  if (item.begins || state_.empty()) {
    state_.clear();
    for (const auto& [output, input] : config_.state) {
      SKERRY_ASSIGN(const TensorSpec* of, model_.input(input));
      SKERRY_ASSIGN(Tensor zero, filled(*of, 0));
      state_.push_back(std::move(zero));
    }
  }
  std::vector<Tensor> inputs = constants_;
  inputs.insert(inputs.end(), state_.begin(), state_.end());
  inputs.push_back(std::move(item.content));
  return inputs;
}

io::Task<void> Flow::infer(Item item) {
  const Item about{
      .source = item.source, .number = item.number, .start_s = item.start_s, .begins = item.begins};
  const auto failed = [&](const Error& error) {
    if (counts_.failed++ == 0) {
      log::warn(kModule, "the model refuses a window; later ones are counted only",
                {{"source", about.source}, {"error", error.message()}});
    }
  };
  auto inputs = inputs_of(std::move(item));
  if (!inputs) co_return failed(inputs.error());
  const int64_t began_us = now_us();
  auto answer = co_await model_.infer(*inputs);
  for (int64_t wait_ms = kRetryMs; !answer && answer.error().retryable();
       wait_ms = std::min(2 * wait_ms, kLongestModelRetryMs)) {
    co_await io::sleep(loop_, wait_ms);
    answer = co_await model_.infer(*inputs);
  }
  if (!answer && answer.error().code() == Code::kPermissionDenied) {
    let_in_ = fail(answer.error());
  }
  if (!answer) co_return failed(answer.error());
  if (last_us_.size() < kLatencies) last_us_.emplace_back();
  last_us_[counts_.inferred++ % kLatencies] = now_us() - began_us;
  state_.clear();
  for (const auto& [output, input] : config_.state) {
    const Tensor* next = answer->find(output);
    if (next == nullptr) {
      state_.clear();
      co_return failed(Error(Code::kInvalidArgument,
                             fmt::format("state: the model has no output '{}'", output)));
    }
    state_.push_back(*next);
    state_.back().name = input;
  }
  co_await tell(about, *answer);
}

io::Task<void> Flow::tell(const Item& item, const ModelClient::Answer& answer) {
  if (config_.when) {
    const Tensor* output = answer.find(config_.when->output);
    if (output == nullptr) co_return;
    const auto floats = pipeline::Floats::of(value_of(*output));
    const bool is_met = floats && std::ranges::any_of(floats->span(), [&](float each) {
                          return each >= config_.when->least;
                        });
    if (!is_met) co_return;
  }
  json outputs = json::object();
  for (const Tensor& output : answer.outputs) {
    const bool is_wanted = config_.outputs.empty()
                               ? !config_.state.contains(output.name)
                               : std::ranges::count(config_.outputs, output.name) > 0;
    if (is_wanted) outputs[output.name] = elements_of(output);
  }
  json line = {{"source", item.source},
               {"window", item.number},
               {"model", config_.model},
               {"version", answer.version},
               {"outputs", std::move(outputs)}};
  if (item.start_s) line["start_s"] = std::round(*item.start_s * 1e4) / 1e4;
  ++counts_.told;
  const std::string text = formats::json_text(line);
  for (Outlet& outlet : outlets_) co_await outlet.lines.push(text);
}

// Each line until it is taken over; what is refused for good is counted and left.
io::Task<void> Flow::serve_outlet(Outlet* outlet) {
  while (const auto line = co_await outlet->lines.pop()) {
    for (int64_t wait_ms = kRetryMs;; wait_ms = std::min(2 * wait_ms, kLongestRetryMs)) {
      auto sent = co_await outlet->sink->send(*line);
      if (sent) break;
      outlet->log.write(log::Level::kWarn, kModule, "an answer is not taken",
                        {{"error", sent.error().message()}});
      if (!sent.error().retryable()) {
        ++outlet->refused;
        break;
      }
      co_await io::sleep(loop_, wait_ms);
    }
  }
  outlet->ended.complete(true);
}

FlowReport Flow::report() const {
  FlowReport report = counts_;
  report.dropped = items_.dropped();
  report.windows = report.inferred + report.failed + report.dropped + items_.size();
  for (const Outlet& outlet : outlets_) report.unsent += outlet.refused + outlet.lines.dropped();
  std::vector<int64_t> sorted = last_us_;
  std::ranges::sort(sorted);
  if (!sorted.empty()) report.p50_us = sorted[sorted.size() / 2];
  return report;
}

}  // namespace skerry::flow
