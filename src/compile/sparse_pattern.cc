// The cost model, and streams in the order that it chooses.
#include "compile/sparse_pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace skerry::compile {
namespace {

// What a guess should win by. Dense products of bytes come nearer to what they load.
constexpr double kMargin = 1.17, kByteMargin = 1.35;
// Of the nearest cache, for the columns that pass by again and again; the rest is for streams.
constexpr int64_t kNearBytes = 32 << 10;

// Parts of the stream that have something, for `together` channels at a time.
int64_t entries_of(const SparseProduct& product, int together) {
  int64_t entries = 0;
  for (int64_t first = 0; first < product.channels; first += together) {
    const int64_t last = std::min(first + together, product.channels);
    for (int64_t column = 0; column < product.columns; ++column) {
      bool any = false;
      for (int64_t c = first; c < last && !any; ++c) any = !product.is_zero(c, column);
      entries += any ? 1 : 0;
    }
  }
  return entries;
}

// Against the dense kernels, whose inputs are spread already, but whose weights pass by: measured
// with AVX2, counted in instructions for ARM.
double unit_of(const Target& target, bool of_bytes) {
  if (!of_bytes || target.dots == Dots::kFours) return 1;
  return target.dots == Dots::kSigned ? 1.2 : target.dots == Dots::kPairs ? 0.8 : 2;
}

struct Form {
  int vectors, together, panels;
};

// In cycles of a machine that loads two vectors and multiplies two in each.
double cost_of(const Target& target, const SparseProduct& product, const Form& form,
               int64_t entries) {
  const double v = form.vectors, h = form.together;
  const int64_t block = int64_t{target.lanes} * form.vectors;
  const int64_t blocks = (product.pixels + block - 1) / block;
  const double each = std::max((v + h + 1) / 2, v * h / 2) * unit_of(target, product.of_bytes);
  const int64_t groups = (product.channels + form.together - 1) / form.together;
  // To begin and end the sums of a group, and to keep them from panel to panel.
  const double ends = static_cast<double>(groups * form.panels) * (4 + v * h);
  // Squares of as many rows as there are lanes take two steps for each row and each doubling.
  const double turning = static_cast<double>((product.columns + product.channels) * block) *
                         (target.lanes == 16  ? 0.35
                          : target.lanes == 8 ? 0.5
                                              : 0.75);
  return static_cast<double>(blocks) * (static_cast<double>(entries) * each + ends + turning);
}

int panels_of(const SparseProduct& product, int64_t block) {
  if (product.of_bytes) return 1;  // a fourth of the columns, and sums that are kept are larger
  const int64_t panel = std::max<int64_t>(1, kNearBytes / (4 * block));
  return static_cast<int>((product.columns + panel - 1) / panel);
}

// The columns of one part, and how many of its elements are not zero.
std::vector<uint16_t> part_of(const SparseProduct& product, int64_t first, int64_t last,
                              int64_t start, int64_t end, int64_t& kept) {
  std::vector<uint16_t> columns;
  for (int64_t column = start; column < end; ++column) {
    int64_t here = 0;
    for (int64_t c = first; c < last; ++c) here += product.is_zero(c, column) ? 0 : 1;
    if (here > 0) columns.push_back(static_cast<uint16_t>(column));
    kept += here;
  }
  return columns;
}

void write_streams(const SparseProduct& product, SparsePattern& pattern) {
  const int64_t panel = (product.columns + pattern.panels - 1) / pattern.panels;
  pattern.panels = static_cast<int>((product.columns + panel - 1) / panel);
  for (int64_t start = 0; start < product.columns; start += panel) {
    const int64_t end = std::min(start + panel, product.columns);
    std::vector<std::vector<uint16_t>> parts;
    std::vector<uint16_t> order;
    for (int64_t first = 0; first < product.channels; first += pattern.together) {
      const int64_t last = std::min(first + pattern.together, product.channels);
      order.push_back(static_cast<uint16_t>(parts.size()));
      parts.push_back(part_of(product, first, last, start, end, pattern.kept));
    }
    std::ranges::sort(order, {},
                      [&](uint16_t part) { return std::pair(parts[part].size(), part); });
    for (const uint16_t part : order) {
      pattern.index.insert(pattern.index.end(), parts[part].begin(), parts[part].end());
      pattern.order.push_back(part);
      pattern.ends.push_back(static_cast<uint32_t>(pattern.index.size()));
    }
  }
}

}  // namespace

void SparsePattern::for_all(
    const std::function<void(int64_t channel, int64_t column)>& take) const {
  size_t at = 0;
  for (size_t part = 0; part < ends.size(); ++part) {
    const int64_t first = int64_t{order[part]} * together;
    for (; at < ends[part]; ++at) {
      for (int64_t h = 0; h < together; ++h) take(first + h, index[at]);
    }
  }
}

SparseWays sparse_ways(const Target& target, const SparseProduct& product) {
  SparseWays result;
  if (std::max(product.columns, product.channels) > UINT16_MAX) return result;
  if (product.pixels < target.lanes) return result;
  const int64_t elements = product.channels * product.columns;
  const auto all = static_cast<double>(product.pixels * elements);
  double least = all / (2.0 * target.lanes) /
                 (product.of_bytes ? kByteMargin : kMargin);  // taking all of them
  const int most_sums = target.registers >= 32 ? 16 : 8;
  for (const int together : {1, 2, 4, 8}) {
    const int64_t entries = entries_of(product, together);
    if (together == 1) {
      const int64_t zeros = elements - entries;
      if (zeros * 4 < elements) return result;
      result.zeros_percent = static_cast<int>(zeros * 10 / elements * 10);
    }
    for (const int vectors : {1, 2, 4}) {
      const int64_t block = int64_t{target.lanes} * vectors;
      // Lanes behind the last pixel are work for nothing.
      if (vectors * together > most_sums || (vectors > 1 && block >= 2 * product.pixels)) continue;
      result.ways.push_back({"sparse", {vectors, together}});
      const Form form{vectors, together, panels_of(product, block)};
      const double cost = cost_of(target, product, form, entries);
      if (cost >= least) continue;
      least = cost;
      result.usual = result.ways.back();
    }
  }
  return result;
}

SparsePattern sparse_pattern(const Target& target, const SparseProduct& product, const Way& way) {
  SparsePattern pattern{.lanes = target.lanes, .vectors = way.sizes[0], .together = way.sizes[1]};
  pattern.panels = panels_of(product, int64_t{pattern.lanes} * pattern.vectors);
  write_streams(product, pattern);
  return pattern;
}

std::string sparse_tile(const SparsePattern& pattern) {
  return fmt::format("SparseTile{{.lanes = {}, .vectors = {}, .together = {}, .panels = {}}}",
                     pattern.lanes, pattern.vectors, pattern.together, pattern.panels);
}

std::string sparse_text(const SparsePattern& pattern, int64_t all) {
  const std::string blocks =
      pattern.together > 1 ? fmt::format(", blocks of {}", pattern.together) : "";
  return fmt::format("{}×{}{}, {} % of {}", pattern.lanes, pattern.vectors, blocks,
                     (100 * pattern.kept + all / 2) / all, all);
}

}  // namespace skerry::compile
