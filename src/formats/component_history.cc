// Component histories.
#include "formats/component_history.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "formats/names.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

constexpr int64_t kFormat = 1;
constexpr size_t kMaxRunLength = 64;
constexpr int64_t kMaxCount = int64_t{1} << 53;

Result<void> read_count(const Node& node, std::string_view key, int64_t& out) {
  SKERRY_ASSIGN(auto member, node.find(key));
  if (!member) return {};
  SKERRY_ASSIGN(out, member->as_integer());
  if (out >= 0 && out <= kMaxCount) return {};
  return member->wrong(fmt::format("must be 0 to {}", kMaxCount));
}

Result<ComponentName> read_name(const Node& node) {
  SKERRY_ASSIGN(auto member, node.require("componentName"));
  SKERRY_ASSIGN(const std::string text, member.as_string());
  auto name = parse_component_name(text);
  if (!name) return member.wrong(name.error().message());
  return *std::move(name);
}

Result<void> read_tallies(const Node& node, ComponentHistory& history) {
  SKERRY_ASSIGN(auto components, node.find("components"));
  if (!components) return {};
  SKERRY_ASSIGN(auto elements, components->elements());
  if (elements.size() > kMaxTallies) {
    return components->wrong(
        fmt::format("has {} components, at most {}", elements.size(), kMaxTallies));
  }
  std::set<ComponentName> seen;
  for (const Node& each : elements) {
    ComponentTally tally;
    SKERRY_ASSIGN(tally.name, read_name(each));
    if (!seen.insert(tally.name).second) return each.wrong("stands here twice");
    SKERRY_TRY(read_count(each, "errors", tally.errors));
    SKERRY_TRY(read_count(each, "restarts", tally.restarts));
    history.tallies.push_back(std::move(tally));
  }
  return {};
}

}  // namespace

json to_json(const ComponentFailure& failure) {
  return {{"componentName", failure.name.str()},
          {"version", failure.version},
          {"code", failure.code},
          {"reason", failure.reason},
          {"timestamp", failure.at_ms},
          {"log", failure.log}};
}

json to_json(const ComponentHistory& history) {
  json components = json::array();
  for (const ComponentTally& tally : history.tallies) {
    components.push_back({{"componentName", tally.name.str()},
                          {"errors", tally.errors},
                          {"restarts", tally.restarts}});
  }
  json result = {{"format", kFormat}, {"run", history.run}, {"components", std::move(components)}};
  if (history.last_failure) result["lastFailure"] = to_json(*history.last_failure);
  return result;
}

Result<ComponentFailure> parse_component_failure(const Node& node) {
  ComponentFailure failure;
  SKERRY_ASSIGN(failure.name, read_name(node));
  SKERRY_TRY(node.read("version", failure.version));
  SKERRY_TRY(node.read("code", failure.code));
  SKERRY_TRY(node.read("reason", failure.reason));
  SKERRY_TRY(read_count(node, "timestamp", failure.at_ms));
  SKERRY_ASSIGN(auto log, node.find("log"));
  if (!log) return failure;
  SKERRY_ASSIGN(failure.log, log->as_string_list());
  if (failure.log.size() <= kMaxLogLines) return failure;
  return log->wrong(fmt::format("has {} lines, at most {}", failure.log.size(), kMaxLogLines));
}

Result<std::optional<ComponentHistory>> parse_component_history(const Node& node) {
  int64_t format = 0;
  SKERRY_TRY(node.read("format", format));
  if (format != kFormat) return std::optional<ComponentHistory>();
  ComponentHistory history;
  SKERRY_ASSIGN(auto run, node.require("run"));
  SKERRY_ASSIGN(history.run, run.as_string());
  if (history.run.empty() || history.run.size() > kMaxRunLength) {
    return run.wrong(fmt::format("must have 1 to {} characters", kMaxRunLength));
  }
  SKERRY_TRY(read_tallies(node, history));
  SKERRY_ASSIGN(auto failure, node.find("lastFailure"));
  if (failure) {
    SKERRY_ASSIGN(history.last_failure, parse_component_failure(*failure));
  }
  return std::optional(std::move(history));
}

}  // namespace skerry::formats
