// The report of a training as one HTML page that needs no network: curves, then the epochs.
#include <fmt/format.h>

#include <algorithm>

#include "train/fit.h"

namespace skerry::train {
namespace {

constexpr const char* kStyle = R"(
:root{color-scheme:light dark;--ink:#1b2733;--paper:#fff;--soft:#5c6b7a;--line:#d8dee5;--a:#2b6cb0;--b:#0b7a53}
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf0;--paper:#12181f;--soft:#9aa8b6;--line:#2b3641;--a:#63a4e8;--b:#3ecf93}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;margin:2rem auto;padding:0 1rem}
svg{width:100%;height:auto}svg text{fill:var(--soft);font:12px system-ui,sans-serif}polyline{fill:none;stroke-width:2}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:right}
th{color:var(--soft)}tr.best td{color:var(--b);font-weight:600})";

using Member = double EpochResult::*;

std::string curve(const std::vector<EpochResult>& history, Member member, double least, double most,
                  const char* color) {
  std::string points;
  const double range = std::max(most - least, 1e-12);
  const auto last = static_cast<double>(std::max<size_t>(history.size() - 1, 1));
  for (size_t i = 0; i < history.size(); ++i) {
    points += fmt::format("{:.1f},{:.1f} ", 60 + 860 * static_cast<double>(i) / last,
                          190 - 170 * (history[i].*member - least) / range);
  }
  return fmt::format(R"svg(<polyline stroke="var({})" points="{}"/>)svg", color, points);
}

std::string plot(const std::vector<EpochResult>& history, const char* title, Member training,
                 Member validation, bool validated) {
  double least = history[0].*training;
  double most = least;
  for (const EpochResult& one : history) {
    for (const Member member : {training, validation}) {
      if (member == validation && !validated) continue;
      least = std::min(least, one.*member);
      most = std::max(most, one.*member);
    }
  }
  std::string out = fmt::format(
      R"(<svg viewBox="0 0 960 210" role="img" aria-label="{0}"><text x="60" y="14">{0}</text><text text-anchor="end" x="54" y="24">{1:.3g}</text><text text-anchor="end" x="54" y="194">{2:.3g}</text>)",
      title, most, least);
  out += curve(history, training, least, most, "--a");
  if (validated) out += curve(history, validation, least, most, "--b");
  return out + "</svg>\n";
}

}  // namespace

std::string fit_html(const FitResult& result, const FitOptions& options) {
  std::string out = fmt::format(
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Training</title><style>{}"
      "</style><h1>Training</h1><p>{} parameters, {} rows, {} for validation, seed {}.</p>\n",
      kStyle, result.parameters, result.training_rows, result.validation_rows, options.seed);
  if (result.history.empty()) return out + "</html>\n";
  const bool validated = result.validation_rows > 0;
  out += plot(result.history, "Loss", &EpochResult::loss, &EpochResult::validation_loss, validated);
  if (result.labelled) {
    out += plot(result.history, "Accuracy", &EpochResult::accuracy,
                &EpochResult::validation_accuracy, validated);
  }
  out +=
      "<p>Blue is training, green validation.</p>\n<table><tr><th>Epoch</th><th>Loss</th><th>"
      "Accuracy</th><th>Validation loss</th><th>Validation accuracy</th><th>Seconds</th></tr>\n";
  for (size_t i = 0; i < result.history.size(); ++i) {
    const EpochResult& one = result.history[i];
    out += fmt::format(
        "<tr{}><td>{}</td><td>{:.4f}</td><td>{:.2f} %</td><td>{:.4f}</td><td>{:.2f} %</td><td>"
        "{:.1f}</td></tr>\n",
        i == result.best ? " class=\"best\"" : "", one.epoch, one.loss, 100 * one.accuracy,
        one.validation_loss, 100 * one.validation_accuracy, one.seconds);
  }
  return out + "</table></html>\n";
}

}  // namespace skerry::train
