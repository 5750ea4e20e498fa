// For tests: a configuration store whose records are written at once.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "nucleus/config_store.h"

namespace skerry::nucleus {

inline ConfigStore::Persister persist_at_once(
    std::function<Result<void>(const std::string&)> persist = [](const std::string&) {
      return Result<void>();
    }) {
  return [persist = std::move(persist)](const std::string& record, const auto& done) {
    done(persist(record));
  };
}

// A change that is made, or refused, when it returns.
inline Result<std::vector<KeyPath>> update_now(ConfigStore& store, const ComponentName& component,
                                               const KeyPath& path, const nlohmann::json& value,
                                               int64_t timestamp_ms) {
  std::optional<Result<std::vector<KeyPath>>> result;
  store.update(component, path, value, timestamp_ms,
               [&](Result<std::vector<KeyPath>> changed) { result = std::move(changed); });
  SKERRY_CHECK(result.has_value(), "the store writes at once");
  return std::move(*result);
}

}  // namespace skerry::nucleus
