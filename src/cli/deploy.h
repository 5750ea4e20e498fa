// What `skerry deploy` does, for commands that end in a deployment.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/command.h"

namespace skerry::cli {

struct DeployOptions {
  std::string group, thing;
  std::vector<std::string> components;  // NAME=VERSION
  std::vector<std::string> configs;     // NAME=JSON
  std::string file;
  std::string rollout;  // file of a rollout document
  std::string name;
  bool keep = false;
  bool empty = false;
  bool wait = false;
  int64_t timeout_s = 600;
};

// Creates the deployment and prints it; with `wait`, once all devices have ended it.
Result<void> deploy(const Session& session, const DeployOptions& options);

}  // namespace skerry::cli
