// The report as one HTML page: accuracy over latency with the size as area, then the tables.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "optimise/search/report.h"

namespace skerry::optimise {
namespace {

constexpr const char* kStyle = R"(
:root{color-scheme:light dark;--ink:#1b2733;--paper:#fff;--soft:#5c6b7a;--line:#d8dee5;--good:#0b7a53;--dot:#2b6cb0;--no:#a8b3bf}
@media(prefers-color-scheme:dark){:root{--ink:#e6ebf0;--paper:#12181f;--soft:#9aa8b6;--line:#2b3641;--good:#3ecf93;--dot:#63a4e8;--no:#5a6774}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:64rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2.2rem}
p.verdict{font-size:1.1rem}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
.wide{overflow-x:auto}th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:right;white-space:nowrap}
th:first-child,td:first-child,td.text,th.text{text-align:left;white-space:normal}th{color:var(--soft);font-weight:600}
tr.chosen td{color:var(--good);font-weight:600}tr.refused td{color:var(--soft)}
svg{width:100%;height:auto}svg text{fill:var(--ink);font:12px system-ui,sans-serif}svg .axis{stroke:var(--line)}
svg .soft{fill:var(--soft)}.bar{background:var(--dot);display:inline-block;height:.7em;border-radius:2px;vertical-align:middle}
footer{color:var(--soft);margin-top:2.5rem;font-size:.9rem})";

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += c;
    }
  }
  return out;
}

double quality_of(const Trial& trial) {
  return 100 * (trial.accuracy ? trial.accuracy->value : 1 - trial.drop);
}

struct Frame {
  double left = 64, right = 940, top = 16, bottom = 360;
  double least_us = 0, most_us = 1, least = 0, most = 100;

  double x(double us) const {
    const double at = std::log(us / least_us) / std::log(most_us / least_us);
    return left + (right - left) * (0.05 + 0.9 * at);
  }
  double y(double quality) const {
    return bottom - (bottom - top) * (0.08 + 0.84 * (quality - least) / (most - least));
  }
};

Frame frame_of(const SearchResult& result) {
  Frame frame;
  frame.least_us = INFINITY;
  frame.most_us = 0;
  frame.least = 100;
  frame.most = 0;
  for (const Trial& trial : result.trials) {
    if (trial.minima_us.empty()) continue;
    frame.least_us = std::min(frame.least_us, trial.min_us);
    frame.most_us = std::max(frame.most_us, trial.min_us);
    frame.least = std::min(frame.least, quality_of(trial));
    frame.most = std::max(frame.most, quality_of(trial));
  }
  if (!(frame.least_us > 0)) frame.least_us = 1;
  frame.most_us = std::max(frame.most_us, frame.least_us * 1.01);
  if (frame.most - frame.least < 0.5) {
    const double middle = (frame.most + frame.least) / 2;
    frame.least = middle - 0.25;
    frame.most = middle + 0.25;
  }
  return frame;
}

// What nothing beats in both, over the plane of time and quality.
bool is_on_front(const SearchResult& result, const Trial& trial) {
  return std::ranges::none_of(result.trials, [&](const Trial& other) {
    if (other.minima_us.empty()) return false;
    const bool as_good = other.min_us <= trial.min_us && quality_of(other) >= quality_of(trial);
    return as_good && (other.min_us < trial.min_us || quality_of(other) > quality_of(trial));
  });
}

std::string axes(const Frame& frame, bool labelled) {
  std::string out = fmt::format(
      R"(<line class="axis" x1="{0}" y1="{2}" x2="{1}" y2="{2}"/><line class="axis" x1="{0}" y1="{3}" x2="{0}" y2="{2}"/>)",
      frame.left, frame.right, frame.bottom, frame.top);
  for (int i = 0; i <= 4; ++i) {
    const double us = frame.least_us * std::pow(frame.most_us / frame.least_us, i / 4.0);
    const double quality = frame.least + (frame.most - frame.least) * i / 4;
    out +=
        fmt::format(R"(<text class="soft" text-anchor="middle" x="{:.1f}" y="{}">{:.3g} µs</text>)",
                    frame.x(us), frame.bottom + 18, us);
    out += fmt::format(R"(<text class="soft" text-anchor="end" x="{}" y="{:.1f}">{:.2f}</text>)",
                       frame.left - 8, frame.y(quality) + 4, quality);
  }
  return out + fmt::format(R"(<text class="soft" x="{}" y="12">{}, %</text>)", 4,
                           labelled ? "accuracy" : "agreement with the source");
}

std::string plot(const SearchResult& result, const SearchOptions& options) {
  const Frame frame = frame_of(result);
  uint64_t largest = 1;
  for (const Trial& trial : result.trials) largest = std::max(largest, trial.bytes);
  std::string out = R"(<svg viewBox="0 0 960 400" role="img" aria-label="Accuracy over latency">)";
  out += axes(frame, result.labelled);
  for (size_t t = 0; t < result.trials.size(); ++t) {
    const Trial& trial = result.trials[t];
    if (trial.minima_us.empty()) continue;
    const Candidate& candidate = result.candidates[trial.candidate];
    const double radius =
        6 + 14 * std::sqrt(static_cast<double>(trial.bytes) / static_cast<double>(largest));
    const char* color = t == result.winner      ? "var(--good)"
                        : trial.refusal.empty() ? "var(--dot)"
                                                : "var(--no)";
    const bool front = is_on_front(result, trial);
    out += fmt::format(
        R"(<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}" fill="{}" fill-opacity="{}"><title>{} in {}: {:.1f} µs, {}, {:.1f} kB</title></circle>)",
        frame.x(trial.min_us), frame.y(quality_of(trial)), radius, color, front ? "0.75" : "0.35",
        escaped(candidate.name), escaped(options.engines[trial.engine].name), trial.min_us,
        accuracy_text(trial), static_cast<double>(trial.bytes) / 1000);
    if (front || t == 0) {
      out += fmt::format(R"(<text text-anchor="middle" x="{:.1f}" y="{:.1f}">{}</text>)",
                         frame.x(trial.min_us), frame.y(quality_of(trial)) - radius - 4,
                         escaped(candidate.name));
    }
  }
  return out +
         "</svg>\n<p class=\"soft\">Area is size; full colour is what nothing beats in both "
         "time and accuracy; grey is refused.</p>\n";
}

std::string trials_table(const SearchResult& result, const SearchOptions& options) {
  std::string out =
      "<div class=\"wide\"><table><tr><th>Candidate</th><th class=\"text\">Engine</th><th>Minimum "
      "µs</th><th>Median µs</th><th>Spread</th><th>kB</th><th>Peak "
      "MB</th><th>Accuracy</th><th>Lost "
      "points</th><th class=\"text\"></th></tr>\n";
  for (size_t t = 0; t < result.trials.size(); ++t) {
    const Trial& trial = result.trials[t];
    const Candidate& candidate = result.candidates[trial.candidate];
    const char* row = t == result.winner ? "chosen" : trial.refusal.empty() ? "" : "refused";
    out += fmt::format(
        "<tr class=\"{}\"><td title=\"{}\">{}</td><td class=\"text\">{}</td><td>{}</td>"
        "<td>{}</td><td>{:.0f} %</td><td>{:.1f}</td><td>{:.1f}</td><td>{}</td><td>{:.2f}</td>"
        "<td class=\"text\">{}</td></tr>\n",
        row, escaped(candidate.how), escaped(candidate.name),
        escaped(options.engines[trial.engine].name), time_text(trial, trial.min_us),
        time_text(trial, trial.median_us), 100 * trial.spread,
        static_cast<double>(trial.bytes) / 1000, static_cast<double>(trial.peak_bytes) / 1e6,
        accuracy_text(trial), 100 * trial.drop,
        t == result.winner ? "chosen" : escaped(trial.refusal));
  }
  return out + "</table></div>\n";
}

std::string layers_table(const SearchResult& result) {
  int64_t most = 1;
  int64_t most_alive = 1;
  for (const LayerReport& layer : result.layers) {
    most = std::max(most, layer.macs.value_or(0));
    most_alive = std::max(most_alive, layer.alive_bytes);
  }
  const auto bar = [](int64_t value, int64_t largest) {
    return fmt::format(
        "<td class=\"text\"><span class=\"bar\" style=\"width:{:.0f}px\"></span></td>",
        90 * static_cast<double>(value) / static_cast<double>(largest));
  };
  std::string out =
      "<div class=\"wide\"><table><tr><th>Layer</th><th class=\"text\">Operator</th><th "
      "class=\"text\">Output</th><th>MACs</th><th></th><th>Parameters, bytes</th><th>Values alive, "
      "bytes</th><th></th><th>µs</th><th>Error alone in integers</th></tr>\n";
  for (const LayerReport& layer : result.layers) {
    out += fmt::format(
        "<tr><td>{}</td><td class=\"text\">{}</td><td class=\"text\">{}</td><td>{}</td>{}<td>{}"
        "</td><td>{}</td>{}<td>{}</td><td>{}</td></tr>\n",
        escaped(layer.name), escaped(layer.op), escaped(layer.output),
        layer.macs ? std::to_string(*layer.macs) : "?", bar(layer.macs.value_or(0), most),
        layer.parameter_bytes, layer.alive_bytes, bar(layer.alive_bytes, most_alive),
        layer.us ? fmt::format("{:.1f}", *layer.us) : "",
        layer.sensitivity ? fmt::format("{:.4f}", *layer.sensitivity) : "");
  }
  return out + "</table></div>\n";
}

std::string profile_table(const TimeProfile& profile) {
  if (profile.layers.empty()) return "";
  const double all = std::max(total_us(profile), 1e-9);
  std::string out =
      "<div class=\"wide\"><table><tr><th>Layer of the engine</th><th class=\"text\">Operator</th>"
      "<th>µs</th><th>Share</th><th></th></tr>\n";
  for (const runtime::LayerTime& layer : profile.layers) {
    out += fmt::format(
        "<tr><td>{}</td><td class=\"text\">{}</td><td>{:.1f}</td><td>{:.0f} %</td><td "
        "class=\"text\"><span class=\"bar\" style=\"width:{:.0f}px\"></span></td></tr>\n",
        escaped(layer.name), escaped(layer.op), layer.us, 100 * layer.us / all,
        180 * layer.us / all);
  }
  return out + "</table></div>\n";
}

std::string passes_table(const SearchResult& result) {
  std::string out =
      "<div class=\"wide\"><table><tr><th>Pass</th><th class=\"text\">What it does</th><th>Places"
      "</th><th>Nodes less</th><th>Bytes less</th><th>ms</th></tr>\n";
  for (const PassReport& pass : result.passes) {
    out += fmt::format(
        "<tr class=\"{}\"><td>{}</td><td class=\"text\">{}</td><td>{}</td><td>{}</td><td>{}</td>"
        "<td>{:.2f}</td></tr>\n",
        pass.changes == 0 ? "refused" : "", pass.name, escaped(pass.what), pass.changes,
        pass.nodes_removed, pass.bytes_removed, pass.ms);
  }
  return out + "</table></div>\n";
}

}  // namespace

std::string report_html(const SearchResult& result, const SearchOptions& options) {
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>Skerry: optimised for {}</title><style>{}</style>"
      "</head><body>\n<h1>Optimised for {}</h1>\n<p class=\"verdict\">{}</p>\n",
      name_of(options.goal), kStyle, name_of(options.goal), escaped(verdict(result, options)));
  out += plot(result, options);
  out += "<h2>Candidates</h2>\n" + trials_table(result, options);
  for (const std::string& line : missing_engines(result, options)) {
    out += "<p>" + escaped(line) + ".</p>\n";
  }
  out += "<h2>Layers of the float model</h2>\n" + layers_table(result);
  for (const TimeProfile& profile : result.profiles) {
    out +=
        fmt::format("<h2>{}</h2>\n<p>{}</p>\n{}", escaped(profile_title(profile, result, options)),
                    escaped(profile_note(profile, result, options)), profile_table(profile));
  }
  out += "<h2>Passes</h2>\n" + passes_table(result);
  return out + fmt::format(
                   "<footer>Source {}; data {}, {} samples of it for calibration; seed {}; at most "
                   "{:.2f} "
                   "points may be lost; {} rounds in turns; {:.1f} s.</footer>\n</body></html>\n",
                   result.source_sha256, result.data_fingerprint, result.calibration_rows,
                   options.seed, 100 * options.max_accuracy_drop, options.rounds, result.seconds);
}

}  // namespace skerry::optimise
