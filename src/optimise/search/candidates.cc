// Making candidates: by passes, by calibrated integers with each way to choose ranges, by weights
// in fewer bits, by dynamic scales.
#include "optimise/search/candidates.h"

#include <fmt/format.h>

#include <algorithm>

#include "graph/model_file.h"
#include "graph/statistics.h"
#include "io/files.h"
#include "optimise/names.h"
#include "optimise/prune/prune.h"
#include "optimise/quantise/equalise.h"
#include "optimise/quantise/smooth.h"
#include "optimise/quantise/weight_only.h"
#include "optimise/quantise/weights.h"

namespace skerry::optimise {
namespace {

// The reference executor does some ten million multiply-accumulates a second and more; this keeps
// calibration and sensitivity below half a minute each.
constexpr int64_t kMaxReferenceMacs = 1'500'000'000;
constexpr size_t kSensitivitySamples = 4;

int64_t macs_of(const graph::Graph& graph) {
  const auto fixed = graph::with_open_dimensions(graph, 1);
  return fixed ? std::max<int64_t>(statistics_of(**fixed).macs, 1) : 1;
}

}  // namespace

Result<CandidateMaker> CandidateMaker::open(const std::string& model, const Dataset& data,
                                            const SearchOptions& options) {
  CandidateMaker maker(data, options);
  maker.source_ = model;
  SKERRY_ASSIGN(graph::ModelFile file, graph::read_model_file(model));
  maker.graph_ = std::move(file.graph);
  SKERRY_ASSIGN(maker.passes_, run_passes(*maker.graph_));
  name_nodes_apart(*maker.graph_);  // as engines will call them, too
  SKERRY_TRY(maker.read_samples());
  return maker;
}

// Evenly spread over the data, so that every class of sorted data has its part.
Result<void> CandidateMaker::read_samples() {
  const auto affordable =
      static_cast<size_t>(std::max<int64_t>(kMaxReferenceMacs / macs_of(*graph_), 8));
  const size_t batch = data_.rows_per_sample();
  const size_t available = data_.rows() / batch;
  const size_t count = std::min({options_.calibration_rows, affordable, available});
  for (size_t i = 0; i < count; ++i) {
    SKERRY_ASSIGN(Sample sample, data_.sample(i * available / count * batch));
    samples_.push_back(std::move(sample));
  }
  return {};
}

Result<Candidate> CandidateMaker::write(const graph::Graph& graph, std::string name,
                                        std::string how) const {
  Candidate candidate{.name = std::move(name), .how = std::move(how)};
  candidate.path = options_.directory + "/" + candidate.name + ".onnx";
  const auto named = graph.clone();
  name_nodes_apart(*named);
  SKERRY_TRY(graph::write_model_file(*named, candidate.path));
  io::RealFiles files;
  SKERRY_ASSIGN(const io::FileInfo info, files.stat(candidate.path));
  candidate.bytes = info.size_bytes;
  return candidate;
}

Result<std::vector<Candidate>> CandidateMaker::make_all(const Progress& progress) {
  std::vector<Candidate> made;
  io::RealFiles files;
  SKERRY_ASSIGN(const io::FileInfo info, files.stat(source_));
  made.push_back({.name = "source",
                  .how = "the model as it came",
                  .path = source_,
                  .bytes = info.size_bytes,
                  .exact = true});
  SKERRY_ASSIGN(Candidate passes, write(*graph_, kPassesAlone, "passes alone"));
  passes.exact = true;
  made.push_back(std::move(passes));
  SKERRY_ASSIGN(calibration_, calibrate(*graph_, samples_, [&](size_t done) {
                  if (progress) {
                    progress(
                        fmt::format("calibrating: {} of {} samples", done, samples_.size()),
                        0.3 * static_cast<double>(done) / static_cast<double>(samples_.size()));
                  }
                }));
  SKERRY_TRY(add_static(made));
  SKERRY_TRY(add_without_data(made));
  SKERRY_TRY(add_pruned(made));
  if (!options_.make_more) return made;
  SKERRY_ASSIGN(const auto more, options_.make_more(*graph_, progress));
  for (const MadeElsewhere& one : more) {
    SKERRY_ASSIGN(Candidate candidate, write(*one.graph, one.name, one.how));
    candidate.integer_layers = one.integer_layers;
    made.push_back(std::move(candidate));
  }
  return made;
}

Result<void> CandidateMaker::add_rounded(std::vector<Candidate>& made) const {
  SKERRY_ASSIGN(const LayerProducts products, observe_products(*graph_, samples_));
  if (products.empty()) return {};
  const auto copy = graph_->clone();
  SKERRY_ASSIGN(
      const size_t layers,
      quantise_static(*copy, calibration_, {.method = RangeMethod::kMse, .products = &products}));
  SKERRY_ASSIGN(
      Candidate one,
      write(*copy, "int8-rounded", "integer layers, by mse, weights rounded by what layers make"));
  one.integer_layers = layers;
  made.push_back(std::move(one));
  return {};
}

// Layers of odd sizes stay floats: integer kernels take channels by fours, and are slower than the
// float ones where there are fewer, as in front of an image.
Result<void> CandidateMaker::add_even(std::vector<Candidate>& made) const {
  StaticOptions even{.method = RangeMethod::kMse};
  for (const auto& node : graph_->nodes()) {
    const auto layer = weighted_layer(*node);
    if (!layer || node->op() != "Conv" || node->int_of("group") != 1) continue;
    const bool odd = layer->weights->shape()[1] % 4 != 0 || layer->channels % 4 != 0;
    if (odd) even.keep_float.insert(node->name());
  }
  if (even.keep_float.empty()) return {};
  const auto copy = graph_->clone();
  SKERRY_ASSIGN(const size_t layers, quantise_static(*copy, calibration_, even));
  if (layers == 0) return {};
  SKERRY_ASSIGN(Candidate one,
                write(*copy, "int8-even", "integer layers but for those of odd sizes, by mse"));
  one.integer_layers = layers;
  made.push_back(std::move(one));
  return {};
}

// A graph of other ranges than the optimised one.
Result<void> CandidateMaker::add_calibrated(graph::Graph& graph, const std::string& name,
                                            const std::string& how,
                                            std::vector<Candidate>& made) const {
  SKERRY_ASSIGN(const Calibration calibration, calibrate(graph, samples_));
  SKERRY_ASSIGN(const size_t layers,
                quantise_static(graph, calibration, {.method = RangeMethod::kMse}));
  SKERRY_ASSIGN(Candidate one, write(graph, name, how));
  one.integer_layers = layers;
  made.push_back(std::move(one));
  return {};
}

Result<void> CandidateMaker::add_static(std::vector<Candidate>& made) {
  for (const RangeMethod method :
       {RangeMethod::kMinMax, RangeMethod::kPercentile, RangeMethod::kMse, RangeMethod::kEntropy}) {
    const auto copy = graph_->clone();
    SKERRY_ASSIGN(const size_t layers, quantise_static(*copy, calibration_, {.method = method}));
    if (layers == 0) return {};
    SKERRY_ASSIGN(Candidate one,
                  write(*copy, fmt::format("int8-{}", name_of(method)),
                        fmt::format("integer layers, ranges by {}", name_of(method))));
    one.integer_layers = layers;
    made.push_back(std::move(one));
  }
  SKERRY_TRY(add_rounded(made));
  SKERRY_TRY(add_even(made));
  const auto equal = graph_->clone();
  SKERRY_ASSIGN(const size_t pairs, equalise(*equal));
  if (pairs > 0) {
    SKERRY_TRY(add_calibrated(*equal, "int8-equalised",
                              "integer layers after cross-layer equalisation, by mse", made));
  }
  const auto smoothed = graph_->clone();
  SKERRY_ASSIGN(const size_t norms, smooth(*smoothed, calibration_));
  if (norms > 0) {
    SKERRY_TRY(add_calibrated(*smoothed, "int8-smoothed",
                              "integer layers after SmoothQuant, by mse", made));
  }
  const size_t count = std::min(kSensitivitySamples, samples_.size());
  const auto layers = static_cast<int64_t>(quantisable_layers(*graph_).size());
  if (macs_of(*graph_) * layers * static_cast<int64_t>(count) > kMaxReferenceMacs) return {};
  SKERRY_ASSIGN(ranked_, sensitivities(*graph_, calibration_, std::span(samples_).first(count),
                                       {.method = RangeMethod::kMse}));
  return {};
}

Result<void> CandidateMaker::add_without_data(std::vector<Candidate>& made) const {
  struct Kind {
    const char* name;
    const char* how;
    Result<size_t> (*apply)(graph::Graph&);
  };
  constexpr Kind kKinds[] = {
      {"int8-dynamic", "matrices in integers, scales as it runs", quantise_dynamic},
      {"int8-weights", "weights as INT8, computed in floats",
       [](graph::Graph& graph) { return store_weights_as(graph, WeightFormat::kInt8); }},
      {"fp16-weights", "weights as FP16, computed in FP32",
       [](graph::Graph& graph) { return store_weights_as(graph, WeightFormat::kFp16); }},
      {"sparse-2of4", "two of each four weights zero; stored dense, for kernels that skip them",
       [](graph::Graph& graph) { return prune_weights(graph, SparsePattern::kTwoOfFour); }},
      {"int4-weights", "matrices' weights as INT4 in blocks of 32, computed in floats",
       [](graph::Graph& graph) { return store_weights_as(graph, WeightFormat::kInt4); }},
  };
  for (const Kind& kind : kKinds) {
    const auto copy = graph_->clone();
    SKERRY_ASSIGN(const size_t changed, kind.apply(*copy));
    if (changed == 0) continue;
    SKERRY_ASSIGN(Candidate one, write(*copy, kind.name, kind.how));
    made.push_back(std::move(one));
  }
  return {};
}

// Without training behind it pruning loses much; how much, the report says.
Result<void> CandidateMaker::add_pruned(std::vector<Candidate>& made) const {
  for (const int percent : {10, 25, 50}) {
    const auto copy = graph_->clone();
    SKERRY_ASSIGN(const PruneReport report,
                  prune_channels(*copy, {.share = percent / 100.0}, &calibration_));
    if (report.removed == 0) continue;
    const std::string name = fmt::format("pruned-{}", percent);
    SKERRY_ASSIGN(
        Candidate dense,
        write(*copy, name, fmt::format("{} of {} channels less", report.removed, report.channels)));
    made.push_back(std::move(dense));
    SKERRY_TRY(add_calibrated(*copy, name + "-int8", "the same in integers", made));
  }
  return {};
}

Result<Candidate> CandidateMaker::make_mixed(size_t count) {
  StaticOptions mixed{.method = RangeMethod::kMse};
  for (size_t i = 0; i < std::min(count, ranked_.size()); ++i) {
    mixed.keep_float.insert(ranked_[i].layer);
  }
  const auto copy = graph_->clone();
  SKERRY_ASSIGN(const size_t layers, quantise_static(*copy, calibration_, mixed));
  SKERRY_ASSIGN(Candidate one,
                write(*copy, fmt::format("int8-mixed-{}", count),
                      fmt::format("integer layers but for the {} that lose most", count)));
  one.integer_layers = layers;
  return one;
}

}  // namespace skerry::optimise
