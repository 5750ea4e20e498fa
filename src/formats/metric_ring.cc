// Lines with checksums, and the walk over the files.
#include "formats/metric_ring.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "io/crc32c.h"

namespace skerry::formats {
namespace {

constexpr std::string_view kSuffix = ".metrics";
constexpr size_t kNumberWidth = 10;
constexpr size_t kChecksum = 8;
constexpr uint64_t kMaxRingBytes = 16 << 20;

}  // namespace

std::string metric_file_name(uint64_t first) {
  return fmt::format("{:010}{}", first, kSuffix);
}

std::optional<uint64_t> metric_file_first(std::string_view name) {
  if (name.size() < kNumberWidth + kSuffix.size() || !name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  uint64_t first = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), first);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return first;
}

std::string metric_line(std::string_view summary) {
  return fmt::format("{:08x} {}\n", io::crc32c(summary), summary);
}

std::optional<std::string_view> take_metric_line(std::string_view& text) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  if (line.size() <= kChecksum || line[kChecksum] != ' ') return "";
  const std::string_view summary = line.substr(kChecksum + 1);
  return line.substr(0, kChecksum) == fmt::format("{:08x}", io::crc32c(summary)) ? summary : "";
}

Result<size_t> read_metric_ring(io::Files& files, const std::string& directory,
                                const std::function<void(const MetricSummary&)>& each) {
  SKERRY_ASSIGN(const auto names, files.list(directory));
  std::vector<uint64_t> firsts;
  for (const std::string& name : names) {
    if (const auto first = metric_file_first(name)) firsts.push_back(*first);
  }
  std::ranges::sort(firsts);
  size_t damaged = 0;
  uint64_t last = 0;
  for (const uint64_t first : firsts) {
    const auto text =
        io::read_file(files, directory + "/" + metric_file_name(first), kMaxRingBytes);
    if (!text && text.error().code() == Code::kNotFound) continue;  // the ring came round
    if (!text) return fail(text.error());
    std::string_view rest = *text;
    while (const auto line = take_metric_line(rest)) {
      const auto summary = parse_metric_summary(*line);
      if (!summary) {
        ++damaged;
      } else if (summary->sequence > last) {
        last = summary->sequence;
        each(*summary);
      }
    }
  }
  return damaged;
}

}  // namespace skerry::formats
