// What the stock CLI and components ask for in CreateLocalDeployment: any JSON. What is taken
// survives the record that the device's state keeps of it.
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "formats/json_ptr.h"
#include "nucleus/local_request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace skerry;
  const auto body =
      formats::parse_json(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!body) return 0;
  static_cast<void>(nucleus::local_request_from(*body));
  if (!body->is_object()) return 0;  // as IPC has it
  static_cast<void>(nucleus::parse_local_folders(*body));
  const auto request = nucleus::parse_local_request(*body);
  if (!request) return 0;
  const auto record = nucleus::to_json(*request);
  const auto again = nucleus::local_request_from(record);
  if (!again || nucleus::to_json(*again) != record) std::abort();
  return 0;
}
