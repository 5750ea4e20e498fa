// Measuring: load, warm up, time, then all the data for accuracy.
#include "optimise/measure/measure.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "io/files.h"
#include "optimise/quantise/sensitivity.h"
#include "tensor/npy.h"

namespace skerry::optimise {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;
using tensor::Tensor;

double microseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

Result<void> time_runs(Engine& engine, const Sample& sample, double seconds, Measurement& result) {
  const auto inputs = tensor::views_of(sample);
  const double budget = seconds * 1e6;
  for (const auto begin = Clock::now(); microseconds_since(begin) < budget;) {
    SKERRY_TRY(engine.run(inputs));
  }
  std::vector<double> times;
  for (const auto begin = Clock::now(); times.empty() || microseconds_since(begin) < budget;) {
    const auto start = Clock::now();
    SKERRY_TRY(engine.run(inputs));
    times.push_back(microseconds_since(start));
  }
  std::ranges::sort(times);
  result.runs = times.size();
  result.min_us = times.front();
  result.median_us = times[times.size() / 2];
  result.p90_us = times[times.size() * 9 / 10];
  return {};
}

constexpr size_t kProfiledRuns = 100;  // of a profiler that keeps an event for each node

Result<void> time_layers(Engine& engine, const Sample& sample, double seconds,
                         Measurement& result) {
  const auto inputs = tensor::views_of(sample);
  const auto begin = Clock::now();
  for (size_t run = 0;
       run < 2 || (run < kProfiledRuns && microseconds_since(begin) < seconds * 1e6); ++run) {
    SKERRY_TRY(engine.run(inputs));
  }
  SKERRY_ASSIGN(result.layers, engine.layer_times());
  return {};
}

// The class of each row: where the largest score is; one score alone says which of two; a whole
// number alone, as classical models answer first, is the class.
std::vector<int64_t> predictions(const std::vector<double>& scores, size_t rows, bool whole) {
  std::vector<int64_t> found;
  const size_t classes = rows == 0 ? 0 : scores.size() / rows;
  for (size_t row = 0; row < rows && classes > 0; ++row) {
    const auto first = scores.begin() + static_cast<std::ptrdiff_t>(row * classes);
    const auto best = std::max_element(first, first + static_cast<std::ptrdiff_t>(classes));
    const int64_t only = whole ? static_cast<int64_t>(*first) : (*first > 0.5 ? 1 : 0);
    found.push_back(classes == 1 ? only : best - first);
  }
  return found;
}

// The answers to many rows, one below the other.
struct Answers {
  std::vector<float> numbers;
  size_t rows = 0;
  bool whole = false;  // INT32 or INT64
};

Result<Answers> answer_all(Engine& engine, const Dataset& data, size_t rows) {
  Answers answers;
  const size_t step = data.rows_per_sample();
  for (size_t row = 0; row + step <= rows; row += step) {
    SKERRY_ASSIGN(const Sample sample, data.sample(row));
    SKERRY_ASSIGN(const auto outputs, engine.run(tensor::views_of(sample)));
    if (outputs.empty()) return fail(Code::kInvalidArgument, "the model has no output");
    const auto numbers = graph::Array::from(outputs[0].view()).to_doubles();
    answers.whole =
        outputs[0].type == tensor::DataType::kInt64 || outputs[0].type == tensor::DataType::kInt32;
    answers.numbers.insert(answers.numbers.end(), numbers.begin(), numbers.end());
    answers.rows += step;
  }
  return answers;
}

Tensor as_tensor(const Answers& answers) {
  Tensor tensor{.name = "answers", .type = tensor::DataType::kFp32};
  const size_t classes = answers.rows == 0 ? 0 : answers.numbers.size() / answers.rows;
  tensor.shape = {static_cast<int64_t>(answers.rows), static_cast<int64_t>(classes)};
  tensor.bytes.resize(answers.rows * classes * sizeof(float));
  if (!tensor.bytes.empty()) {
    std::memcpy(tensor.bytes.data(), answers.numbers.data(), tensor.bytes.size());
  }
  return tensor;
}

Result<void> compare(const Tensor& given, bool whole, const std::string& path,
                     Measurement& result) {
  io::RealFiles files;
  SKERRY_ASSIGN(const std::string bytes, io::read_file(files, path, uint64_t{4} << 30));
  SKERRY_ASSIGN(const Tensor expected, tensor::parse_npy(bytes));
  if (expected.shape != given.shape || expected.type != given.type) {
    return fail(Code::kFailedPrecondition,
                fmt::format("the model answers {}, the source {}",
                            tensor::describe(given.type, given.shape),
                            tensor::describe(expected.type, expected.shape)));
  }
  const auto rows = static_cast<size_t>(given.shape[0]);
  const auto a = predictions(graph::Array::from(expected.view()).to_doubles(), rows, whole);
  const auto b = predictions(graph::Array::from(given.view()).to_doubles(), rows, whole);
  result.compared = rows;
  for (size_t i = 0; i < a.size(); ++i) result.agreed += a[i] == b[i] ? 1 : 0;
  result.error = relative_error({&expected, 1}, {&given, 1});
  return {};
}

}  // namespace

Result<Measurement> measure(Engine& engine, const Dataset& data, const MeasureOptions& options) {
  Measurement result;
  SKERRY_ASSIGN(const Sample first, data.sample(0));
  if (options.layers) {
    SKERRY_TRY(time_layers(engine, first, options.seconds, result));
    return result;
  }
  SKERRY_TRY(time_runs(engine, first, options.seconds, result));
  const size_t rows = options.rows == 0 ? data.rows() : std::min(options.rows, data.rows());
  SKERRY_ASSIGN(const Answers answers, answer_all(engine, data, rows));
  const Tensor tensor = as_tensor(answers);
  result.rows = answers.rows;
  if (data.has_labels()) {
    const auto found =
        predictions(graph::Array::from(tensor.view()).to_doubles(), answers.rows, answers.whole);
    for (size_t i = 0; i < found.size(); ++i) result.correct += found[i] == data.label(i) ? 1 : 0;
  }
  if (!options.expected.empty())
    SKERRY_TRY(compare(tensor, answers.whole, options.expected, result));
  if (!options.save_outputs.empty()) {
    SKERRY_ASSIGN(const std::string file, tensor::to_npy(tensor.view()));
    io::RealFiles files;
    SKERRY_TRY(io::write_file_atomic(files, options.save_outputs, file, 0644));
  }
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    result.peak_bytes = static_cast<uint64_t>(usage.ru_maxrss) * 1024;
  }
  return result;
}

std::string to_json(const Measurement& m) {
  json layers = json::array();
  for (const runtime::LayerTime& layer : m.layers) {
    layers.push_back({{"name", layer.name}, {"operator", layer.op}, {"us", layer.us}});
  }
  return json{{"loadMs", m.load_ms},
              {"minUs", m.min_us},
              {"medianUs", m.median_us},
              {"p90Us", m.p90_us},
              {"runs", m.runs},
              {"peakBytes", m.peak_bytes},
              {"rows", m.rows},
              {"correct", m.correct},
              {"compared", m.compared},
              {"agreed", m.agreed},
              {"error", std::isfinite(m.error) ? json(m.error) : json()},
              {"layers", std::move(layers)}}
      .dump();
}

Result<Measurement> parse_measurement(std::string_view text) {
  const json parsed = json::parse(text, nullptr, false);
  Measurement m;
  const auto number = [&](const char* name, auto& into) {
    if (!parsed.is_object() || !parsed.contains(name)) return false;
    if (parsed[name].is_number()) parsed[name].get_to(into);
    return true;
  };
  const bool complete =
      number("loadMs", m.load_ms) && number("minUs", m.min_us) && number("medianUs", m.median_us) &&
      number("p90Us", m.p90_us) && number("runs", m.runs) && number("peakBytes", m.peak_bytes) &&
      number("rows", m.rows) && number("correct", m.correct) && number("compared", m.compared) &&
      number("agreed", m.agreed) && number("error", m.error);
  if (!complete) return fail(Code::kCorrupt, "not a measurement");
  if (parsed["error"].is_null()) m.error = INFINITY;
  try {
    for (const json& layer : parsed.value("layers", json::array())) {
      m.layers.push_back({layer.at("name"), layer.at("operator"), layer.at("us")});
    }
  } catch (const json::exception&) {
    return fail(Code::kCorrupt, "not a measurement");
  }
  return m;
}

Share share_of(size_t correct, size_t rows) {
  if (rows == 0) return {};
  constexpr double kZ = 1.959964;  // 95 %
  const auto n = static_cast<double>(rows);
  const double p = static_cast<double>(correct) / n;
  const double middle = (p + kZ * kZ / (2 * n)) / (1 + kZ * kZ / n);
  const double half = kZ * std::sqrt(p * (1 - p) / n + kZ * kZ / (4 * n * n)) / (1 + kZ * kZ / n);
  return {p, std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

}  // namespace skerry::optimise
