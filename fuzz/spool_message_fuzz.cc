// A message of the spool with any bytes in it: refused, or the same after it was written again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "nucleus/spool_store.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace skerry::nucleus;
  const auto message = parse_spooled({reinterpret_cast<const char*>(data), size});
  if (!message) return 0;
  const auto again = parse_spooled(spooled_bytes(*message));
  if (!again || again->topic != message->topic || again->payload != message->payload ||
      again->properties != message->properties) {
    std::abort();
  }
  return 0;
}
