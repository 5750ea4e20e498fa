// Reports as JSON and Markdown.
#include "optimise/search/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace skerry::optimise {
namespace {

using nlohmann::json;

json passes_json(const SearchResult& result) {
  json passes = json::array();
  for (const PassReport& pass : result.passes) {
    passes.push_back({{"name", pass.name},
                      {"what", pass.what},
                      {"changes", pass.changes},
                      {"nodesRemoved", pass.nodes_removed},
                      {"bytesRemoved", pass.bytes_removed},
                      {"ms", pass.ms}});
  }
  return passes;
}

json layers_json(const SearchResult& result) {
  json layers = json::array();
  for (const LayerReport& layer : result.layers) {
    layers.push_back({{"name", layer.name},
                      {"operator", layer.op},
                      {"output", layer.output},
                      {"macs", layer.macs ? json(*layer.macs) : json()},
                      {"parameterBytes", layer.parameter_bytes},
                      {"aliveBytes", layer.alive_bytes},
                      {"sensitivity", layer.sensitivity ? json(*layer.sensitivity) : json()},
                      {"us", layer.us ? json(*layer.us) : json()}});
  }
  return layers;
}

json profiles_json(const SearchResult& result, const SearchOptions& options) {
  json profiles = json::array();
  for (const TimeProfile& profile : result.profiles) {
    const Trial& trial = result.trials[profile.trial];
    json layers = json::array();
    for (const runtime::LayerTime& layer : profile.layers) {
      layers.push_back({{"name", layer.name}, {"operator", layer.op}, {"us", layer.us}});
    }
    profiles.push_back({{"candidate", result.candidates[trial.candidate].name},
                        {"engine", options.engines[trial.engine].name},
                        {"layers", std::move(layers)},
                        {"refusal", profile.refusal}});
  }
  return profiles;
}

json trial_json(const SearchResult& result, const SearchOptions& options, const Trial& trial) {
  const Candidate& candidate = result.candidates[trial.candidate];
  json one = {{"candidate", candidate.name},
              {"how", candidate.how},
              {"engine", options.engines[trial.engine].name},
              {"bytes", trial.bytes},
              {"integerLayers", candidate.integer_layers},
              {"minUs", trial.min_us},
              {"medianUs", trial.median_us},
              {"spread", trial.spread},
              {"minimaUs", trial.minima_us},
              {"peakBytes", trial.peak_bytes},
              {"accuracyDrop", trial.drop},
              {"error", trial.error},
              {"refusal", trial.refusal}};
  if (trial.accuracy) {
    one["accuracy"] = trial.accuracy->value;
    one["accuracyInterval"] = {trial.accuracy->lowest, trial.accuracy->highest};
  }
  return one;
}

}  // namespace

std::string artifact_name(const SearchResult& result) {
  const std::string& path = result.trials[result.winner].path;
  const size_t dot = path.rfind('.');
  const bool has_ending = dot != std::string::npos && dot > path.find_last_of('/') + 1;
  return "model" + (has_ending ? path.substr(dot) : std::string(".onnx"));
}

std::string accuracy_text(const Trial& trial) {
  if (trial.minima_us.empty()) return "-";
  if (!trial.accuracy) return fmt::format("agrees {:.2f} %", 100 * (1 - trial.drop));
  return fmt::format("{:.2f} % ({:.2f}-{:.2f})", 100 * trial.accuracy->value,
                     100 * trial.accuracy->lowest, 100 * trial.accuracy->highest);
}

std::string time_text(const Trial& trial, double us) {
  return trial.minima_us.empty() ? "-" : fmt::format("{:.1f}", us);
}

std::vector<std::string> missing_engines(const SearchResult& result, const SearchOptions& options) {
  std::vector<std::string> lines;
  for (const EngineRefusal& missing : result.missing_engines) {
    lines.push_back(
        fmt::format("{} was left out: {}", options.engines[missing.engine].name, missing.reason));
  }
  return lines;
}

std::string verdict(const SearchResult& result, const SearchOptions& options) {
  const Trial& base = result.trials[0];
  const Trial& best = result.trials[result.winner];
  const Candidate& winner = result.candidates[best.candidate];
  if (result.winner == 0) {
    return fmt::format("No candidate is better than the source in {} within {:.2f} points.",
                       name_of(options.goal), 100 * options.max_accuracy_drop);
  }
  return fmt::format(
      "{} in {}: {:.1f} µs instead of {:.1f} ({:.2f}×), {:.0f} kB instead of {:.0f} ({:.2f}×), "
      "{} {:.2f} points.",
      winner.name, options.engines[best.engine].name, best.min_us, base.min_us,
      base.min_us / best.min_us, static_cast<double>(best.bytes) / 1000,
      static_cast<double>(base.bytes) / 1000,
      static_cast<double>(base.bytes) / static_cast<double>(best.bytes),
      result.labelled ? "accuracy lost" : "disagreement", 100 * best.drop);
}

std::string report_json(const SearchResult& result, const SearchOptions& options) {
  const Trial& best = result.trials[result.winner];
  json missing = json::array();
  for (const EngineRefusal& one : result.missing_engines) {
    missing.push_back({{"engine", options.engines[one.engine].name}, {"reason", one.reason}});
  }
  json trials = json::array();
  for (const Trial& trial : result.trials) trials.push_back(trial_json(result, options, trial));
  return json{{"format", 1},
              {"goal", name_of(options.goal)},
              {"maxAccuracyDrop", options.max_accuracy_drop},
              {"tolerance", options.tolerance},
              {"seed", options.seed},
              {"labelled", result.labelled},
              {"calibrationRows", result.calibration_rows},
              {"sourceSha256", result.source_sha256},
              {"artifactSha256", result.artifact_sha256},
              {"candidate", result.candidates[best.candidate].name},
              {"engine", options.engines[best.engine].name},
              {"artifact", artifact_name(result)},
              {"accuracyDrop", best.drop},
              {"dataSha256", result.data_fingerprint},
              {"seconds", result.seconds},
              {"winner", result.winner},
              {"verdict", verdict(result, options)},
              {"missingEngines", std::move(missing)},
              {"trials", std::move(trials)},
              {"passes", passes_json(result)},
              {"layers", layers_json(result)},
              {"profiles", profiles_json(result, options)}}
             .dump(1) +
         "\n";
}

std::string profile_title(const TimeProfile& profile, const SearchResult& result,
                          const SearchOptions& options) {
  const Trial& trial = result.trials[profile.trial];
  return fmt::format("Where the time of {} goes in {}", result.candidates[trial.candidate].name,
                     options.engines[trial.engine].name);
}

std::string profile_note(const TimeProfile& profile, const SearchResult& result,
                         const SearchOptions& options) {
  if (!profile.refusal.empty()) return "Not measured: " + profile.refusal + ".";
  const std::string& engine = options.engines[result.trials[profile.trial].engine].name;
  if (engine == "compiled") {
    return "Each step as `skerry model compile --explain` measures it, the least of many passes.";
  }
  const std::string own =
      "; its own work, a microsecond or some for each layer, is in the figures.";
  if (engine == "openvino") return "By the engine's own profiler, mean of up to 100 runs" + own;
  return "By the engine's own profiler, mean of the middle half of up to 100 runs that it counts "
         "in "
         "whole microseconds" +
         own;
}

double total_us(const TimeProfile& profile) {
  double sum = 0;
  for (const runtime::LayerTime& layer : profile.layers) sum += layer.us;
  return sum;
}

namespace {

std::string profile_markdown(const TimeProfile& profile, const SearchResult& result,
                             const SearchOptions& options) {
  std::string out = fmt::format("\n## {}\n\n{}\n", profile_title(profile, result, options),
                                profile_note(profile, result, options));
  if (profile.layers.empty()) return out;
  out += "\n| Layer of the engine | Operator | µs | Share |\n|---|---|---|---|\n";
  const double all = std::max(total_us(profile), 1e-9);
  for (const runtime::LayerTime& layer : profile.layers) {
    out += fmt::format("| {} | {} | {:.1f} | {:.0f} % |\n", layer.name, layer.op, layer.us,
                       100 * layer.us / all);
  }
  return out;
}

}  // namespace

std::string report_markdown(const SearchResult& result, const SearchOptions& options) {
  std::string out =
      fmt::format("# Optimised for {}\n\n{}\n\n", name_of(options.goal), verdict(result, options));
  out +=
      "| Candidate | Engine | Minimum µs | Median µs | Spread | kB | Accuracy | Lost points | |\n"
      "|---|---|---|---|---|---|---|---|---|\n";
  for (size_t t = 0; t < result.trials.size(); ++t) {
    const Trial& trial = result.trials[t];
    const Candidate& candidate = result.candidates[trial.candidate];
    out += fmt::format("| {} | {} | {} | {} | {:.0f} % | {:.1f} | {} | {:.2f} | {} |\n",
                       candidate.name, options.engines[trial.engine].name,
                       time_text(trial, trial.min_us), time_text(trial, trial.median_us),
                       100 * trial.spread, static_cast<double>(trial.bytes) / 1000,
                       accuracy_text(trial), 100 * trial.drop,
                       t == result.winner ? "**chosen**" : trial.refusal);
  }
  for (const std::string& line : missing_engines(result, options)) out += "\n" + line + "\n";
  for (const TimeProfile& profile : result.profiles)
    out += profile_markdown(profile, result, options);
  out += "\n## Passes\n\n| Pass | Places | Nodes less | Bytes less | ms |\n|---|---|---|---|---|\n";
  for (const PassReport& pass : result.passes) {
    if (pass.changes == 0) continue;
    out += fmt::format("| {} | {} | {} | {} | {:.2f} |\n", pass.name, pass.changes,
                       pass.nodes_removed, pass.bytes_removed, pass.ms);
  }
  out += fmt::format(
      "\nCalibrated with {} samples; source {}, data {}; seed {}; {:.1f} s. Times are of one run, "
      "the minimum over {} rounds that take turns; the spread is that of the rounds' minima.\n",
      result.calibration_rows, result.source_sha256.substr(0, 12),
      result.data_fingerprint.substr(0, 12), options.seed, result.seconds, options.rounds);
  return out;
}

}  // namespace skerry::optimise
