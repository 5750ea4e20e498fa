// The file of --access decides who may do what: any text is read or refused, and what is read
// points at clients that are there and at limits that hold.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "serve/access_rules.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto rules = skerry::serve::parse_access_rules({reinterpret_cast<const char*>(data), size});
  if (!rules) return 0;
  for (const auto& [digest, client] : rules->tokens) {
    if (digest.size() != 32 || client >= rules->clients.size()) std::abort();
  }
  for (const auto& [uid, client] : rules->users) {
    if (uid < 0 || client >= rules->clients.size()) std::abort();
  }
  for (const auto& client : rules->clients) {
    if (client.name.empty()) std::abort();
    if (client.limit.requests_per_s > 0 && client.limit.burst < 1) std::abort();
  }
  return 0;
}
