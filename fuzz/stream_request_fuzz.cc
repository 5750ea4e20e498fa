// What a client of the stream manager sends: a frame's payload, as each request reads it.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "streams/messages.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace skerry::streams;
  const std::string_view payload(reinterpret_cast<const char*>(data), size);
  (void)request_id_of(payload);
  const auto request = decode(payload);
  if (!request) return 0;
  (void)parse_read_options(*request);
  if (const auto definition = parse_definition(request->value("definition", nlohmann::json()))) {
    (void)parse_definition(to_json(*definition));
  }
  return 0;
}
