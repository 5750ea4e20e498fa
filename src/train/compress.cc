// Rounds of pruning, then integers.
#include "train/compress.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "optimise/pass.h"
#include "optimise/prune/prune.h"
#include "optimise/quantise/static_quantise.h"
#include "train/qat.h"

namespace skerry::train {
namespace {

class Compressing {
 public:
  Compressing(const Graph& model, const optimise::Dataset& data, const Compression& how,
              const FitOptions& options, io::Files& files, const OnProgress& progress)
      : graph_(model.clone()),
        data_(data),
        how_(how),
        options_(options),
        files_(files),
        progress_(progress) {}

  Result<FitResult> run() {
    for (const double share : {how_.channels, how_.weights}) {
      if (!(share >= 0 && share < 1)) {
        return fail(Code::kInvalidArgument, "a share to prune is not in [0, 1)");
      }
    }
    SKERRY_TRY(optimise::run_passes(*graph_));
    SKERRY_TRY(read_samples());
    const size_t rounds =
        how_.channels > 0 || how_.weights > 0 ? std::max<size_t>(how_.rounds, 1) : 0;
    for (size_t round = 1; round <= rounds; ++round) SKERRY_TRY(prune(round, rounds));
    if (how_.integers) SKERRY_TRY(quantise());
    if (last_.history.empty()) return fail(Code::kInvalidArgument, "there is nothing to do");
    last_.before = first_;
    last_.model = std::move(graph_);
    return std::move(last_);
  }

 private:
  // Evenly spread, so that sorted data has all its classes in it.
  Result<void> read_samples() {
    const size_t count = std::min(how_.calibration_rows, data_.rows());
    for (size_t i = 0; i < count; ++i) {
      SKERRY_ASSIGN(optimise::Sample sample, data_.sample(i * data_.rows() / count));
      samples_.push_back(std::move(sample));
    }
    return {};
  }

  // What is gone after a round: 1 − (1 − r/R)³ of all that goes.
  static double gone(double all, size_t round, size_t rounds) {
    const double left = 1 - static_cast<double>(round) / static_cast<double>(rounds);
    return all * (1 - left * left * left);
  }

  Result<void> prune(size_t round, size_t rounds) {
    if (how_.channels > 0) {
      const double before = 1 - gone(how_.channels, round - 1, rounds);
      const double after = 1 - gone(how_.channels, round, rounds);
      SKERRY_ASSIGN(const auto calibration, optimise::calibrate(*graph_, samples_));
      SKERRY_ASSIGN(const auto report,
                    optimise::prune_channels(*graph_, {.share = 1 - after / before}, &calibration));
      removed_ += report.removed;
      if (round == rounds && removed_ == 0) {
        return fail(Code::kUnsupported, "no channel of this model can go");
      }
    }
    if (how_.weights > 0) {
      SKERRY_TRY(optimise::prune_weights(*graph_, optimise::SparsePattern::kUnstructured,
                                         gone(how_.weights, round, rounds)));
    }
    FitOptions options = options_;
    options.epochs = std::max<size_t>(options.epochs / rounds, 1);
    SKERRY_ASSIGN(graph_, train(*graph_, options, fmt::format("prune-{}", round)));
    return {};
  }

  Result<void> quantise() {
    SKERRY_ASSIGN(const auto calibration, optimise::calibrate(*graph_, samples_));
    const auto integers = graph_->clone();
    SKERRY_ASSIGN(
        const size_t layers,
        optimise::quantise_static(*integers, calibration, {.method = optimise::RangeMethod::kMse}));
    if (layers == 0) return fail(Code::kUnsupported, "no layer of this model can be integer");
    SKERRY_ASSIGN(const auto floats, trainable(*integers, *graph_));
    SKERRY_ASSIGN(const auto trained, train(*floats, options_, "integers"));
    SKERRY_ASSIGN(graph_, quantised_again(*integers, *trained));
    return {};
  }

  Result<std::unique_ptr<Graph>> train(const Graph& graph, FitOptions options,
                                       const std::string& name) {
    options.directory += "/" + name;
    options.step.keep_zeros = how_.weights > 0;
    // The best of the epochs of a part is what the next one begins with.
    SKERRY_TRY(io::make_directories(files_, options.directory));
    const bool first = last_.history.empty();
    SKERRY_ASSIGN(last_, fit(graph, data_, options, files_, progress_));
    if (first) first_ = last_.before;
    return std::move(last_.model);
  }

  std::unique_ptr<Graph> graph_;
  const optimise::Dataset& data_;
  const Compression& how_;
  const FitOptions& options_;
  io::Files& files_;
  const OnProgress& progress_;
  std::vector<optimise::Sample> samples_;
  size_t removed_ = 0;
  EpochResult first_;
  FitResult last_;
};

}  // namespace

Result<FitResult> compress(const Graph& model, const optimise::Dataset& data,
                           const Compression& how, const FitOptions& options, io::Files& files,
                           const OnProgress& progress) {
  return Compressing(model, data, how, options, files, progress).run();
}

}  // namespace skerry::train
