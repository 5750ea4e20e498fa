// Step by step against the machine's limits, and where the bytes are.
#include "cli/models/model_compile_report.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/models/model_graph.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text.append(text.empty() ? "" : ", ").append(word);
  return text;
}

std::string names_of(const std::vector<const compile::Target*>& targets) {
  std::vector<std::string> names;
  for (const compile::Target* target : targets) names.emplace_back(target->name);
  return joined(names);
}

json limits_json(const compile::MachineLimits& limits) {
  json reads = json::array();
  for (const auto& read : limits.reads) {
    reads.push_back({{"sizeBytes", read.size_bytes}, {"bytesPerUs", read.bytes_per_us}});
  }
  return {{"macsPerUs", limits.macs_per_us},
          {"byteMacsPerUs", limits.byte_macs_per_us},
          {"reads", std::move(reads)}};
}

json report_json(const compile::CompileReport& report, const CompileSummary& summary) {
  json steps = json::array();
  for (size_t i = 0; i < report.steps.size(); ++i) {
    const compile::StepReport& step = report.steps[i];
    json each = {{"kernel", step.kernel},
                 {"instructions", step.instructions},
                 {"nodes", step.nodes},
                 {"macs", step.macs},
                 {"constantBytes", step.constant_bytes},
                 {"valueBytes", step.value_bytes},
                 {"shares", step.shares},
                 {"plainLoops", step.is_reference}};
    if (!step.way.empty()) {
      each["way"] = step.way;
      each["tuned"] = step.is_tuned;
    }
    if (report.profile) {
      each["us"] = report.profile->step_us[i];
      each["limitUs"] = report.profile->limit_us[i];
    }
    steps.push_back(std::move(each));
  }
  json result = {{"artifact", summary.out},
                 {"target", names_of(summary.targets)},
                 {"artifactBytes", report.artifact_bytes},
                 {"constantBytes", report.constant_bytes},
                 {"weightBytes", report.weight_bytes},
                 {"codeBytes", report.sizes.code},
                 {"readOnlyBytes", report.sizes.read_only + report.sizes.relocated},
                 {"writableBytes", report.sizes.writable},
                 {"arenaBytes", report.arena_bytes},
                 {"arenaLowerBound", report.arena_lower_bound},
                 {"stateBytes", report.state_bytes},
                 {"compilerSeconds", report.compiler_seconds},
                 {"checked", report.checked},
                 {"sharing", report.sharing},
                 {"tuning", report.tuning},
                 {"steps", std::move(steps)}};
  if (report.profile) {
    result["runUs"] = report.profile->run_us;
    result["limits"] = limits_json(report.profile->limits);
  } else if (!report.not_measured.empty()) {
    result["notMeasured"] = report.not_measured;
  }
  return result;
}

std::string share_text(double limit_us, double us) {
  return us > 0 ? fmt::format("{:.0f} %", 100 * limit_us / us) : "";
}

void print_steps(const Session& session, const compile::CompileReport& report) {
  const auto& profile = report.profile;
  Table table{{"STEP", "KERNEL", "CODE", "MACS", "BYTES"}, {}};
  if (profile) table.heading.insert(table.heading.end(), {"US", "LIMIT", "REACHED"});
  table.heading.emplace_back("NODES");
  double limits = 0;
  for (size_t i = 0; i < report.steps.size(); ++i) {
    const compile::StepReport& step = report.steps[i];
    const bool is_loop = step.is_reference || step.kernel == "loop" || step.kernel == "copy";
    std::vector<std::string> row = {
        std::to_string(i), step.kernel + (step.is_tuned ? " (tuned)" : ""),
        step.is_reference ? "FALLBACK: plain loops"
        : is_loop         ? "loops"
                          : step.instructions,
        count_text(step.macs), bytes_text(step.constant_bytes + step.value_bytes)};
    if (profile) {
      limits += profile->limit_us[i];
      row.push_back(fmt::format("{:.2f}", profile->step_us[i]));
      row.push_back(fmt::format("{:.2f}", profile->limit_us[i]));
      row.push_back(share_text(profile->limit_us[i], profile->step_us[i]));
    }
    row.push_back(joined(step.nodes));
    table.rows.push_back(std::move(row));
  }
  if (profile) {
    table.rows.push_back({"all", "", "", "", "", fmt::format("{:.2f}", profile->run_us),
                          fmt::format("{:.2f}", limits), share_text(limits, profile->run_us), ""});
  }
  session.output.print_table(table);
  if (profile) {
    std::string reads;
    for (const size_t size : {16u << 10, 512u << 10, 32u << 20}) {
      reads += fmt::format("{} {:.0f} bytes a ns from {}", reads.empty() ? "" : ",",
                           profile->limits.bytes_per_us(size) / 1e3,
                           bytes_text(static_cast<int64_t>(size)));
    }
    session.output.print_line(fmt::format(
        "Limits of one core here, measured: {:.0f} FP32 and {:.0f} INT8 multiply-adds a ns; "
        "reads{}",
        profile->limits.macs_per_us / 1e3, profile->limits.byte_macs_per_us / 1e3, reads));
  } else {
    session.output.print_line("Times are not measured: " + report.not_measured);
  }
  session.output.print_line("");
}

}  // namespace

void print_compile_report(const Session& session, const CompileSummary& summary,
                          const compile::CompileReport& report) {
  if (session.output.json) {
    session.output.print_json(report_json(report, summary));
    return;
  }
  if (summary.explain) print_steps(session, report);
  Table table{{"COMPILED", summary.out}, {}};
  const auto bytes = [](size_t count) { return bytes_text(static_cast<int64_t>(count)); };
  for (const compile::Target* target : summary.targets) {
    table.rows.push_back({"target", std::string(target->name) + ": " + std::string(target->what)});
  }
  table.rows.push_back({"artifact", bytes(report.artifact_bytes)});
  table.rows.push_back({"  weights", bytes(report.weight_bytes)});
  table.rows.push_back({"  code", bytes(report.sizes.code)});
  // Alignment, names, tables and what the self-check compares with.
  table.rows.push_back({"  the rest", bytes(report.artifact_bytes -
                                            std::min(report.artifact_bytes,
                                                     report.weight_bytes + report.sizes.code))});
  table.rows.push_back({"memory", bytes(report.arena_bytes) + "; no plan needs less than " +
                                      bytes(report.arena_lower_bound)});
  if (report.state_bytes > 0) table.rows.push_back({"state", bytes(report.state_bytes)});
  if (!report.tuning.empty()) table.rows.push_back({"tuning", report.tuning});
  if (!report.sharing.empty()) table.rows.push_back({"threads", report.sharing});
  table.rows.push_back({"checked", report.checked.empty()
                                       ? "no: too large for the reference executor"
                                       : report.checked});
  size_t plain = 0;
  for (const compile::StepReport& step : report.steps) plain += step.is_reference ? 1 : 0;
  table.rows.push_back({"steps", std::to_string(report.steps.size()) +
                                     (plain == 0 ? ""
                                                 : ", " + std::to_string(plain) +
                                                       " as plain loops (--explain names them)")});
  session.output.print_table(table);
}

}  // namespace skerry::cli
