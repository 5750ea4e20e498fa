// Which nodes become one step. Internal to this folder.
#pragma once

#include <optional>
#include <unordered_map>
#include <vector>

#include "compile/quantised.h"
#include "graph/graph.h"

namespace skerry::compile {

enum class RegionKind {
  kOperator,      // the main node, with what follows
  kAddBytes,      // DequantizeLinear twice, Add, QuantizeLinear
  kAverageBytes,  // DequantizeLinear, a pool, maybe Mul, QuantizeLinear
  kTable,         // from DequantizeLinear to QuantizeLinear, element by element: 256 results
};

// A rounded 8-bit result plus another 8-bit value, rounded again.
struct ByteSum {
  const graph::Node* own = nullptr;    // DequantizeLinear of the result
  const graph::Node* other = nullptr;  // and of what is added
  const graph::Node* quantise = nullptr;
  std::optional<Limits> limits;
};

struct Region {
  RegionKind kind = RegionKind::kOperator;
  const graph::Node* main = nullptr;
  std::vector<const graph::Node*> nodes = {};  // in order
  const graph::Value* output = nullptr;        // of the last
  // What is done to the results of a product while they are in registers:
  const graph::Constant* bias = nullptr;  // FP32: one for each of the last dimension is added,
  const graph::Value* added = nullptr;    // or a value of the same shape,
  std::optional<float> low, high;         // then limits
  std::optional<Limits> limits;           // bytes: limits,
  std::optional<ByteSum> sum;             // then an addition
  // Of kAverageBytes and kTable: what they are of.
  const graph::Value* source = nullptr;
};

// By their last node. Nodes without a region are parts of others, or nobody needs their results.
using Regions = std::unordered_map<const graph::Node*, Region>;
Regions find_regions(const graph::Graph& graph);

bool is_depthwise(const graph::Node& conv);

}  // namespace skerry::compile
