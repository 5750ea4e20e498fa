// Which elements of a constant matrix are left out of a product, and in what order the others are
// taken: the streams of kernels/sparse.h and kernels/sparse_u8.h. Internal to this folder.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "compile/target.h"
#include "compile/way.h"

namespace skerry::compile {

// A product of `pixels` rows with a matrix of channels times columns. A column is one input
// channel, or four of bytes.
struct SparseProduct {
  int64_t channels = 0, columns = 0, pixels = 0;
  bool of_bytes = false;
  std::function<bool(int64_t channel, int64_t column)> is_zero;
};

struct SparsePattern {
  int lanes = 4, vectors = 1;  // of pixels
  int together = 1;            // channels that share a part of the stream
  int panels = 1;              // that columns are cut into
  // Columns: those of a panel's first part, those of its next one, …, the next panel's. A part is
  // that of `together` channels; whose number stands in `order`, and where it ends in `ends`. Parts
  // of one length follow each other, so that the processor foresees the end of each.
  std::vector<uint16_t> index;
  std::vector<uint16_t> order;
  std::vector<uint32_t> ends;
  int64_t kept = 0;  // elements that are not zero

  // Calls `take(channel, column)` for each element in the order in which the kernel reads them;
  // channels behind the last one are among them.
  void for_all(const std::function<void(int64_t channel, int64_t column)>& take) const;
};

// The ways for matrices of which a fourth or more is zero; none for others.
struct SparseWays {
  std::vector<Way> ways;
  // The one that costs least, where it costs less than taking all of them, by what both load.
  std::optional<Way> usual;
  int zeros_percent = 0;  // in steps of 10
};
SparseWays sparse_ways(const Target& target, const SparseProduct& product);
SparsePattern sparse_pattern(const Target& target, const SparseProduct& product, const Way& way);

// As C++ text, and for people: "16×2, blocks of 4, 10 % of 4096".
std::string sparse_tile(const SparsePattern& pattern);
std::string sparse_text(const SparsePattern& pattern, int64_t all);

}  // namespace skerry::compile
