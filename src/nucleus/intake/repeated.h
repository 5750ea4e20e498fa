// Values that stand for several alike: of a sampled timer, of a histogram's bucket.
#pragma once

#include <cstdint>
#include <utility>

#include "formats/distribution.h"

namespace skerry::nucleus {

// All of `values` so many times; the product of the counts is below 2^62.
inline formats::Distribution repeated(formats::Distribution values, uint64_t times) {
  values.count *= times;
  values.sum *= static_cast<formats::Distribution::Sum>(times);
  for (auto& [bin, number] : values.bins) number *= times;
  return values;
}

}  // namespace skerry::nucleus
