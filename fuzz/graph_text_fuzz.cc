// Graphs as text: what parses prints to something that parses to the same.
#include <cstdint>
#include <cstdlib>

#include "graph/text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto graph = skerry::graph::parse_text({reinterpret_cast<const char*>(data), size});
  if (!graph) return 0;
  const std::string text = to_text(**graph);
  const auto again = skerry::graph::parse_text(text);
  if (!again || to_text(**again) != text) std::abort();
  return 0;
}
