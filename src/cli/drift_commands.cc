// skerry model reference: what a model's features looked like in training, for its package; skerry
// model drift: what they look like now, beside it.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "cli/hybrid_commands.h"
#include "cli/local_files.h"
#include "cli/number_table.h"
#include "monitor/drift.h"

namespace skerry::cli {
namespace {

using nlohmann::json;

struct DriftCommandOptions {
  std::string data, reference, out;
  size_t bins = monitor::kBinsUnasked;
  uint64_t window = 1'000;
  monitor::DriftOptions drift;
};

Result<void> make_reference(const Session& session, const DriftCommandOptions& options) {
  SKERRY_ASSIGN(NumberTable table, read_number_table(options.data));
  if (table.names.size() > monitor::kMaxFeatures) {
    return fail(Code::kInvalidArgument, "a reference has at most 256 features");
  }
  monitor::Reference reference;
  for (size_t i = 0; i < table.names.size(); ++i) {
    SKERRY_ASSIGN(auto feature,
                  monitor::make_feature(table.names[i], std::move(table.columns[i]), options.bins));
    reference.features.push_back(std::move(feature));
  }
  const std::string text = to_text(reference);
  SKERRY_TRY(monitor::parse_reference(text));  // names that cannot be read back are refused here
  SKERRY_TRY(write_new_file(options.out, text, 0644));
  if (session.output.json) {
    session.output.print_json({{"features", reference.features.size()}, {"file", options.out}});
  } else {
    session.output.print_line(
        fmt::format("{} features in {}", reference.features.size(), options.out));
  }
  return {};
}

json answer_of(const monitor::FeatureDrift& drift) {
  return {{"name", drift.name},
          {"count", drift.count},
          {"psi", drift.psi},
          {"jensenShannon", drift.jensen_shannon},
          {"wasserstein", drift.wasserstein},
          {"kolmogorovSmirnov", drift.kolmogorov_smirnov},
          {"missing", drift.missing},
          {"outside", drift.outside},
          {"pValue", drift.p_value},
          {"enough", drift.enough},
          {"drifted", drift.drifted}};
}

// The columns of the reference's features, in its order; a column that is not there is missing.
std::vector<const std::vector<double>*> columns_of(const monitor::Reference& reference,
                                                   const NumberTable& table) {
  std::vector<const std::vector<double>*> columns;
  for (const auto& feature : reference.features) columns.push_back(table.find(feature.name));
  return columns;
}

Result<json> windows_of(const monitor::Reference& reference, const NumberTable& table,
                        const DriftCommandOptions& options) {
  const auto columns = columns_of(reference, table);
  if (std::ranges::all_of(columns, [](const auto* column) { return column == nullptr; })) {
    return fail(Code::kInvalidArgument,
                options.data + " has no column of the reference's features");
  }
  monitor::DriftWindow window(reference, {.items = options.window});
  json windows = json::array();
  std::vector<double> values(columns.size());
  for (size_t row = 0; row < table.rows(); ++row) {
    for (size_t i = 0; i < columns.size(); ++i) {
      values[i] = columns[i] ? (*columns[i])[row] : std::numeric_limits<double>::quiet_NaN();
    }
    // A last window of less than half the size says little.
    const bool is_full = window.add(values, 0);
    if (!is_full && (row + 1 < table.rows() || window.items() < options.window / 2)) continue;
    json one = {{"fromRow", row + 1 - window.items()}, {"toRow", row}, {"features", json::array()}};
    size_t drifted = 0;
    for (const auto& each : monitor::judge(reference, window.counts(), options.drift)) {
      drifted += each.drifted ? 1 : 0;
      one["features"].push_back(answer_of(each));
    }
    one["drifted"] = drifted;
    windows.push_back(std::move(one));
    window.begin();
  }
  return windows;
}

Result<void> show_drift(const Session& session, const DriftCommandOptions& options) {
  SKERRY_ASSIGN(const std::string text, read_local_file(options.reference));
  auto reference = monitor::parse_reference(text);
  if (!reference) return fail(reference.error().with_context(options.reference));
  SKERRY_ASSIGN(const NumberTable table, read_number_table(options.data));
  SKERRY_ASSIGN(const json windows, windows_of(*reference, table, options));
  if (session.output.json) {
    session.output.print_json({{"windows", windows}});
    return {};
  }
  Table shown{{"ROWS", "FEATURE", "PSI", "JS", "WASSERSTEIN", "KS", "MISSING", "OUTSIDE", "P"}, {}};
  size_t alarms = 0;
  for (const json& window : windows) {
    alarms += window["drifted"] > 0 ? 1 : 0;
    for (const json& each : window["features"]) {
      if (!each["drifted"]) continue;
      const auto number = [&](const char* key) {
        return fmt::format("{:.3g}", each[key].get<double>());
      };
      shown.rows.push_back({window["fromRow"].dump() + "-" + window["toRow"].dump(),
                            each["name"].get<std::string>(), number("psi"), number("jensenShannon"),
                            number("wasserstein"), number("kolmogorovSmirnov"), number("missing"),
                            number("outside"), number("pValue")});
    }
  }
  if (!shown.rows.empty()) session.output.print_table(shown);
  session.output.print_line(fmt::format("{} of {} windows have drifted", alarms, windows.size()));
  return {};
}

}  // namespace

void add_drift_commands(CLI::App& app, Session& session) {
  CLI::App& model = *app.get_subcommand("model");
  const auto options = std::make_shared<DriftCommandOptions>();
  CLI::App* reference = model.add_subcommand(
      "reference", "What a model's features look like, for reference.json in its package");
  reference->add_option("DATA", options->data, "CSV: a column for each feature and output")
      ->required();
  reference->add_option("--out", options->out, "A file that is not there yet")->required();
  reference->add_option("--bins", options->bins, "Of each feature")
      ->check(CLI::Range(size_t{2}, monitor::kMaxBins))
      ->capture_default_str();
  reference->footer("\nExample:\n  skerry model reference train.csv --out reference.json");
  reference->callback([&session, options] {
    session.action = [&session, options] { return make_reference(session, *options); };
  });
  CLI::App* drift =
      model.add_subcommand("drift", "Which features have drifted away from a reference");
  drift->add_option("REFERENCE", options->reference, "What `model reference` made")->required();
  drift->add_option("DATA", options->data, "CSV with the same columns, in the order of time")
      ->required();
  drift->add_option("--window", options->window, "Rows that are judged together")
      ->check(CLI::Range(10, 1'000'000))
      ->capture_default_str();
  drift
      ->add_option("--false-alarms", options->drift.false_alarm_rate,
                   "Share of windows without a shift that may have an alarm")
      ->check(CLI::Range(1e-6, 0.5))
      ->capture_default_str();
  drift->add_option("--psi", options->drift.least_psi, "Smaller shifts do not matter")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  drift->footer(R"(
Population stability index, Jensen-Shannon and Wasserstein distance (in standard deviations), Kolmogorov-Smirnov,
missing values and values outside the reference's range; p-values are adjusted for the number of features.
Examples:
  skerry model drift reference.json today.csv
  skerry model drift reference.json today.csv --window 500 --json)");
  drift->callback([&session, options] {
    session.action = [&session, options] { return show_drift(session, *options); };
  });
}

}  // namespace skerry::cli
