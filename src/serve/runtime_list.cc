// The table of runtimes as JSON.
#include "serve/runtime_list.h"

#include <nlohmann/json.hpp>

namespace skerry::serve {

using nlohmann::json;

namespace {

json describe(const runtime::Capabilities& capabilities) {
  json types = json::array();
  for (const tensor::DataType type : capabilities.types) types.push_back(tensor::name_of(type));
  return {{"thread_safe", capabilities.thread_safe},
          {"interruptible", capabilities.interruptible},
          {"several_files", capabilities.several_files},
          {"batching", capabilities.batching},
          {"stateful", capabilities.stateful},
          {"empty_tensors", capabilities.empty_tensors},
          {"wide_integers", capabilities.wide_integers},
          {"counts_memory", capabilities.counts_memory},
          {"types", types}};
}

}  // namespace

std::string to_json(const runtime::Capabilities& capabilities) {
  return describe(capabilities).dump();
}

std::string list_runtimes(const std::vector<std::pair<std::string, std::string>>& libraries) {
  json rows = json::array();
  const auto open = [](json& row, const std::string& library) {
    auto opened = runtime::open_runtime(row["name"].get<std::string>(), library);
    if (opened) row["version"] = (*opened)->version();
    if (opened) row["capabilities"] = describe((*opened)->capabilities());
    if (!opened) row["error"] = opened.error().message();
  };
  for (const runtime::RuntimeKind& kind : runtime::runtime_kinds()) {
    rows.push_back({{"name", kind.name}, {"formats", kind.formats}, {"component", kind.component}});
    if (kind.component.empty()) open(rows.back(), "");
  }
  for (const auto& [name, library] : libraries) {
    auto row = std::ranges::find_if(rows, [&](const json& each) { return each["name"] == name; });
    if (row == rows.end()) {
      rows.push_back({{"name", name}, {"formats", ""}, {"component", ""}});
      row = std::prev(rows.end());
    }
    open(*row, library);
  }
  return rows.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace skerry::serve
