// Which versions of a model are served side by side, and which of them answers a request that names
// none.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace skerry::serve {

inline constexpr std::string_view kStable = "stable";
inline constexpr std::string_view kCanary = "canary";

struct VersionPolicy {
  int64_t keep = 1;                           // so many of the last that were loaded
  std::map<std::string, std::string> labels;  // of versions, which are kept as well
  int64_t canary_percent = 0;  // of requests that name no version, to the one labelled canary

  bool operator==(const VersionPolicy&) const = default;
  // "" where no label says so.
  std::string label(std::string_view name) const;
  // Whether a version is served on, which is one of the last `keep` or not.
  bool keeps(std::string_view version, bool is_recent) const;
};

// Untrusted: {"keep", "labels": {LABEL: VERSION or null}, "canary_percent"}; what it does not name
// stays. A label is of letters, digits, - and _, and no version's name. kInvalidArgument changes
// nothing.
Result<VersionPolicy> changed_policy(VersionPolicy policy, const nlohmann::json& changes,
                                     std::span<const std::string> versions);
nlohmann::json to_json(const VersionPolicy& policy);

}  // namespace skerry::serve
