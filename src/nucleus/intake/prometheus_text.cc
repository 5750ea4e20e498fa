// Printing series for a scrape.
#include "nucleus/intake/prometheus_text.h"

#include <fmt/format.h>

namespace skerry::nucleus {
namespace {

std::string label_text(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\' || c == '"') escaped += '\\';
    if (c == '\n') {
      escaped += "\\n";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string labels_of(const formats::SeriesId& id) {
  return fmt::format("component=\"{}\",metric=\"{}\",unit=\"{}\"", label_text(id.component),
                     label_text(id.name), label_text(id.unit));
}

}  // namespace

std::string prometheus_text(const formats::SeriesMap& totals) {
  std::string text =
      "# HELP skerry_metric Values of a metric of this device since skerryd's start.\n"
      "# TYPE skerry_metric summary\n";
  for (const auto& [id, distribution] : totals) {
    const std::string labels = labels_of(id);
    for (const double q : {0.5, 0.9, 0.99}) {
      text += fmt::format("skerry_metric{{{},quantile=\"{}\"}} {}\n", labels, q,
                          distribution.quantile(q));
    }
    text += fmt::format("skerry_metric_sum{{{}}} {}\nskerry_metric_count{{{}}} {}\n", labels,
                        distribution.total(), labels, distribution.count);
  }
  text +=
      "# HELP skerry_metric_last The last value of a metric of this device.\n"
      "# TYPE skerry_metric_last gauge\n";
  for (const auto& [id, distribution] : totals) {
    text += fmt::format("skerry_metric_last{{{}}} {}\n", labels_of(id),
                        static_cast<double>(distribution.last) / formats::Distribution::kUnit);
  }
  return text;
}

}  // namespace skerry::nucleus
