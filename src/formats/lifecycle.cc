// Lifecycles: selection and steps.
#include "formats/lifecycle.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "formats/limits.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

constexpr std::string_view kAllPlatforms = "all";

struct StepRule {
  StepKind kind;
  std::string_view key;
  int64_t default_timeout_s;  // 0: no limit
};

constexpr std::array<StepRule, 7> kSteps = {{
    {StepKind::kBootstrap, "Bootstrap", 120},
    {StepKind::kInstall, "Install", 120},
    {StepKind::kStartup, "Startup", 120},
    {StepKind::kRun, "Run", 0},
    {StepKind::kShutdown, "Shutdown", 15},
    {StepKind::kRecover, "Recover", 60},
    {StepKind::kUninstall, "Uninstall", 120},
}};

bool is_one_of(std::string_view key, std::span<const std::string> names) {
  return equal_ignoring_case(key, kAllPlatforms) ||
         std::ranges::any_of(names, [&](const auto& n) { return equal_ignoring_case(n, key); });
}

const json* find_selected(const json& map, std::span<const std::string> selections) {
  const auto find = [&](std::string_view wanted) -> const json* {
    for (const auto& [key, value] : map.items()) {
      if (equal_ignoring_case(key, wanted) && !value.is_null()) return &value;
    }
    return nullptr;
  };
  for (const std::string& selection : selections) {
    if (const json* value = find(selection)) return value;
  }
  return find(kAllPlatforms);
}

std::string_view trim_left(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  return begin == std::string_view::npos ? std::string_view() : text.substr(begin);
}

Result<SkipIf> parse_skip_if(const Node& node) {
  SKERRY_ASSIGN(const std::string text, node.as_string());
  SkipIf skip;
  std::string_view rest = trim_left(text);
  if (rest.starts_with('!')) {
    skip.negated = true;
    rest = trim_left(rest.substr(1));
  }
  const std::string_view word = rest.substr(0, rest.find_first_of(" \t"));
  std::string_view argument = trim_left(rest.substr(word.size()));
  argument = argument.substr(0, argument.find_last_not_of(" \t\r\n") + 1);
  skip.argument = argument;
  if (equal_ignoring_case(word, "exists")) {
    skip.kind = SkipIf::Kind::kExists;
  } else if (!equal_ignoring_case(word, "onpath")) {
    return node.wrong(
        fmt::format("'{}' is not of the form [!]onpath PROGRAM or [!]exists FILE", text));
  }
  if (argument.empty()) return node.wrong("names no program or file");
  return skip;
}

Result<std::map<std::string, std::string>> parse_setenv(const Node& node) {
  SKERRY_ASSIGN(auto variables, node.as_text_map());
  for (const auto& [name, value] : variables) {
    if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != std::string::npos) {
      return node.wrong(fmt::format("'{}' cannot be the name of an environment variable", name));
    }
  }
  return variables;
}

// Nothing where the step has no script.
Result<std::optional<Step>> parse_step(const Node& node, const StepRule& rule) {
  Step step;
  if (rule.default_timeout_s > 0) step.timeout = std::chrono::seconds(rule.default_timeout_s);
  if (node.is_string()) {
    SKERRY_ASSIGN(step.script, node.as_string());
  } else {
    if (!node.is_object()) return node.wrong("must be a script or an object with a Script");
    SKERRY_TRY(node.read("Script", step.script));
    SKERRY_TRY(node.read("RequiresPrivilege", step.requires_privilege));
    SKERRY_ASSIGN(auto skip_if, node.find("Skipif"));
    if (skip_if) {
      SKERRY_ASSIGN(step.skip_if, parse_skip_if(*skip_if));
    }
    SKERRY_ASSIGN(auto timeout, node.find("Timeout"));
    if (timeout) {
      SKERRY_ASSIGN(const int64_t seconds, timeout->as_integer());
      if (seconds < 1 || seconds > kMaxTimeoutSeconds) {
        return timeout->wrong(fmt::format("must be 1 to {} seconds", kMaxTimeoutSeconds));
      }
      step.timeout = std::chrono::seconds(seconds);
    }
    SKERRY_ASSIGN(auto setenv, node.find("Setenv"));
    if (setenv) {
      SKERRY_ASSIGN(step.setenv, parse_setenv(*setenv));
    }
  }
  if (step.script.empty()) return std::nullopt;
  return step;
}

}  // namespace

std::string_view name_of(StepKind kind) {
  const auto rule = std::ranges::find(kSteps, kind, &StepRule::kind);
  return rule == kSteps.end() ? std::string_view() : rule->key;
}

const Step* Lifecycle::find(StepKind kind) const {
  auto step = steps.find(kind);
  return step == steps.end() ? nullptr : &step->second;
}

json select_lifecycle(const json& lifecycle, std::span<const std::string> selectors,
                      std::span<const std::string> selections) {
  if (!lifecycle.is_object()) return lifecycle;
  const bool is_selection = std::ranges::any_of(
      lifecycle.items(), [&](const auto& item) { return is_one_of(item.key(), selectors); });
  if (is_selection) {
    const json* selected = find_selected(lifecycle, selections);
    return selected == nullptr ? json() : select_lifecycle(*selected, selectors, selections);
  }
  json result = json::object();
  for (const auto& [key, value] : lifecycle.items()) {
    json selected = select_lifecycle(value, selectors, selections);
    if (!selected.is_null()) result[key] = std::move(selected);
  }
  return result;
}

Result<Lifecycle> parse_lifecycle(const Node& node) {
  std::map<std::string, std::string> shared_setenv;
  SKERRY_ASSIGN(auto setenv, node.find("Setenv"));
  if (setenv) {
    SKERRY_ASSIGN(shared_setenv, parse_setenv(*setenv));
  }
  Lifecycle lifecycle;
  for (const StepRule& rule : kSteps) {
    SKERRY_ASSIGN(auto step_node, node.find(rule.key));
    if (!step_node) continue;
    SKERRY_ASSIGN(auto step, parse_step(*step_node, rule));
    if (!step) continue;
    step->setenv.insert(shared_setenv.begin(), shared_setenv.end());
    lifecycle.steps.emplace(rule.kind, *std::move(step));
  }
  if (lifecycle.steps.contains(StepKind::kStartup)) lifecycle.steps.erase(StepKind::kRun);
  return lifecycle;
}

}  // namespace skerry::formats
