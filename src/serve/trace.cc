// Settings read and written, requests counted.
#include "serve/trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/log.h"

namespace skerry::serve {
namespace {

using nlohmann::json;

constexpr size_t kMaxTracedModels = 1000;
constexpr size_t kMaxIdBytes = 128;  // of a caller's id in the log

std::unexpected<Error> invalid_setting(std::string_view name, std::string_view expected) {
  return fail(Code::kInvalidArgument, fmt::format("'{}' must be {}", name, expected));
}

// 17 or "17": the stock clients send both.
std::optional<int64_t> number_of(const json& value) {
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_string()) return std::nullopt;
  const auto& text = value.get_ref<const std::string&>();
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Whether ["TIMESTAMPS"] or ["OFF"].
Result<bool> level_of(const json& value) {
  const json levels = value.is_string() ? json::array({value}) : value;
  if (!levels.is_array() || levels.empty()) {
    return invalid_setting("trace_level", "a list of OFF or TIMESTAMPS");
  }
  bool timestamps = false;
  for (const json& level : levels) {
    if (level == "TENSORS") {
      return fail(Code::kUnsupported, "tensors are not traced; trace_level takes TIMESTAMPS");
    }
    if (level != "OFF" && level != "TIMESTAMPS") {
      return invalid_setting("trace_level", "a list of OFF or TIMESTAMPS");
    }
    timestamps = timestamps || level == "TIMESTAMPS";
  }
  return timestamps;
}

}  // namespace

json Trace::settings(std::string_view model) const {
  const auto own = models_.find(model);
  const Settings& settings = own == models_.end() ? all_ : own->second;
  return {{"trace_level", json::array({settings.timestamps ? "TIMESTAMPS" : "OFF"})},
          {"trace_rate", std::to_string(settings.rate)},
          {"trace_count", settings.left ? std::to_string(*settings.left) : "-1"},
          {"log_frequency", "0"},
          {"trace_file", ""},
          {"trace_mode", "log"}};
}

Result<void> Trace::update(const std::string& model, const json& changes) {
  if (!changes.is_object()) return invalid_setting("the body", "a JSON object");
  const auto own = models_.find(model);
  Settings next = own == models_.end() ? all_ : own->second;
  const Settings usual = model.empty() ? Settings{} : all_;
  for (const auto& [name, value] : changes.items()) {
    if (name == "trace_level") {
      next.timestamps = usual.timestamps;
      if (!value.is_null()) {
        SKERRY_ASSIGN(next.timestamps, level_of(value));
      }
    } else if (name == "trace_rate") {
      const auto rate = value.is_null() ? static_cast<int64_t>(usual.rate) : number_of(value);
      if (!rate || *rate < 1) return invalid_setting(name, "a number of 1 or more");
      next.rate = static_cast<uint64_t>(*rate);
    } else if (name == "trace_count") {
      const auto count = value.is_null() ? -1 : number_of(value);
      if (!count || *count < -1) return invalid_setting(name, "a number, or -1 for no end");
      next.left = *count < 0 ? std::nullopt : std::optional(static_cast<uint64_t>(*count));
    } else if (!value.is_null() && value != "" && value != "0" && value != 0) {
      return fail(Code::kUnsupported,
                  fmt::format("trace setting '{}' is not supported: traces go to the log", name));
    }
  }
  next.seen = 0;
  if (!model.empty() && own == models_.end() && models_.size() == kMaxTracedModels) {
    return fail(Code::kResourceExhausted, "too many models have trace settings of their own");
  }
  (model.empty() ? all_ : models_[model]) = next;
  tracing_ = all_.timestamps ||
             std::ranges::any_of(models_, [](const auto& each) { return each.second.timestamps; });
  return {};
}

void Trace::forget(std::string_view model) {
  const auto own = models_.find(model);
  if (own != models_.end()) models_.erase(own);
}

void Trace::note_slowly(std::string_view model, std::string_view version, std::string_view id,
                        const RequestTimes& times) {
  const auto own = models_.find(model);
  Settings& settings = own == models_.end() ? all_ : own->second;
  if (!settings.timestamps || settings.left == 0u) return;
  if (++settings.seen < settings.rate) return;
  settings.seen = 0;
  if (settings.left) --*settings.left;
  log::write(log::Level::kInfo, "trace", "request",
             {{"model", std::string(model)},
              {"version", std::string(version)},
              {"id", std::string(id.substr(0, kMaxIdBytes))},
              {"input_ns", std::to_string(times.input_ns)},
              {"queue_ns", std::to_string(times.queue_ns)},
              {"infer_ns", std::to_string(times.infer_ns)},
              {"output_ns", std::to_string(times.output_ns)}});
}

}  // namespace skerry::serve
