// What has happened to a device's components since its nucleus started: our part of a fleet status
// (docs/data/component-history.md). Stock nuclei do not have it, and stock clouds ignore it.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/named_type.h"
#include "formats/node.h"

namespace skerry::formats {

// Counted since the nucleus started, whatever version the component had.
struct ComponentTally {
  ComponentName name;
  int64_t errors = 0;    // attempts to install, start or run it that failed
  int64_t restarts = 0;  // starts after such a failure, its own or that of what it needs

  bool operator==(const ComponentTally&) const = default;
};

struct ComponentFailure {
  ComponentName name;
  std::string version;
  std::string code;              // "RUN_ERROR", …; may be empty
  std::string reason;            // for people
  int64_t at_ms = 0;             // by the device's clock
  std::vector<std::string> log;  // the last lines that it wrote before, oldest first

  bool operator==(const ComponentFailure&) const = default;
};

struct ComponentHistory {
  std::string run;                      // another one each time the nucleus starts
  std::vector<ComponentTally> tallies;  // of those that have failed or been started again
  std::optional<ComponentFailure> last_failure;

  bool operator==(const ComponentHistory&) const = default;
};

inline constexpr size_t kMaxTallies = 1'000;
inline constexpr size_t kMaxLogLines = 100;

nlohmann::json to_json(const ComponentHistory& history);
nlohmann::json to_json(const ComponentFailure& failure);
// Untrusted. Nothing where it is of a format that this version does not know.
Result<std::optional<ComponentHistory>> parse_component_history(const Node& node);
Result<ComponentFailure> parse_component_failure(const Node& node);

}  // namespace skerry::formats
