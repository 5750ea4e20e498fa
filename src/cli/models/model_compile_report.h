// What skerry model compile says about what it made.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "cli/command.h"
#include "compile/compiler.h"

namespace skerry::cli {

struct CompileSummary {
  std::string out;
  std::vector<const compile::Target*> targets;
  bool explain = false;
};

// One object with --json; tables for people otherwise.
void print_compile_report(const Session& session, const CompileSummary& summary,
                          const compile::CompileReport& report);

// Of a report with a profile.
std::string roofline_svg(const compile::CompileReport& report);

}  // namespace skerry::cli
