// Configuration comes from deployments and from components: lines of [TIMESTAMP, "POINTER", VALUE],
// each merged into one tree.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "nucleus/config_tree.h"

namespace {

using namespace skerry;
using namespace skerry::nucleus;

constexpr ConfigLimits kLimits{.depth = 8, .key_bytes = 32, .component_bytes = 4096};

void check(bool holds) {
  if (!holds) std::abort();
}

// "" where nothing stands.
std::string read(const ConfigTree& tree, const ComponentName& component, const KeyPath& path) {
  std::string text;
  tree.append_json(component, path, text);
  return text;
}

void merge_line(ConfigTree& tree, const std::string& line) {
  const ComponentName component("c");
  const auto write = nlohmann::json::parse(line, nullptr, false);
  if (!write.is_array() || write.size() != 3 || !write[0].is_number_integer() ||
      !write[1].is_string()) {
    return;
  }
  const auto timestamp_ms = write[0].get<int64_t>();
  const nlohmann::json& value = write[2];
  const auto path = parse_pointer(write[1].get<std::string>());
  if (!path) return;
  check(parse_pointer(to_pointer(*path)) == *path);

  const ConfigTree before = tree;
  const auto changed = tree.merge(component, *path, value, timestamp_ms);
  if (!changed) {
    check(tree == before);
    return;
  }
  // What is said to have changed reads differently, and nothing else does.
  check(before.has(component) ? changed->empty() == before.differences(tree).empty() : true);
  for (const KeyPath& where : *changed) {
    check(read(tree, component, where) != read(before, component, where));
  }
  // The same again changes nothing; a tree survives its persistence; what it prints is JSON.
  const auto again = tree.merge(component, *path, value, timestamp_ms);
  check(again && again->empty());
  check(ConfigTree::from_json(nlohmann::json::parse(tree.to_json().dump()), kLimits) == tree);
  check(nlohmann::json::accept(read(tree, component, {})));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::istringstream lines(std::string(reinterpret_cast<const char*>(data), size));
  ConfigTree tree(kLimits);
  for (std::string line; std::getline(lines, line);) merge_line(tree, line);
  return 0;
}
