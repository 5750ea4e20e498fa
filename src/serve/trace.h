// The protocol's trace settings: of how many requests the times are logged, for all models and for
// single ones. A trace is a line of the log, "trace: request" with the times of each step.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "serve/stats.h"

namespace skerry::serve {

// Belongs to the loop's thread.
class Trace {
 public:
  // As the protocol has them. `model`: "" for all models'; a model without settings of its own has
  // those.
  nlohmann::json settings(std::string_view model) const;
  // Untrusted. Members that are not named stay, null goes back to the default (of a model: to what
  // all have). kInvalidArgument and kUnsupported change nothing.
  Result<void> update(const std::string& model, const nlohmann::json& changes);
  void forget(std::string_view model);  // it is not served any more

  // Logs a request's times where it is one of those to be traced.
  void note(std::string_view model, std::string_view version, std::string_view id,
            const RequestTimes& times) {
    if (tracing_) note_slowly(model, version, id, times);
  }

 private:
  struct Settings {
    bool timestamps = false;
    uint64_t rate = 1000;          // one of so many
    std::optional<uint64_t> left;  // so many more; nothing: no end
    uint64_t seen = 0;
  };

  void note_slowly(std::string_view model, std::string_view version, std::string_view id,
                   const RequestTimes& times);

  bool tracing_ = false;
  Settings all_;
  std::map<std::string, Settings, std::less<>> models_;
};

}  // namespace skerry::serve
