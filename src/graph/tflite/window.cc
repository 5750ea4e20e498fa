// SAME as TFLite counts it: an output for each step, more padding behind than before.
#include "graph/tflite/window.h"

#include <algorithm>

#include "graph/operator.h"

namespace skerry::graph::tflite {

Result<Window> window_of(const Node& node, const std::vector<int64_t>& kernel) {
  Window window{.strides = node.ints_of("strides"), .pads = node.ints_of("pads")};
  if (node.definition().attribute("dilations") != nullptr) {
    window.dilations = node.ints_of("dilations");
  }
  window.strides.resize(2, 1);
  window.dilations.resize(2, 1);
  window.pads.resize(4, 0);
  const std::string& mode = node.string_of("auto_pad");
  if (mode == "SAME_LOWER") {
    return fail(Code::kUnsupported, "auto_pad SAME_LOWER has no counterpart");
  }
  window.same = mode == "SAME_UPPER";
  if (mode != "NOTSET" || std::ranges::all_of(window.pads, [](int64_t p) { return p == 0; })) {
    return window;
  }
  // Explicit pads may be those of SAME.
  bool same = true;
  for (size_t axis = 0; axis < 2; ++axis) {
    const Dim& size = (*node.input(0)->type().shape)[axis + 2];
    if (!size.is_fixed()) return window;
    const int64_t stride = window.strides[axis];
    const int64_t outputs = (size.size() + stride - 1) / stride;
    const int64_t extent = (kernel[axis] - 1) * window.dilations[axis] + 1;
    const int64_t total = std::max<int64_t>(0, (outputs - 1) * stride + extent - size.size());
    same = same && window.pads[axis] == total / 2 && window.pads[axis + 2] == total - total / 2;
  }
  if (same) {
    window.same = true;
    window.pads.assign(4, 0);
  }
  return window;
}

}  // namespace skerry::graph::tflite
