// --log-level and --log-json, which every program has.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/log.h"

namespace skerry {

class LogOptions {
 public:
  // `app` must not outlive this.
  void add_to(CLI::App& app) {
    app.add_option("--log-level", level_, "debug, info, warn or error")
        ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
        ->capture_default_str();
    app.add_flag("--log-json", json_, "One JSON object a log line");
  }
  void apply() const {
    log::configure(log::parse_level(level_), json_ ? log::Format::kJson : log::Format::kText);
  }

 private:
  std::string level_ = "info";
  bool json_ = false;
};

}  // namespace skerry
