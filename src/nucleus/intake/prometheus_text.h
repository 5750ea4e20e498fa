// The device's metrics as Prometheus scrapes them, in its text format 0.0.4
// (https://prometheus.io/docs/instrumenting/exposition_formats/).
#pragma once

#include <string>

#include "formats/metric_summary.h"

namespace skerry::nucleus {

// Two families: skerry_metric, a summary of each series since the program's start, and
// skerry_metric_last, its last value; labels component, metric and unit.
std::string prometheus_text(const formats::SeriesMap& totals);

}  // namespace skerry::nucleus
