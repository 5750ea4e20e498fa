// The candidates of a search.
#pragma once

#include "optimise/quantise/sensitivity.h"
#include "optimise/search/search.h"

namespace skerry::optimise {

inline constexpr const char* kPassesAlone = "fp32";  // the candidate that is what passes make

// Makes candidates into the search's folder, and knows what they are made from.
class CandidateMaker {
 public:
  // Reads the model and runs the passes.
  static Result<CandidateMaker> open(const std::string& model, const Dataset& data,
                                     const SearchOptions& options);

  // The source, the passes' result, and every kind of quantisation that has something to do.
  Result<std::vector<Candidate>> make_all(const Progress& progress);
  // The layers of `ranked()` from the first on stay float, `count` of them.
  Result<Candidate> make_mixed(size_t count);
  // Layers by what they lose, worst first; empty where the model is too large to find out.
  const std::vector<Sensitivity>& ranked() const { return ranked_; }
  const std::vector<PassReport>& passes() const { return passes_; }
  const graph::Graph& optimised() const { return *graph_; }
  size_t calibration_rows() const { return samples_.size(); }

 private:
  CandidateMaker(const Dataset& data, const SearchOptions& options)
      : data_(data), options_(options) {}

  Result<void> read_samples();
  Result<Candidate> write(const graph::Graph& graph, std::string name, std::string how) const;
  Result<void> add_calibrated(graph::Graph& graph, const std::string& name, const std::string& how,
                              std::vector<Candidate>& made) const;
  Result<void> add_rounded(std::vector<Candidate>& made) const;
  Result<void> add_even(std::vector<Candidate>& made) const;
  Result<void> add_static(std::vector<Candidate>& made);
  Result<void> add_without_data(std::vector<Candidate>& made) const;
  Result<void> add_pruned(std::vector<Candidate>& made) const;

  const Dataset& data_;
  const SearchOptions& options_;
  std::string source_;
  std::unique_ptr<graph::Graph> graph_;
  std::vector<PassReport> passes_;
  std::vector<Sample> samples_;
  Calibration calibration_;
  std::vector<Sensitivity> ranked_;
};

}  // namespace skerry::optimise
