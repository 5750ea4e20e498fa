// TFLite models as anybody may send them: what is imported can be printed, read again and counted.
#include <cstdint>
#include <cstdlib>

#include "graph/statistics.h"
#include "graph/text.h"
#include "graph/tflite/import.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto first = reinterpret_cast<const std::byte*>(data);
  const auto model = skerry::graph::tflite::import_bytes(
      std::make_shared<const skerry::tensor::Bytes>(first, first + size));
  if (!model) return 0;
  (void)skerry::graph::statistics_of(*model->graph);
  const std::string text = skerry::graph::to_text(*model->graph);
  const auto again = skerry::graph::parse_text(text);
  if (!again || to_text(**again) != text) std::abort();
  return 0;
}
