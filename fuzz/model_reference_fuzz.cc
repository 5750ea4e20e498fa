// References of models, and what is counted and judged over them.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "monitor/drift.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto reference = skerry::monitor::parse_reference(text);
  if (!reference) return 0;
  const auto again = skerry::monitor::parse_reference(to_text(*reference));
  if (!again || *again != *reference) std::abort();
  skerry::monitor::DriftWindow window(*reference, {});
  const std::vector<double> values(reference->features.size(), 0.5);
  for (int i = 0; i < 200; ++i) window.add(values, 0);
  skerry::monitor::judge(*reference, window.counts());
  return 0;
}
