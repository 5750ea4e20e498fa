// Data files for models: whatever the bytes, an answer, and tensors whose bytes fit their shape.
#include <cstdlib>

#include "optimise/measure/dataset.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto tensors =
      skerry::optimise::parse_data_file({reinterpret_cast<const char*>(data), size});
  if (!tensors) return 0;
  for (const auto& tensor : *tensors) {
    const auto count = skerry::tensor::element_count(tensor.shape);
    if (!count || *count * skerry::tensor::size_of(tensor.type) != tensor.bytes.size()) abort();
  }
  return 0;
}
