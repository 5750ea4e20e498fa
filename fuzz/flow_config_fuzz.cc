// A stream's document comes from a deployment: any text is read or refused.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "flow/flow_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto config = skerry::flow::parse_flow_config({reinterpret_cast<const char*>(data), size});
  if (config && (config->model.empty() || config->queue == 0)) std::abort();
  return 0;
}
