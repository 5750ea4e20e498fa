// The runner of passes.
#include "optimise/pass.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>

#include "graph/inference.h"
#include "graph/verify.h"

namespace skerry::optimise {
namespace {

using graph::Graph;

constexpr int kMaxPassRounds = 8;  // passes that undo each other end here

Result<void> check_names(const std::vector<std::string>& names, std::span<const Pass> table) {
  for (const std::string& name : names) {
    if (std::ranges::find(table, name, &Pass::name) != table.end()) continue;
    std::vector<std::string_view> known;
    for (const Pass& pass : table) known.push_back(pass.name);
    return fail(Code::kInvalidArgument,
                fmt::format("there is no pass '{}'; there are {}", name, fmt::join(known, ", ")));
  }
  return {};
}

bool has(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool is_on(const Pass& pass, const PassOptions& options) {
  if (has(options.without, pass.name)) return false;
  if (!options.only.empty()) return has(options.only, pass.name);
  return pass.by_default || has(options.also, pass.name);
}

// Names and types that callers rely on.
std::vector<std::string> interface_of(const Graph& graph) {
  std::vector<std::string> parts;
  for (const auto& input : graph.inputs()) {
    parts.push_back(input->name() + ": " + to_string(input->type()));
  }
  for (const graph::Value* output : graph.outputs()) {
    parts.push_back(output->name() + ": " + std::string(tensor::name_of(output->type().element)));
  }
  return parts;
}

struct Size {
  int64_t nodes = 0, bytes = 0;
};

Size size_of(const Graph& graph) {
  Size size{.nodes = static_cast<int64_t>(graph.nodes().size())};
  for (const auto& constant : graph.constants()) {
    size.bytes += static_cast<int64_t>(constant->constant()->bytes().size());
  }
  for (const auto& node : graph.nodes()) {
    for (const auto& subgraph : node->subgraphs()) {
      const Size inner = size_of(*subgraph);
      size.nodes += inner.nodes;
      size.bytes += inner.bytes;
    }
  }
  return size;
}

Result<void> check(const Graph& graph, const std::vector<std::string>& interface) {
  SKERRY_TRY(graph::verify(graph));
  const auto copy = graph.clone();  // constants are shared
  graph::TypeInference inference;
  SKERRY_TRY(inference.infer(*copy));
  if (interface_of(graph) == interface) return {};
  return fail(Code::kInternal, "the names or types of inputs and outputs have changed");
}

Result<void> run_one(Graph& graph, const Pass& pass, PassReport& report,
                     const std::vector<std::string>& interface) {
  const Size before = size_of(graph);
  const auto begin = std::chrono::steady_clock::now();
  const auto changes = pass.run(graph);
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  report.ms += took.count();
  if (!changes) return fail(changes.error().with_context(fmt::format("pass {}", pass.name)));
  if (*changes == 0) return {};
  report.changes += *changes;
  const Size after = size_of(graph);
  report.nodes_removed += before.nodes - after.nodes;
  report.bytes_removed += before.bytes - after.bytes;
  if (const auto checked = check(graph, interface); !checked) {
    return fail(Code::kInternal, fmt::format("pass {} broke the graph: {}; switch it off, and "
                                             "report it",
                                             pass.name, checked.error().message()));
  }
  return {};
}

}  // namespace

Result<std::vector<PassReport>> run_passes(Graph& graph, const PassOptions& options,
                                           std::span<const Pass> table) {
  SKERRY_TRY(check_names(options.also, table));
  SKERRY_TRY(check_names(options.without, table));
  SKERRY_TRY(check_names(options.only, table));
  std::vector<PassReport> reports;
  for (const Pass& pass : table) {
    if (is_on(pass, options)) reports.push_back({.name = pass.name, .what = pass.what});
  }
  const auto interface = interface_of(graph);
  for (int round = 0; round < kMaxPassRounds; ++round) {
    size_t changes = 0;
    size_t at = 0;
    for (const Pass& pass : table) {
      if (!is_on(pass, options)) continue;
      const size_t before = reports[at].changes;
      SKERRY_TRY(run_one(graph, pass, reports[at], interface));
      changes += reports[at++].changes - before;
    }
    if (changes == 0) break;
  }
  return reports;
}

}  // namespace skerry::optimise
