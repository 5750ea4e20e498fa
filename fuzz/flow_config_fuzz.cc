// A stream's document comes from a deployment: any text is read or refused.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "flow/flow_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto service = skerry::flow::parse_topic_service(text);
  if (service && (service->queue == 0 || service->source.topic == service->answers)) std::abort();
  const auto config = skerry::flow::parse_flow_config(text);
  if (config && (config->model.empty() || config->queue == 0)) std::abort();
  return 0;
}
