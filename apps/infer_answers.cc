// Tables and sentences of what a running skerry-infer has answered.
#include "infer_answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace skerry::serve {
namespace {

using nlohmann::json;

void print_index(const json& rows) {
  if (rows.empty()) return fmt::print("no model is loaded\n");
  size_t name_width = 4;
  size_t version_width = 7;
  for (const json& row : rows) {
    name_width = std::max(name_width, row.value("name", "").size());
    version_width = std::max(version_width, row.value("version", "").size());
  }
  const auto line = [&](std::string_view name, std::string_view version, std::string_view state,
                        std::string_view memory, std::string_view reason) {
    std::string text = fmt::format("{:<{}}  {:<{}}  {:<11}  {:>9}  {}", name, name_width, version,
                                   version_width, state, memory, reason);
    text.erase(text.find_last_not_of(' ') + 1);
    fmt::print("{}\n", text);
  };
  line("NAME", "VERSION", "STATE", "MEMORY", "REASON");
  for (const json& row : rows) {
    const double memory_mb = row.value("memory_bytes", 0.0) / (1 << 20);
    line(row.value("name", ""), row.value("version", ""), row.value("state", ""),
         memory_mb > 0 ? fmt::format("{:.1f} MiB", memory_mb) : "", row.value("reason", ""));
  }
}

void print_runtimes(const json& rows) {
  for (const json& row : rows) {
    fmt::print("{} {}\n", row.value("name", ""), row.value("version", ""));
    const auto line = [](std::string_view key, const std::string& value) {
      if (!value.empty()) fmt::print("  {:<10} {}\n", key, value);
    };
    line("library", row.value("library", ""));
    line("component", row.value("component", ""));
    line("source", row.value("registered", false) ? "registered" : "given when it was started");
    const double memory_mb = row.value("memory_bytes", 0.0) / (1 << 20);
    line("memory", memory_mb > 0 ? fmt::format("{:.1f} MiB", memory_mb) : "");
    std::string models;
    for (const json& model : row.value("models", json::array())) {
      models += (models.empty() ? "" : ", ") + model.get<std::string>();
    }
    line("models", models);
    line("unusable", row.value("reason", ""));
  }
}

void print_policy(const json& policy) {
  fmt::print("the last {} served; {} % of requests to the canary\n", policy.value("keep", 1),
             policy.value("canary_percent", 0));
  for (const auto& [label, version] : policy.value("labels", json::object()).items()) {
    fmt::print("  {:<10} {}\n", label, version.get<std::string>());
  }
}

}  // namespace

void print_answer(const std::string& command, const std::string& name, const std::string& body) {
  const json answer = json::parse(body, nullptr, false);
  if (command == "list") return print_index(answer);
  if (command == "runtime list") return print_runtimes(answer);
  if (command == "runtime add") {
    return fmt::print("{} {} is registered\n", name, answer.value("version", ""));
  }
  if (command == "runtime remove") return fmt::print("{} is forgotten\n", name);
  if (command == "policy") return print_policy(answer);
  if (command == "unload") return fmt::print("{} is unloaded\n", name);
  const std::string previous = answer.value("previous_version", "");
  fmt::print("{} version {} is served{}\n", name, answer.value("version", ""),
             previous.empty() ? "" : fmt::format(", version {} before", previous));
}

// "" where nothing is to be changed.

}  // namespace skerry::serve
