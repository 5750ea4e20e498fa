// The search: make, measure in turns, judge, mix where integers alone lose too much, choose.
#include "optimise/search/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "base/encoding.h"
#include "base/sha256.h"
#include "graph/model_file.h"
#include "graph/statistics.h"
#include "io/files.h"
#include "optimise/names.h"
#include "optimise/search/candidates.h"

namespace skerry::optimise {
namespace {

using nlohmann::json;

// What has been measured, in a file that a later run reads.
class Measured {
 public:
  explicit Measured(const std::string& directory) : path_(directory + "/measured.json") {
    const auto text = io::read_file(files_, path_);
    const json parsed = text ? json::parse(*text, nullptr, false) : json();
    if (!parsed.is_object()) return;
    for (const auto& [key, value] : parsed.items()) {
      if (value.is_string()) known_[key] = value.get<std::string>();
    }
  }

  std::optional<Measurement> find(const std::string& key) const {
    const auto measurement = parse_measurement(text(key));
    return measurement ? std::optional(*measurement) : std::nullopt;
  }
  std::string text(const std::string& key) const {
    const auto found = known_.find(key);
    return found == known_.end() ? "" : found->second;
  }

  Result<void> add(const std::string& key, std::string text) {
    known_[key] = std::move(text);
    return io::write_file_atomic(files_, path_, json(known_).dump(1), 0644);
  }

 private:
  mutable io::RealFiles files_;
  std::string path_;
  std::map<std::string, std::string> known_;
};

Result<std::string> file_sha256(const std::string& path) {
  io::RealFiles files;
  SKERRY_ASSIGN(const std::string bytes, io::read_file(files, path, uint64_t{4} << 30));
  return hex_encode(sha256(bytes));
}

class Search {
 public:
  Search(const Dataset& data, const SearchOptions& options, const MeasureFunction& measure,
         const Progress& progress)
      : data_(data),
        options_(options),
        measure_(measure),
        progress_(progress),
        measured_(options.directory),
        random_(options.seed) {}

  Result<SearchResult> run(const std::string& model) {
    const auto begin = std::chrono::steady_clock::now();
    SKERRY_ASSIGN(result_.source_sha256, file_sha256(model));
    result_.data_fingerprint = data_.fingerprint();
    result_.labelled = data_.has_labels();
    SKERRY_ASSIGN(CandidateMaker maker, CandidateMaker::open(model, data_, options_));
    SKERRY_ASSIGN(result_.candidates, maker.make_all(progress_));
    result_.passes = maker.passes();
    result_.calibration_rows = maker.calibration_rows();
    describe_layers(maker);
    SKERRY_TRY(measure_all(0));
    SKERRY_TRY(mix(maker));
    choose();
    SKERRY_TRY(profile_trials());
    const Trial& winner = result_.trials[result_.winner];
    SKERRY_ASSIGN(result_.artifact_sha256, file_sha256(winner.path));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    result_.seconds = took.count();
    return std::move(result_);
  }

 private:
  void describe_layers(const CandidateMaker& maker) {
    const graph::Graph& graph = maker.optimised();
    const auto fixed = graph::with_open_dimensions(graph, 1);
    const graph::Graph& sized = fixed ? **fixed : graph;
    for (const graph::NodeCost& cost : statistics_of(sized).nodes) {
      const graph::Value* output = cost.node->output(0);
      LayerReport layer{.name = cost.node->name(),
                        .op = std::string(cost.node->op().name()),
                        .output = output != nullptr ? to_string(output->type()) : "",
                        .value = output != nullptr ? output->name() : "",
                        .macs = cost.macs,
                        .parameter_bytes = cost.parameter_bytes,
                        .alive_bytes = cost.alive_bytes};
      for (const Sensitivity& one : maker.ranked()) {
        if (one.layer == layer.name) layer.sensitivity = one.error;
      }
      result_.layers.push_back(std::move(layer));
    }
  }

  // All candidates from `first` on, in all engines, in turns: what disturbs the machine for a while
  // disturbs all of them.
  Result<void> measure_all(size_t first) {
    const size_t first_trial = result_.trials.size();
    for (size_t c = first; c < result_.candidates.size(); ++c) {
      result_.trials.push_back({.candidate = c, .engine = 0});
    }
    // The source's answers come first: the others are compared with them.
    SKERRY_TRY(measure_round(first_trial, 0));
    // What loses too much in one engine loses it in the others: nothing is made for those.
    const size_t others = result_.trials.size();
    for (size_t t = first_trial; t < others; ++t) {
      if (result_.trials[t].drop > options_.max_accuracy_drop) continue;
      for (size_t e = 1; e < options_.engines.size(); ++e) {
        if (is_missing(e)) continue;
        result_.trials.push_back({.candidate = result_.trials[t].candidate, .engine = e});
      }
    }
    SKERRY_TRY(measure_round(others, 0));
    std::erase_if(result_.trials, [&](const Trial& trial) { return is_missing(trial.engine); });
    for (size_t round = 1; round < options_.rounds; ++round) {
      SKERRY_TRY(measure_round(first_trial, round));
    }
    for (size_t t = first_trial; t < result_.trials.size(); ++t) judge(result_.trials[t]);
    return {};
  }

  Result<void> measure_round(size_t first_trial, size_t round) {
    std::vector<size_t> order;
    for (size_t t = first_trial; t < result_.trials.size(); ++t) order.push_back(t);
    if (round > 0) std::ranges::shuffle(order, random_);
    for (size_t i = 0; i < order.size(); ++i) {
      report(order, round, i);
      Trial& trial = result_.trials[order[i]];
      if (is_missing(trial.engine)) continue;
      if (round == 0) SKERRY_TRY(prepare(trial));
      SKERRY_TRY(measure_once(trial, round));
    }
    return {};
  }

  bool is_missing(size_t engine) const {
    return std::ranges::any_of(result_.missing_engines, [&](const EngineRefusal& missing) {
      return missing.engine == engine;
    });
  }

  // The file for the engine, which an interrupted run may have made.
  Result<void> prepare(Trial& trial) {
    const Candidate& candidate = result_.candidates[trial.candidate];
    const EngineSpec& engine = options_.engines[trial.engine];
    trial.path = candidate.path;
    trial.bytes = candidate.bytes;
    if (!options_.prepare) return {};
    SKERRY_ASSIGN(const std::string sha256, file_sha256(candidate.path));
    const std::string key = fmt::format("made/{}/{}/{}", sha256, engine.name, engine.library);
    io::RealFiles files;
    // Path and digest of what was made.
    if (const std::string made = measured_.text(key); made.size() > 64) {
      const auto there = file_sha256(made.substr(64));
      if (there && *there == made.substr(0, 64)) trial.path = made.substr(64);
    }
    if (trial.path == candidate.path) {
      auto path = options_.prepare(candidate, engine);
      if (!path) {
        trial.path.clear();
        trial.refusal = path.error().message();
        return &trial == result_.trials.data() ? source_fails(trial) : Result<void>();
      }
      trial.path = std::move(*path);
    }
    if (trial.path == candidate.path) return {};
    SKERRY_ASSIGN(const std::string digest, file_sha256(trial.path));
    SKERRY_TRY(measured_.add(key, digest + trial.path));
    SKERRY_ASSIGN(const io::FileInfo info, files.stat(trial.path));
    trial.bytes = info.size_bytes;
    return {};
  }

  void report(const std::vector<size_t>& order, size_t round, size_t i) const {
    if (!progress_) return;
    const Trial& trial = result_.trials[order[i]];
    const double done = static_cast<double>(round * order.size() + i) /
                        static_cast<double>(options_.rounds * order.size());
    progress_(
        fmt::format("measuring {} in {}: round {} of {}", result_.candidates[trial.candidate].name,
                    options_.engines[trial.engine].name, round + 1, options_.rounds),
        0.3 + 0.7 * done);
  }

  Result<void> measure_once(Trial& trial, size_t round) {
    if (!trial.refusal.empty()) return {};
    const EngineSpec& engine = options_.engines[trial.engine];
    const std::string answers = options_.directory + "/answers.npy";
    MeasureOptions wanted{.seconds = options_.seconds, .rows = options_.rows};
    if (round > 0) wanted.rows = 1;
    const bool first = trial.candidate == 0 && trial.engine == 0;
    if (round == 0) (first ? wanted.save_outputs : wanted.expected) = answers;
    SKERRY_ASSIGN(const std::string sha256, file_sha256(trial.path));
    const std::string key =
        fmt::format("{}/{}/{}/{}/{}/{}/{}", sha256, engine.name, engine.library,
                    data_.fingerprint(), options_.rows, options_.seconds, round);
    auto known = measured_.find(key);
    io::RealFiles files;
    if (known && first && !io::exists(files, answers)) known.reset();
    if (!known) {
      const auto now = measure_(trial.path, engine, wanted);
      if (!now) {
        trial.refusal = now.error().message();
        const bool is_there = now.error().code() != Code::kUnavailable;
        if (first) return is_there ? read_again(trial) : source_fails(trial);
        if (!is_there) result_.missing_engines.push_back({trial.engine, trial.refusal});
        return {};
      }
      SKERRY_TRY(measured_.add(key, to_json(*now)));
      known = *now;
    }
    take(trial, *known, round);
    return {};
  }

  // Engines refuse files for what is beside the model: maps of scores, two nodes with one name.
  // What was read from the file, written again, stands for the source then.
  Result<void> read_again(Trial& trial) {
    Candidate& source = result_.candidates[0];
    const std::string copy = options_.directory + "/source.onnx";
    if (source.path == copy) return source_fails(trial);
    SKERRY_ASSIGN(const auto file, graph::read_model_file(source.path));
    name_nodes_apart(*file.graph);
    SKERRY_TRY(graph::write_model_file(*file.graph, copy));
    source.path = copy;
    source.how = fmt::format("the model as it was read; its own file does not run in {}: {}",
                             options_.engines[0].name, std::exchange(trial.refusal, ""));
    SKERRY_TRY(prepare(trial));
    return measure_once(trial, 0);
  }

  Result<void> source_fails(const Trial& trial) const {
    return fail(Code::kFailedPrecondition, "the source itself does not run in " +
                                               options_.engines[0].name + ": " + trial.refusal);
  }

  void take(Trial& trial, const Measurement& one, size_t round) {
    trial.minima_us.push_back(one.min_us);
    trial.medians_us.push_back(one.median_us);
    if (round > 0) return;
    trial.peak_bytes = one.peak_bytes;
    trial.error = one.error;
    if (data_.has_labels() && one.rows > 0) {
      trial.accuracy = share_of(one.correct, one.rows);
      trial.drop = result_.trials[0].accuracy->value - trial.accuracy->value;
    } else if (one.compared > 0) {
      trial.drop = 1 - static_cast<double>(one.agreed) / static_cast<double>(one.compared);
    }
  }

  void judge(Trial& trial) const {
    const Candidate& candidate = result_.candidates[trial.candidate];
    if (!trial.minima_us.empty()) {
      const auto [least, most] = std::ranges::minmax(trial.minima_us);
      trial.min_us = least;
      trial.spread = least > 0 ? (most - least) / least : 0;
      std::vector<double> medians = trial.medians_us;
      std::ranges::sort(medians);
      trial.median_us = medians[medians.size() / 2];
    }
    if (!trial.refusal.empty()) return;
    if (candidate.exact && !(trial.error <= options_.tolerance)) {
      trial.refusal = fmt::format("its answers differ by {:.2g}, {:.2g} is tolerated", trial.error,
                                  options_.tolerance);
    } else if (trial.drop > options_.max_accuracy_drop) {
      trial.refusal = fmt::format("loses {:.2f} points", trial.drop * 100);
    }
  }

  bool integers_fit() const {
    return std::ranges::any_of(result_.trials, [&](const Trial& trial) {
      return trial.refusal.empty() && result_.candidates[trial.candidate].integer_layers > 0;
    });
  }

  // More and more layers stay float, until the budget is kept.
  Result<void> mix(CandidateMaker& maker) {
    for (size_t count = 1; count < maker.ranked().size() && !integers_fit(); count *= 2) {
      SKERRY_ASSIGN(Candidate mixed, maker.make_mixed(count));
      result_.candidates.push_back(std::move(mixed));
      SKERRY_TRY(measure_all(result_.candidates.size() - 1));
    }
    return {};
  }

  double cost_of(const Trial& trial) const {
    switch (options_.goal) {
      case Goal::kSize:
        return static_cast<double>(trial.bytes);
      case Goal::kMemory:
        return static_cast<double>(trial.peak_bytes);
      case Goal::kLatency:
        break;
    }
    return trial.min_us;
  }

  // The cheapest; of those that measuring cannot tell from it, the one that loses least.
  void choose() {
    const double equal = options_.goal == Goal::kSize ? 1 : 1.02;
    double least = INFINITY;
    for (const Trial& trial : result_.trials) {
      if (trial.refusal.empty()) least = std::min(least, cost_of(trial));
    }
    std::optional<size_t> best;
    for (size_t t = 0; t < result_.trials.size(); ++t) {
      const Trial& next = result_.trials[t];
      if (!next.refusal.empty() || cost_of(next) > least * equal) continue;
      if (!best || std::max(next.drop, 0.0) < std::max(result_.trials[*best].drop, 0.0)) best = t;
    }
    result_.winner = best.value_or(0);
  }

  // What passes alone make, so that layers have times, and what was chosen.
  Result<void> profile_trials() {
    for (size_t t = 0; t < result_.trials.size(); ++t) {
      const Trial& trial = result_.trials[t];
      const bool is_float =
          trial.engine == 0 && result_.candidates[trial.candidate].name == kPassesAlone;
      if ((is_float || t == result_.winner) && !trial.minima_us.empty()) {
        SKERRY_ASSIGN(TimeProfile profile, profile_of(t));
        result_.profiles.push_back(std::move(profile));
        if (is_float) time_layers(result_.profiles.back());
      }
    }
    return {};
  }

  Result<TimeProfile> profile_of(size_t t) {
    const Trial& trial = result_.trials[t];
    const EngineSpec& engine = options_.engines[trial.engine];
    TimeProfile profile{.trial = t};
    SKERRY_ASSIGN(const std::string sha256, file_sha256(trial.path));
    const std::string key = fmt::format("layer times/{}/{}/{}/{}", sha256, engine.name,
                                        engine.library, data_.fingerprint());
    auto known = measured_.find(key);
    if (!known) {
      const auto now = measure_(trial.path, engine, {.seconds = options_.seconds, .layers = true});
      if (!now) {
        profile.refusal = now.error().message();
        return profile;
      }
      SKERRY_TRY(measured_.add(key, to_json(*now)));
      known = *now;
    }
    profile.layers = std::move(known->layers);
    return profile;
  }

  // A layer that the engine has fused has the name of one of its parts; its time stands where its
  // operator does. Where ONNX Runtime has put channels in blocks, it is the name of the output with
  // "_nchwc" behind it; some operators have "Fused" in front.
  void time_layers(const TimeProfile& profile) {
    for (const runtime::LayerTime& time : profile.layers) {
      std::string_view name = time.name;
      if (name.ends_with("_nchwc")) name.remove_suffix(6);
      std::string_view op = time.op;
      if (op.starts_with("Fused")) op.remove_prefix(5);
      const auto found = std::ranges::find_if(result_.layers, [&](const LayerReport& layer) {
        return name == time.name ? layer.name == name : layer.value == name;
      });
      if (found == result_.layers.end()) continue;
      for (auto layer = found + 1; layer != result_.layers.begin();) {
        --layer;
        if (layer->op != op) continue;
        if (!layer->us) layer->us = time.us;
        break;
      }
    }
  }

  const Dataset& data_;
  const SearchOptions& options_;
  const MeasureFunction& measure_;
  const Progress& progress_;
  Measured measured_;
  std::mt19937_64 random_;
  SearchResult result_;
};

}  // namespace

std::string_view name_of(Goal goal) {
  return goal == Goal::kLatency ? "latency" : goal == Goal::kSize ? "size" : "memory";
}

Result<SearchResult> search(const std::string& model, const Dataset& data,
                            const SearchOptions& options, const MeasureFunction& measure,
                            const Progress& progress) {
  if (options.engines.empty() || options.rounds == 0) {
    return fail(Code::kInvalidArgument, "a search needs an engine and a round of measuring");
  }
  return Search(data, options, measure, progress).run(model);
}

}  // namespace skerry::optimise
