// A folder of SageMaker Neo: two lengths of two bytes, then the graph, what Neo says of it, and the
// weights.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "runtime/dlr/neo_graph.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  if (size < 4) return 0;
  const size_t graph_bytes = data[0] + 256u * data[1];
  const size_t meta_bytes = data[2] + 256u * data[3];
  const auto take = [&rest](size_t count) {
    const std::string_view part = rest.substr(0, count);
    rest.remove_prefix(part.size());
    return part;
  };
  take(4);
  const std::string_view graph = take(graph_bytes);
  const std::string_view meta = take(meta_bytes);
  (void)skerry::runtime::read_neo_graph(graph, rest, meta);
  (void)skerry::runtime::check_shared_object(rest);
  return 0;
}
