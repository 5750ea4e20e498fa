// Who may ask the inference service for what, and how often: the document of `--access`
// (docs/data/access.md), read into typed rules.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace skerry::serve {

// What a request asks for; each endpoint has one (http_api.cc).
enum class Right : uint8_t {
  kHealth,  // whether the server lives and is ready: everybody's, without limits
  kRead,    // models, their configuration and statistics, settings
  kInfer,
  kMetrics,  // of all models, for Prometheus
  kSharedMemory,
  kRepository,  // loads, unloads, policies: a model runs with the server's rights
  kSettings,    // tracing and logging
  kRuntimes,    // code that runs in the server
  kForward,     // speak for those that a Forwarded header names, as skerry-infer-grpc does
};

std::string_view right_name(Right right);

class Rights {
 public:
  static Rights all() { return Rights(~uint32_t{0}); }

  Rights() = default;
  void add(Right right) { bits_ |= bit(right); }
  bool has(Right right) const { return right == Right::kHealth || (bits_ & bit(right)) != 0; }

 private:
  explicit Rights(uint32_t bits) : bits_(bits) {}
  static uint32_t bit(Right right) { return uint32_t{1} << static_cast<unsigned>(right); }

  uint32_t bits_ = 0;
};

// 0: no limit.
struct RateLimit {
  double requests_per_s = 0;
  double burst = 0;  // that come at once after a pause; at least 1 where there is a rate
  uint32_t concurrent = 0;

  bool is_set() const { return requests_per_s > 0 || concurrent > 0; }
};

struct AccessRule {
  std::string name;  // for messages: "line-3", "uid 1001", "anonymous"
  Rights rights;
  std::vector<std::string> models;  // names, or beginnings with '*' behind them; empty: all
  RateLimit limit;

  bool may_use(std::string_view model) const;
};

struct AccessRules {
  std::vector<AccessRule> clients;
  std::map<std::string, size_t, std::less<>> tokens;  // SHA-256, 32 raw bytes → of `clients`
  std::map<int64_t, size_t> users;                    // uid → of `clients`
  AccessRule anonymous;  // whoever has no token and is no such user; limits count by address
};

// kInvalidArgument names the member that is wrong, and what would be right.
Result<AccessRules> parse_access_rules(std::string_view json_text);

}  // namespace skerry::serve
