// Whether a step's condition holds on this device.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "formats/recipe.h"
#include "io/files.h"

namespace skerry::nucleus {

// True where the step is to be skipped. `environment` is the step's own: "onpath" looks along its
// PATH, "~/" is its HOME. What is relative is taken from `work_directory`, where scripts start.
bool holds(io::Files& files, const formats::SkipIf& condition,
           const std::vector<std::pair<std::string, std::string>>& environment,
           const std::string& work_directory);

}  // namespace skerry::nucleus
