// Parts of `skerry model`.
#pragma once

#include <string>

#include "cli/command.h"

namespace skerry::cli {

// Of a version in the fleet's API.
std::string model_path(const std::string& component, const std::string& version);

void add_model_publish(CLI::App& model, Session& session);

}  // namespace skerry::cli
