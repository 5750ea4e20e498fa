// Variables in scripts: {artifacts:path}, {configuration:/a/b}, {com.example.Model:artifacts:path}.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace skerry::formats {

// The value of {NS:KEY}, where `dependency` is empty, or of {DEPENDENCY:NS:KEY}.
using VariableLookup = std::function<std::optional<std::string>(
    std::string_view dependency, std::string_view name_space, std::string_view key)>;

// `script` with every variable replaced that `lookup` knows; others stay as they are written.
// Values are not searched again for variables.
std::string interpolate(std::string_view script, const VariableLookup& lookup);

// What {configuration:POINTER} stands for: a string as it is, anything else as compact JSON.
std::optional<std::string> configuration_text(const nlohmann::json& root, std::string_view pointer);

}  // namespace skerry::formats
