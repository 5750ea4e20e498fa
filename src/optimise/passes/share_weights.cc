// Constants with the same type, shape and bytes are one.
#include <string_view>
#include <unordered_map>

#include "optimise/passes/passes.h"

namespace skerry::optimise {

Result<size_t> share_weights(Graph& graph) {
  size_t changes = 0;
  std::unordered_multimap<size_t, Value*> seen;
  for (const auto& value : graph.constants()) {
    const auto bytes = value->constant()->bytes();
    const size_t hash =
        std::hash<std::string_view>()({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    Value* same = nullptr;
    for (auto [at, end] = seen.equal_range(hash); at != end; ++at) {
      if (*at->second->constant() == *value->constant()) same = at->second;
    }
    if (same == nullptr) {
      seen.emplace(hash, value.get());
    } else if (!value->uses().empty() && !value->is_graph_output()) {
      value->replace_uses(*same);
      ++changes;
    }
  }
  if (changes > 0) sweep(graph);
  return changes;
}

}  // namespace skerry::optimise
