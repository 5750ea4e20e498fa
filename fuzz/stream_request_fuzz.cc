// What a client of the stream manager sends: a frame's payload, as each request reads it.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/check.h"
#include "streams/export/s3_task.h"
#include "streams/messages.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace skerry::streams;
  const std::string_view payload(reinterpret_cast<const char*>(data), size);
  (void)request_id_of(payload);
  (void)parse_s3_task(payload, 1'767'312'061'042);
  const auto request = decode(payload);
  if (!request) return 0;
  (void)parse_read_options(*request);
  if (const auto definition = parse_definition(request->value("definition", nlohmann::json()))) {
    // What was accepted goes to the disk as text and comes back the same.
    const auto again = parse_definition(nlohmann::json::parse(to_json(*definition).dump()));
    SKERRY_CHECK(again && *again == *definition, "a definition survives the disk");
  }
  return 0;
}
