// The files of cascades and filters.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "hybrid/cascade_config.h"
#include "hybrid/filter.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto cascade = skerry::hybrid::parse_cascade(text);
  if (cascade && cascade->tiers.size() < 2) std::abort();
  if (const auto config = skerry::hybrid::parse_filter(text)) {
    skerry::hybrid::EdgeFilter filter(*config);
    size_t decided = 0;
    for (int i = 0; i < 20; ++i) decided += filter.push(i * 100, 10, i % 5).size();
    if (decided + filter.finish().size() != 20) std::abort();
  }
  return 0;
}
