// Windows: attributes to geometry.
#include "graph/ops/window.h"

#include <algorithm>

namespace skerry::graph::ops {
namespace {

Result<std::vector<int64_t>> sizes_attribute(const Inference& inference, std::string_view name,
                                             size_t count, std::vector<int64_t> otherwise,
                                             int64_t least) {
  std::vector<int64_t> sizes = inference.node().definition().attribute(name) == nullptr
                                   ? std::vector<int64_t>()
                                   : inference.node().ints_of(name);
  if (sizes.empty()) sizes = std::move(otherwise);
  if (sizes.size() != count) {
    return inference.refuse("{} has {} numbers; this input wants {}", name, sizes.size(), count);
  }
  for (const int64_t size : sizes) {
    // The upper limit keeps products of sizes, strides and dilations far from overflow.
    if (size < least || size > (int64_t{1} << 30)) {
      return inference.refuse("{} has a number {} out of range", name, size);
    }
  }
  return sizes;
}

}  // namespace

Result<Window> window_of(const Inference& inference, size_t spatial, std::vector<int64_t> kernel) {
  Window window;
  const std::vector<int64_t> ones(spatial, 1);
  SKERRY_ASSIGN(window.kernel,
                sizes_attribute(inference, "kernel_shape", spatial, std::move(kernel), 1));
  SKERRY_ASSIGN(window.strides, sizes_attribute(inference, "strides", spatial, ones, 1));
  SKERRY_ASSIGN(window.dilations, sizes_attribute(inference, "dilations", spatial, ones, 1));
  SKERRY_ASSIGN(const auto pads, sizes_attribute(inference, "pads", 2 * spatial,
                                                 std::vector<int64_t>(2 * spatial, 0), 0));
  const auto half = pads.begin() + static_cast<int64_t>(spatial);
  window.pads_begin.assign(pads.begin(), half);
  window.pads_end.assign(half, pads.end());
  window.auto_pad = inference.node().string_of("auto_pad");
  for (const std::string_view known : {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"}) {
    if (window.auto_pad == known) {
      window.ceil_mode = inference.node().definition().attribute("ceil_mode") != nullptr &&
                         inference.node().int_of("ceil_mode") != 0;
      return window;
    }
  }
  return inference.refuse("auto_pad '{}' is unknown", window.auto_pad);
}

void resolve_padding(Window& window, size_t axis, int64_t input_size) {
  if (window.auto_pad == "NOTSET") return;
  int64_t total = 0;
  if (window.auto_pad != "VALID") {
    const int64_t stride = window.strides[axis];
    const int64_t outputs = (input_size + stride - 1) / stride;
    total = std::max<int64_t>(0, (outputs - 1) * stride + window.extent(axis) - input_size);
  }
  const int64_t smaller = total / 2;
  window.pads_begin[axis] = window.auto_pad == "SAME_LOWER" ? total - smaller : smaller;
  window.pads_end[axis] = total - window.pads_begin[axis];
}

Result<Dim> output_size(const Inference& inference, Window& window, size_t axis, const Dim& input) {
  if (!input.is_fixed()) {
    const bool same = window.auto_pad.starts_with("SAME") && window.strides[axis] == 1;
    const int64_t pads = window.pads_begin[axis] + window.pads_end[axis];
    const bool keeps =
        window.auto_pad == "NOTSET" && window.strides[axis] == 1 && pads == window.extent(axis) - 1;
    return same || keeps ? input : Dim();
  }
  resolve_padding(window, axis, input.size());
  const int64_t stride = window.strides[axis];
  const int64_t padded = input.size() + window.pads_begin[axis] + window.pads_end[axis];
  const int64_t room = padded - window.extent(axis);
  if (room < 0) {
    return inference.refuse("its window of {} does not fit into {} (with padding) along axis {}",
                            window.extent(axis), padded, axis + 2);
  }
  int64_t size = (window.ceil_mode ? room + stride - 1 : room) / stride + 1;
  // A window that would begin in the padding behind the input is left out.
  if (window.ceil_mode && (size - 1) * stride >= input.size() + window.pads_begin[axis]) --size;
  return Dim(size);
}

Window resolved_window(const Evaluation& run, std::vector<int64_t> kernel,
                       std::span<const int64_t> input_spatial) {
  const Inference inference(run.node(), {}, {});
  Window window = *window_of(inference, input_spatial.size(), std::move(kernel));
  for (size_t axis = 0; axis < input_spatial.size(); ++axis) {
    resolve_padding(window, axis, input_spatial[axis]);
  }
  return window;
}

}  // namespace skerry::graph::ops
