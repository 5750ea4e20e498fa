// JPEGs come out of a stream of any bytes whole, and the same however the bytes are cut.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "flow/frames.h"

namespace {

std::vector<std::string> jpegs_in(std::string_view stream, size_t piece) {
  skerry::flow::JpegSplitter splitter;
  std::vector<std::string> found;
  for (size_t first = 0; first < stream.size(); first += piece) {
    splitter.push(stream.substr(first, piece));
    for (;;) {
      auto next = splitter.next();
      if (!next) std::abort();  // of so few bytes none is too large
      if (!*next) break;
      if (!(*next)->starts_with("\xff\xd8") || !(*next)->ends_with("\xff\xd9")) std::abort();
      found.push_back(**std::move(next));
    }
  }
  return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto whole = jpegs_in(stream, std::max<size_t>(1, stream.size()));
  if (jpegs_in(stream, 1 + data[0] % 7) != whole) std::abort();
  return 0;
}
