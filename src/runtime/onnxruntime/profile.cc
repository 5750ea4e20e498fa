// A profile is a JSON list of events in the order in which they ended. Those of nodes are called
// NAME_kernel_time and last whole microseconds; one model_run ends each run.
#include "runtime/onnxruntime/profile.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "io/files.h"

namespace skerry::runtime {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxProfileBytes = uint64_t{256} << 20;
constexpr std::string_view kSuffix = "_kernel_time";

struct Layer {
  LayerTime time;
  double now_us = 0;  // in this run; nodes of a loop's body run more than once
  std::vector<double> runs_us = {};
};

struct Layers {
  std::vector<Layer> all;
  std::map<std::string, size_t, std::less<>> places;
  size_t runs = 0;  // that have ended

  void add(std::string_view name, const json& event) {
    const auto [found, is_new] = places.emplace(name, all.size());
    if (is_new) {
      const json& arguments = event.value("args", json::object());
      all.push_back({.time = {.name = std::string(name), .op = arguments.value("op_name", "")}});
    }
    all[found->second].now_us += event.value("dur", 0.0);
  }

  void end_run() {
    for (Layer& layer : all) {
      if (runs > 0) layer.runs_us.push_back(layer.now_us);
      layer.now_us = 0;
    }
    ++runs;
  }
};

}  // namespace

Result<std::vector<LayerTime>> parse_profile(std::string_view text) {
  const json events = json::parse(text, nullptr, false);
  if (!events.is_array()) return fail(Code::kCorrupt, "no profile of ONNX Runtime");
  Layers layers;
  try {
    for (const json& event : events) {
      const std::string category = event.value("cat", "");
      const std::string name = event.value("name", "");
      if (category == "Session" && name == "model_run") layers.end_run();
      if (category != "Node" || !name.ends_with(kSuffix)) continue;
      layers.add(std::string_view(name).substr(0, name.size() - kSuffix.size()), event);
    }
  } catch (const json::exception& error) {
    return fail(Code::kCorrupt, std::string("no profile of ONNX Runtime: ") + error.what());
  }
  if (layers.runs < 2) return fail(Code::kCorrupt, "a profile of fewer than two runs");
  std::vector<LayerTime> times;
  for (Layer& layer : layers.all) {
    std::ranges::sort(layer.runs_us);
    if (!layer.runs_us.empty()) layer.time.median_us = layer.runs_us[layer.runs_us.size() / 2];
    times.push_back(std::move(layer.time));
  }
  return times;
}

Result<std::vector<LayerTime>> read_profile(const std::string& path) {
  io::RealFiles files;
  SKERRY_ASSIGN(const std::string text, io::read_file(files, path, kMaxProfileBytes));
  return parse_profile(text);
}

}  // namespace skerry::runtime
