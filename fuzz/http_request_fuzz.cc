// The HTTP request parser: fed whole and in pieces, any bytes must give the same requests or a
// refusal.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "net/http_parser.h"

namespace {

using skerry::net::HttpLimits;
using skerry::net::RequestHooks;
using skerry::net::RequestParser;

// What the parser makes of `bytes` given `step` at a time: one line a request, and how it ended.
std::string outcome(const std::string& bytes, size_t step) {
  HttpLimits limits;
  limits.header_bytes = 2048;
  limits.body_bytes = 4096;
  limits.decode_bodies = true;
  const RequestHooks no_hooks;
  RequestParser parser(limits, no_hooks);
  std::string result, pending;
  for (size_t given = 0; given < bytes.size();) {
    size_t count = std::min(step, bytes.size() - given);
    pending.append(bytes, given, count);
    given += count;
    while (!pending.empty()) {
      auto used = parser.feed(pending);
      if (!used) return result + "refused " + std::to_string(parser.refusal().status);
      pending.erase(0, *used);
      if (!parser.done()) break;
      const auto& request = parser.request();
      if (request.body.size() > limits.body_bytes) std::abort();
      result += request.method + " " + request.target + " " + std::to_string(request.body.size()) +
                (parser.keep_alive() ? " keep\n" : " close\n");
      parser.reset();
    }
  }
  return result + "open";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (size > 16'384) return 0;
  std::string whole = outcome(bytes, bytes.size() + 1);
  std::string pieces = outcome(bytes, 7);
  // In pieces an error may be seen before a limit is, and the other way round: the requests before
  // it must be the same.
  if (whole.substr(0, whole.rfind('\n') + 1) != pieces.substr(0, pieces.rfind('\n') + 1))
    std::abort();
  return 0;
}
