// The look at a .tflite file before LiteRT: any bytes end in an answer, and what it takes from them
// lies in them.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "runtime/litert/model_scan.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  const auto scan = skerry::runtime::scan_tflite(file);
  if (!scan) return 0;
  for (const std::string& name : scan->custom_operators) {
    if (file.find(name) == std::string_view::npos) std::abort();
  }
  return 0;
}
