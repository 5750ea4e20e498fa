// What `skerry device metrics` and `skerry metrics` share: the table and the plot of a description
// of series (formats::describe()).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/output.h"
#include "io/files.h"

namespace skerry::cli {

struct MetricView {
  std::string component, name;  // "": all
  std::string value = "mean";   // that is plotted
  bool plot = false;
};

// A chart of `values`, `height` lines and an axis: "  12.5 ┤  ▄█".
std::vector<std::string> chart(const std::vector<double>& values, size_t width, size_t height);

// The folder of metrics of a device, by its own root folder or what `device provision` wrote around
// it.
Result<std::string> metric_ring_of(io::Files& files, const std::string& root);

// Leaves out what the view does not want.
nlohmann::json chosen(const nlohmann::json& series, const MetricView& view);
void print_metrics(const Output& output, const nlohmann::json& series, const MetricView& view);

}  // namespace skerry::cli
