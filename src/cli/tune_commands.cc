// skerry cascade tune, skerry filter tune: thresholds with a promise, from labelled data; skerry
// filter run: a filter over a file of items.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cmath>
#include <deque>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/hybrid_commands.h"
#include "cli/local_files.h"
#include "cli/number_table.h"
#include "hybrid/confidence.h"
#include "hybrid/filter.h"
#include "hybrid/risk.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

struct TuneOptions {
  std::string data, config, in = "-", out = "-";
  double risk = 0.02, recall = 0.95, confidence = 0.95;
  std::string by = "max";
  double temperature = 0;
  uint64_t found = 0, unflagged = 0, sampled = 0, missed = 0;
};

struct Calibration {
  std::vector<hybrid::CascadeItem> items;
  double temperature = 1;
};

// Confidences and the smaller model's classes: from columns that say so, or from its logits.
Result<Calibration> calibration_of(const NumberTable& table, const TuneOptions& options) {
  SKERRY_ASSIGN(const auto* labels, table.column("label"));
  SKERRY_ASSIGN(const auto* bigger, table.column("bigger"));
  Calibration calibration;
  std::vector<double> confidences, smaller;
  std::vector<const std::vector<double>*> logits;
  while (const auto* column = table.find(fmt::format("logit_{}", logits.size()))) {
    logits.push_back(column);
  }
  if (logits.empty()) {
    SKERRY_ASSIGN(const auto* classes, table.column("smaller"));
    SKERRY_ASSIGN(const auto* given, table.column("confidence"));
    smaller = *classes;
    confidences = *given;
  } else {
    std::vector<double> flat;
    std::vector<size_t> classes;
    for (size_t row = 0; row < table.rows(); ++row) {
      for (const auto* column : logits) flat.push_back((*column)[row]);
      const double label = (*labels)[row];
      if (!(label >= 0 && label < static_cast<double>(logits.size()))) {
        return fail(Code::kInvalidArgument, fmt::format("row {}: the label is no class", row + 1));
      }
      classes.push_back(static_cast<size_t>(label));
    }
    const auto measure = hybrid::find_measure(options.by);
    calibration.temperature = options.temperature > 0
                                  ? options.temperature
                                  : hybrid::fit_temperature(flat, logits.size(), classes);
    for (size_t row = 0; row < table.rows(); ++row) {
      const std::span<const double> scores(flat.data() + row * logits.size(), logits.size());
      smaller.push_back(static_cast<double>(hybrid::winner_of(scores)));
      confidences.push_back(
          hybrid::confidence_of(*measure, {scores, true}, calibration.temperature));
    }
  }
  for (size_t row = 0; row < table.rows(); ++row) {
    calibration.items.push_back(
        {confidences[row], smaller[row] == (*labels)[row], (*bigger)[row] == (*labels)[row]});
  }
  return calibration;
}

Result<void> tune_cascade(const Session& session, const TuneOptions& options) {
  SKERRY_ASSIGN(const NumberTable table, read_number_table(options.data));
  SKERRY_ASSIGN(Calibration calibration, calibration_of(table, options));
  const size_t count = calibration.items.size();
  SKERRY_ASSIGN(const auto tuned, hybrid::tune_cascade(std::move(calibration.items), options.risk,
                                                       1 - options.confidence));
  json answer = {{"items", count},
                 {"by", options.by},
                 {"temperature", calibration.temperature},
                 {"risk", tuned.risk},
                 {"escalated", tuned.escalated},
                 {"accuracy", tuned.accuracy},
                 {"smallerAccuracy", tuned.smaller_accuracy},
                 {"biggerAccuracy", tuned.bigger_accuracy}};
  // Where nothing can be promised but by asking always, a threshold that nothing reaches.
  answer["threshold"] = std::isfinite(tuned.threshold) ? tuned.threshold : 1e300;
  if (session.output.json) {
    session.output.print_json(answer);
    return {};
  }
  session.output.print_line(fmt::format(
      "threshold {:.6g} with confidence by {} at temperature {:.4g}\n"
      "at most {} of items lose a right answer, with probability {} ({:.4f} of these {} did)\n"
      "escalated {:.1f} %   accuracy {:.4f} (smaller alone {:.4f}, bigger alone {:.4f})",
      answer["threshold"].get<double>(), options.by, calibration.temperature, options.risk,
      options.confidence, tuned.risk, count, 100 * tuned.escalated, tuned.accuracy,
      tuned.smaller_accuracy, tuned.bigger_accuracy));
  return {};
}

Result<void> tune_filter(const Session& session, const TuneOptions& options) {
  SKERRY_ASSIGN(const NumberTable table, read_number_table(options.data));
  SKERRY_ASSIGN(const auto* scores, table.column("score"));
  SKERRY_ASSIGN(const auto* wanted, table.column("wanted"));
  std::vector<hybrid::FilterItem> items;
  for (size_t row = 0; row < table.rows(); ++row) {
    items.push_back({(*scores)[row], (*wanted)[row] != 0});
  }
  SKERRY_ASSIGN(const auto tuned,
                hybrid::tune_filter(std::move(items), options.recall, 1 - options.confidence));
  const double threshold = std::isfinite(tuned.threshold) ? tuned.threshold : -1e300;
  if (session.output.json) {
    session.output.print_json({{"threshold", threshold},
                               {"recall", tuned.recall},
                               {"uploaded", tuned.uploaded},
                               {"items", table.rows()}});
    return {};
  }
  session.output.print_line(fmt::format(
      "threshold {:.6g}\nat least {} of what is wanted is uploaded, with probability {} ({:.4f} of "
      "these was)\nuploaded {:.1f} % of {} items",
      threshold, options.recall, options.confidence, tuned.recall, 100 * tuned.uploaded,
      table.rows()));
  return {};
}

// Lines of {"timeMs", "score", "bytes"?, …}; those that are uploaded go to `out` as they are.
class FilterRun {
 public:
  FilterRun(hybrid::FilterConfig config, std::ostream& out) : filter_(config), out_(out) {}

  Result<void> push(std::string line, size_t number) {
    const json item = json::parse(line, nullptr, false);
    const bool fits = item.is_object() && item.value("timeMs", json()).is_number_integer() &&
                      (!item.contains("bytes") || item["bytes"].is_number_unsigned());
    if (!fits) {
      return fail(Code::kInvalidArgument,
                  fmt::format("line {}: must be an object with timeMs and score", number));
    }
    const json score = item.value("score", json());
    const uint64_t bytes = item.value("bytes", uint64_t{line.size()});
    lines_.push_back(std::move(line));
    write(filter_.push(item["timeMs"].get<int64_t>(), bytes,
                       score.is_number() ? score.get<double>() : std::nan("")));
    return {};
  }
  const hybrid::FilterCounts& finish() {
    write(filter_.finish());
    return filter_.counts();
  }

 private:
  void write(const std::vector<hybrid::FilterDecision>& decisions) {
    for (const auto& decision : decisions) {
      if (decision.fate == hybrid::Fate::kUpload) {
        out_ << R"({"why":")" << name_of(decision.why) << R"(","item":)" << lines_.front() << "}\n";
      }
      lines_.pop_front();
    }
  }

  hybrid::EdgeFilter filter_;
  std::deque<std::string> lines_;  // not decided yet
  std::ostream& out_;
};

json report_of(const hybrid::FilterCounts& counts) {
  const double saved = counts.bytes == 0 ? 0
                                         : 1 - static_cast<double>(counts.uploaded_bytes) /
                                                   static_cast<double>(counts.bytes);
  return {{"items", counts.items},
          {"bytes", counts.bytes},
          {"uploaded", counts.uploaded},
          {"uploadedBytes", counts.uploaded_bytes},
          {"events", counts.events},
          {"overBudget", counts.over_budget},
          {"unflagged", counts.unflagged},
          {"sampled", counts.sampled},
          {"saved", saved}};
}

Result<void> run_filter(const Session& session, const TuneOptions& options) {
  SKERRY_ASSIGN(const std::string text, read_local_file(options.config));
  auto config = hybrid::parse_filter(text);
  if (!config) return fail(config.error().with_context(options.config));
  std::ifstream in_file;
  std::ofstream out_file;
  if (options.in != "-") in_file.open(options.in);
  if (!in_file) return fail(Code::kNotFound, options.in + " cannot be read");
  if (options.out != "-") out_file.open(options.out, std::ios::binary | std::ios::trunc);
  if (!out_file) return fail(Code::kPermissionDenied, options.out + " cannot be written");
  std::istream& in = options.in == "-" ? std::cin : in_file;
  std::ostream& out = options.out == "-" ? std::cout : out_file;
  FilterRun run(*config, out);
  size_t number = 0;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty()) SKERRY_TRY(run.push(std::move(line), ++number));
    out.flush();
  }
  const json report = report_of(run.finish());
  out.flush();
  if (!out) return fail(Code::kResourceExhausted, options.out + " cannot be written");
  if (options.out == "-") {
    out << json{{"report", report}}.dump() << std::endl;
  } else if (session.output.json) {
    session.output.print_json(report);
  } else {
    session.output.print_line(report.dump());
  }
  return {};
}

// From what a filter that runs has sampled, once somebody has looked at it.
Result<void> show_recall(const Session& session, const TuneOptions& options) {
  if (options.sampled > options.unflagged || options.missed > options.sampled) {
    return fail(Code::kInvalidArgument,
                "sampled items are some of the unflagged, missed ones some of those");
  }
  const auto recall = hybrid::estimate_recall(options.found, options.unflagged, options.sampled,
                                              options.missed, options.confidence);
  if (session.output.json) {
    session.output.print_json({{"recall", recall.estimate},
                               {"from", recall.interval.low},
                               {"to", recall.interval.high},
                               {"confidence", options.confidence}});
    return {};
  }
  session.output.print_line(
      fmt::format("recall {:.4f}, with probability {} between {:.4f} and {:.4f}", recall.estimate,
                  options.confidence, recall.interval.low, recall.interval.high));
  return {};
}

void add_recall(CLI::App& filter, Session& session, std::shared_ptr<TuneOptions> options) {
  CLI::App* recall =
      filter.add_subcommand("recall", "How much of what is wanted a running filter uploads");
  recall->add_option("--found", options->found, "Uploaded items that were wanted")->required();
  recall->add_option("--unflagged", options->unflagged, "Items that were no part of an event")
      ->required();
  recall->add_option("--sampled", options->sampled, "Of those, uploaded as a sample")->required();
  recall->add_option("--missed", options->missed, "Of the sample, wanted after all")->required();
  recall->add_option("--confidence", options->confidence, "Of the interval")
      ->check(CLI::Range(0.5, 0.9999))
      ->capture_default_str();
  recall->footer(
      "\nExample:\n  skerry filter recall --found 90 --unflagged 10000 --sampled 1000 --missed 1");
  recall->callback([&session, options] {
    session.action = [&session, options] { return show_recall(session, *options); };
  });
}

void add_confidence(CLI::App& command, TuneOptions& options) {
  command.add_option("--confidence", options.confidence, "How probably the promise holds")
      ->check(CLI::Range(0.5, 0.9999))
      ->capture_default_str();
}

void add_cascade(CLI::App& app, Session& session, std::shared_ptr<TuneOptions> options) {
  CLI::App* cascade = app.add_subcommand("cascade", "Models in tiers (skerry-cascade)");
  CLI::App* tune =
      cascade->add_subcommand("tune", "A threshold with a promise, from labelled data");
  tune->add_option("DATA", options->data, "CSV")->required();
  tune->add_option("--risk", options->risk,
                   "Share of items that may lose a right answer of the bigger model")
      ->check(CLI::Range(0.0001, 0.5))
      ->capture_default_str();
  tune->add_option("--by", options->by, "max, margin, entropy or energy")
      ->check(CLI::IsMember({"max", "margin", "entropy", "energy"}))
      ->capture_default_str();
  tune->add_option("--temperature", options->temperature, "Of the logits; fitted where not given");
  add_confidence(*tune, *options);
  const char* examples = R"(
DATA has a line of names and a row for each item that no model was trained on: label, bigger (the bigger model's class), and
the smaller model's logit_0, logit_1, … (or its class in smaller and its confidence).
Examples:
  skerry cascade tune calibration.csv --risk 0.01
  skerry cascade tune calibration.csv --by margin --confidence 0.99 --json)";
  tune->footer(examples);
  cascade->footer(examples);
  tune->callback([&session, options] {
    session.action = [&session, options] { return tune_cascade(session, *options); };
  });
}

}  // namespace

void add_tune_commands(CLI::App& app, Session& session) {
  const auto options = std::make_shared<TuneOptions>();
  add_cascade(app, session, options);
  CLI::App* filter = app.add_subcommand("filter", "Which items of a stream are uploaded");
  filter->footer(R"(
Examples:
  skerry filter tune scored.csv --recall 0.95
  skerry filter run --config filter.yaml --in items.jsonl --out kept.jsonl
  skerry filter recall --found 90 --unflagged 10000 --sampled 1000 --missed 1)");
  CLI::App* tune = filter->add_subcommand("tune", "A threshold for a recall, from labelled data");
  tune->add_option("DATA", options->data, "CSV with the columns score and wanted (0 or 1)")
      ->required();
  tune->add_option("--recall", options->recall, "Share of what is wanted that is uploaded")
      ->check(CLI::Range(0.01, 0.9999))
      ->capture_default_str();
  add_confidence(*tune, *options);
  tune->footer("\nExample:\n  skerry filter tune scored.csv --recall 0.95 --json");
  tune->callback([&session, options] {
    session.action = [&session, options] { return tune_filter(session, *options); };
  });
  add_recall(*filter, session, options);
  CLI::App* run = filter->add_subcommand("run", "A filter over a file of scored items");
  run->add_option("--config", options->config, "The filter's file")->required();
  run->add_option("--in", options->in,
                  "JSON lines with timeMs, score and perhaps bytes; - for standard input")
      ->capture_default_str();
  run->add_option(
         "--out", options->out,
         "What is uploaded, and why, as JSON lines; - for standard output, with the report last")
      ->capture_default_str();
  run->footer(
      "\nExample:\n  skerry filter run --config filter.yaml --in items.jsonl --out kept.jsonl");
  run->callback([&session, options] {
    session.action = [&session, options] { return run_filter(session, *options); };
  });
}

}  // namespace skerry::cli
