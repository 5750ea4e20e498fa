// A profile is a JSON list of events in the order in which they ended. Those of nodes are called
// NAME_kernel_time and last whole microseconds; one model_run ends each run.
#include "runtime/onnxruntime/profile.h"

#include <nlohmann/json.hpp>

#include "io/files.h"
#include "runtime/layer_times.h"

namespace skerry::runtime {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxProfileBytes = uint64_t{256} << 20;
constexpr std::string_view kSuffix = "_kernel_time";

}  // namespace

Result<std::vector<LayerTime>> parse_profile(std::string_view text) {
  const json events = json::parse(text, nullptr, false);
  if (!events.is_array()) return fail(Code::kCorrupt, "no profile of ONNX Runtime");
  LayerTimes layers;
  try {
    for (const json& event : events) {
      const std::string category = event.value("cat", "");
      const std::string name = event.value("name", "");
      if (category == "Session" && name == "model_run") layers.end_run();
      if (category != "Node" || !name.ends_with(kSuffix)) continue;
      layers.add(std::string_view(name).substr(0, name.size() - kSuffix.size()),
                 event.value("args", json::object()).value("op_name", ""), event.value("dur", 0.0));
    }
  } catch (const json::exception& error) {
    return fail(Code::kCorrupt, std::string("no profile of ONNX Runtime: ") + error.what());
  }
  return layers.result();
}

Result<std::vector<LayerTime>> read_profile(const std::string& path) {
  io::RealFiles files;
  SKERRY_ASSIGN(const std::string text, io::read_file(files, path, kMaxProfileBytes));
  return parse_profile(text);
}

}  // namespace skerry::runtime
