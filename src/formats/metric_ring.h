// The files of a device's ring of metrics (docs/data/device-metrics.md): "CHECKSUM SUMMARY\n" a
// line. Written by the nucleus, read by it and by `skerry device metrics`.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "formats/metric_summary.h"
#include "io/files.h"

namespace skerry::formats {

std::string metric_file_name(uint64_t first);  // "0000000001.metrics"
// The sequence number in a file's name; nothing for other names.
std::optional<uint64_t> metric_file_first(std::string_view name);

std::string metric_line(std::string_view summary);
// Takes the first line off `text`. Its summary; "" where it is damaged; nothing where no whole line
// is left.
std::optional<std::string_view> take_metric_line(std::string_view& text);

// Every intact summary below `directory`, oldest first and each once. Changes nothing, and may be
// called beside a nucleus that writes. The number of damaged lines.
Result<size_t> read_metric_ring(io::Files& files, const std::string& directory,
                                const std::function<void(const MetricSummary&)>& each);

}  // namespace skerry::formats
