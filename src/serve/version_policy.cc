// Policies read, changed and asked.
#include "serve/version_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace skerry::serve {
namespace {

using nlohmann::json;

constexpr int64_t kMaxKept = 16;
constexpr size_t kMaxLabels = 16;
constexpr size_t kMaxLabelBytes = 64;

std::unexpected<Error> invalid_policy(std::string message) {
  return fail(Code::kInvalidArgument, std::move(message));
}

bool is_label(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  };
  return !text.empty() && text.size() <= kMaxLabelBytes && std::ranges::all_of(text, fits);
}

Result<int64_t> number(const json& changes, const char* name, int64_t usual, int64_t least,
                       int64_t most) {
  const auto found = changes.find(name);
  if (found == changes.end()) return usual;
  if (found->is_number_integer()) {
    const auto value = found->get<int64_t>();
    if (value >= least && value <= most) return value;
  }
  return invalid_policy(fmt::format("'{}' must be {} to {}", name, least, most));
}

Result<void> change_label(VersionPolicy& policy, const std::string& label, const json& version,
                          std::span<const std::string> versions) {
  if (version.is_null()) {
    policy.labels.erase(label);
    return {};
  }
  if (!is_label(label) || std::ranges::count(versions, label) > 0) {
    return invalid_policy(
        fmt::format("'{}' cannot be a label: it must be of letters, digits, - and _, "
                    "and no version",
                    label));
  }
  if (!version.is_string() ||
      std::ranges::count(versions, version.get_ref<const std::string&>()) == 0) {
    return invalid_policy(fmt::format("label '{}' must be of a version that is served", label));
  }
  policy.labels[label] = version.get<std::string>();
  if (policy.labels.size() > kMaxLabels) return invalid_policy("a model has too many labels");
  return {};
}

}  // namespace

std::string VersionPolicy::label(std::string_view name) const {
  const auto found = labels.find(std::string(name));
  return found == labels.end() ? "" : found->second;
}

bool VersionPolicy::keeps(std::string_view version, bool is_recent) const {
  return is_recent || std::ranges::any_of(
                          labels, [version](const auto& each) { return each.second == version; });
}

Result<VersionPolicy> changed_policy(VersionPolicy policy, const json& changes,
                                     std::span<const std::string> versions) {
  if (!changes.is_object()) return invalid_policy("the body is not a JSON object");
  for (const auto& [name, value] : changes.items()) {
    if (name != "keep" && name != "labels" && name != "canary_percent") {
      return invalid_policy(fmt::format("'{}' is no part of a policy", name));
    }
  }
  SKERRY_ASSIGN(policy.keep, number(changes, "keep", policy.keep, 1, kMaxKept));
  SKERRY_ASSIGN(policy.canary_percent,
                number(changes, "canary_percent", policy.canary_percent, 0, 100));
  const json labels = changes.value("labels", json::object());
  if (!labels.is_object())
    return invalid_policy("'labels' must be an object of labels and versions");
  for (const auto& [label, version] : labels.items()) {
    SKERRY_TRY(change_label(policy, label, version, versions));
  }
  return policy;
}

json to_json(const VersionPolicy& policy) {
  return {
      {"keep", policy.keep}, {"labels", policy.labels}, {"canary_percent", policy.canary_percent}};
}

}  // namespace skerry::serve
