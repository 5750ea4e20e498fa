// Messages of secure aggregation, from devices and from servers: whatever the bytes, an answer;
// what is read is written as what reads the same.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "federated/secure/masked.h"
#include "federated/secure/messages.h"

namespace secure = skerry::federated::secure;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto step = secure::parse_step(text)) {
    const auto again = secure::parse_step(secure::to_json(*step).dump());
    if (!again || *again != *step) abort();
  }
  if (const auto said = secure::parse_said(text)) {
    const auto again = secure::parse_said(secure::to_json(*said).dump());
    if (!again || *again != *said) abort();
  }
  (void)secure::decode_masked(text, 3);
  return 0;
}
