// Buckets whose width grows with the value: 2^kSubBits for each power of two, so that a bucket's
// limit is at most a share 1/2^kSubBits above any value in it, whatever the range. Histograms of
// the same layout add up bucket by bucket. (The layout of HdrHistogram.)
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace skerry {

template <int kSubBits, int kMaxBits>
struct LogLinear {
  // Values of more than kMaxBits bits count as the largest.
  static constexpr size_t kBuckets = size_t{kMaxBits - kSubBits + 1} << kSubBits;

  // Values below 2·2^kSubBits have a bucket each; above, the leading bit chooses a group and the
  // next kSubBits bits the bucket in it.
  static constexpr size_t bucket_of(uint64_t value) {
    const int bits = std::bit_width(value);
    if (bits <= kSubBits + 1) return value;
    if (bits > kMaxBits) return kBuckets - 1;
    const int shift = bits - kSubBits - 1;
    return (static_cast<size_t>(shift) << kSubBits) + (value >> shift);
  }

  // The largest value in it.
  static constexpr uint64_t last_of(size_t bucket) {
    if (bucket < (size_t{2} << kSubBits)) return bucket;
    const size_t shift = (bucket >> kSubBits) - 1;
    const uint64_t leading = (bucket & ((size_t{1} << kSubBits) - 1)) + (size_t{1} << kSubBits);
    return ((leading + 1) << shift) - 1;
  }
};

}  // namespace skerry
