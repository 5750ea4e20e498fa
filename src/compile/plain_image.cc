// Transposed convolutions, resizing, and pixels that become channels or back.
#include <algorithm>
#include <limits>

#include "compile/rewriting.h"
#include "graph/evaluation.h"
#include "graph/executor.h"

namespace skerry::compile {
namespace {

using Shape = std::vector<int64_t>;

// The image with `stride` - 1 zeros between its pixels.
Value* spread(Maker& maker, Value* x, const Shape& shape, const Shape& strides) {
  if (std::ranges::all_of(strides, [](int64_t stride) { return stride == 1; })) return x;
  Shape apart = {shape[0], shape[1]}, pads(2 + 2 * strides.size(), 0), together = apart;
  for (size_t i = 0; i < strides.size(); ++i) {
    apart.insert(apart.end(), {shape[i + 2], 1});
    pads[3 + 2 * i] = strides[i] - 1;
    together.push_back(shape[i + 2] * strides[i]);
  }
  Shape both(pads.size(), 0);
  both.insert(both.end(), pads.begin(), pads.end());
  x = maker.make("Pad", {maker.reshape(x, apart), maker.ints(both)});
  x = maker.reshape(x, together);
  for (size_t i = 0; i < strides.size(); ++i) {
    const int64_t last = (shape[i + 2] - 1) * strides[i] + 1;
    if (last < together[i + 2]) x = maker.slice(x, static_cast<int64_t>(i) + 2, 0, last);
  }
  return x;
}

// [in, out of a group, window] to [out, in of a group, window turned round].
std::vector<float> turned(const std::vector<float>& weights, const Shape& shape, int64_t groups) {
  const int64_t in = shape[0] / groups, out = shape[1];
  int64_t window = 1;
  for (size_t i = 2; i < shape.size(); ++i) window *= shape[i];
  std::vector<float> result;
  for (int64_t m = 0; m < groups * out; ++m) {
    for (int64_t c = 0; c < in; ++c) {
      for (int64_t k = 0; k < window; ++k) {
        const int64_t row = (m / out * in + c) * out + m % out;
        result.push_back(weights[static_cast<size_t>(row * window + window - 1 - k)]);
      }
    }
  }
  return result;
}

Shape or_ones(Shape values, size_t count) {
  return values.empty() ? Shape(count, 1) : values;
}

}  // namespace

bool plain_conv_transpose(Maker& maker) {
  const Node& node = maker.node();
  const auto x = fp32_shape(node.input(0)), y = known_shape(node.output(0));
  const auto w_shape = known_shape(node.input(1));
  const auto w = constant_floats(node.input(1));
  if (!x || !y || !w || x->size() < 3 || x->size() > 4 || !node.ints_of("output_shape").empty() ||
      node.string_of("auto_pad") != "NOTSET") {
    return false;
  }
  const size_t spatial = x->size() - 2;
  const Shape strides = or_ones(node.ints_of("strides"), spatial);
  const Shape dilations = or_ones(node.ints_of("dilations"), spatial);
  Shape cut = node.ints_of("pads");
  cut.resize(2 * spatial, 0);
  Shape pads(2 * spatial), window(w_shape->begin() + 2, w_shape->end());
  for (size_t i = 0; i < spatial; ++i) {
    const int64_t reach = dilations[i] * (window[i] - 1);
    const int64_t size = ((*x)[i + 2] - 1) * strides[i] + 1;
    pads[i] = reach - cut[i];
    pads[i + spatial] = (*y)[i + 2] - size - pads[i] + reach;
  }
  if (std::ranges::any_of(pads, [](int64_t pad) { return pad < 0; })) return false;
  const int64_t groups = node.int_of("group");
  Shape shape = {groups * (*w_shape)[1], (*w_shape)[0] / groups};
  shape.insert(shape.end(), window.begin(), window.end());
  std::vector<Value*> inputs = {spread(maker, node.input(0), *x, strides),
                                maker.floats(shape, turned(*w, *w_shape, groups))};
  if (node.input(2) != nullptr) inputs.push_back(node.input(2));
  maker.replace({maker.make("Conv", std::move(inputs),
                            {{"group", groups}, {"dilations", dilations}, {"pads", pads}})});
  return true;
}

bool plain_depth(Maker& maker) {
  const Node& node = maker.node();
  const auto shape = known_shape(node.input(0)), out = known_shape(node.output(0));
  if (!shape || !out || shape->size() != 4) return false;
  const int64_t n = (*shape)[0], c = (*shape)[1], h = (*shape)[2], w = (*shape)[3];
  const int64_t size = node.int_of("blocksize");
  Shape apart, order;
  if (node.op() == "SpaceToDepth") {
    apart = {n, c, h / size, size, w / size, size};
    order = {0, 3, 5, 1, 2, 4};
  } else if (node.string_of("mode") == "CRD") {
    apart = {n, c / (size * size), size, size, h, w};
    order = {0, 1, 4, 2, 5, 3};
  } else {
    apart = {n, size, size, c / (size * size), h, w};
    order = {0, 3, 4, 1, 5, 2};
  }
  Value* moved = maker.make("Transpose", {maker.reshape(node.input(0), apart)}, {{"perm", order}});
  maker.replace({maker.reshape(moved, *out)});
  return true;
}

// A dilated window: the largest of what its places see, each of which is every stride-th pixel.
bool plain_max_pool(Maker& maker) {
  const Node& node = maker.node();
  const auto x = fp32_shape(node.input(0)), y = known_shape(node.output(0));
  const Shape dilations = node.ints_of("dilations"), kernel = node.ints_of("kernel_shape");
  const bool is_dilated = std::ranges::any_of(dilations, [](int64_t step) { return step > 1; });
  if (!x || !y || !is_dilated || kernel.size() + 2 != x->size() || node.output(1) != nullptr ||
      node.string_of("auto_pad") != "NOTSET") {
    return false;
  }
  const size_t spatial = kernel.size();
  const Shape strides = or_ones(node.ints_of("strides"), spatial);
  Shape begin = node.ints_of("pads"), pads(2 * x->size(), 0);
  begin.resize(spatial, 0);
  for (size_t i = 0; i < spatial; ++i) {
    const int64_t reach = ((*y)[i + 2] - 1) * strides[i] + (kernel[i] - 1) * dilations[i] + 1;
    pads[i + 2] = begin[i];
    pads[x->size() + i + 2] = std::max<int64_t>(0, reach - begin[i] - (*x)[i + 2]);
  }
  Value* value = maker.make("Pad", {node.input(0), maker.ints(pads),
                                    maker.number(-std::numeric_limits<float>::infinity())});
  // One dimension after the other.
  for (size_t i = 0; i < spatial; ++i) {
    Value* largest = nullptr;
    for (int64_t k = 0; k < kernel[i]; ++k) {
      Shape places((*y)[i + 2] > 0 ? static_cast<size_t>((*y)[i + 2]) : 0);
      for (size_t o = 0; o < places.size(); ++o) {
        places[o] = static_cast<int64_t>(o) * strides[i] + k * dilations[i];
      }
      Value* seen = maker.gather(value, static_cast<int64_t>(i) + 2, -1, places);
      largest = largest == nullptr ? seen : maker.make("Max", {largest, seen});
    }
    value = largest;
  }
  maker.replace({value});
  return true;
}

namespace {

// Of what is asked of the reference executor for one axis: 64 MB.
constexpr int64_t kMaxResponse = 1 << 24;

// What Resize makes along one axis of the unit vectors: [in, out].
Result<std::vector<float>> response(const Node& node, int64_t in, int64_t out,
                                    std::optional<float> scale) {
  Graph alone;
  std::vector<float> ones(static_cast<size_t>(in * in), 0);
  for (int64_t i = 0; i < in; ++i) ones[static_cast<size_t>(i * in + i)] = 1;
  Value& x = alone.add_input(
      "x", {.element = DataType::kFp32, .shape = graph::fixed_shape(Shape{in, in})});
  Value* scales = nullptr;
  Value* sizes = nullptr;
  if (scale) {
    scales = &alone.add_constant("", Constant::of<float>(DataType::kFp32, {2}, {1, *scale}));
  } else {
    sizes = &alone.add_constant("", Constant::of_ints({in, out}));
  }
  std::vector<Value*> inputs = {&x, nullptr, scales};
  if (sizes != nullptr) inputs.push_back(sizes);
  Value& y = alone.add("Resize", inputs, node.attributes());
  y.set_type({.element = DataType::kFp32, .shape = graph::fixed_shape(Shape{in, out})});
  alone.add_output(y);
  tensor::Tensor input =
      graph::Array::from(Constant::of(DataType::kFp32, {in, in}, ones).view()).to_tensor("x");
  graph::Executor executor(alone);
  const std::vector<tensor::TensorView> views = {input.view()};
  SKERRY_ASSIGN(const auto outputs, executor.run(views));
  const auto numbers = graph::Array::from(outputs[0].view()).to_doubles();
  return std::vector<float>(numbers.begin(), numbers.end());
}

// The sum of a few elements for each: what is left of the matrix. Null where they are many.
Value* interpolated(Maker& maker, Value* x, size_t axis, const Shape& shape, int64_t out,
                    const std::vector<float>& matrix) {
  const int64_t in = shape[axis];
  constexpr size_t kMost = 4;
  std::vector<Shape> indices(kMost, Shape(static_cast<size_t>(out), 0));
  std::vector<std::vector<float>> factors(kMost, std::vector<float>(static_cast<size_t>(out), 0));
  size_t most = 1;
  bool picks = true;
  for (int64_t o = 0; o < out; ++o) {
    size_t count = 0;
    for (int64_t i = 0; i < in; ++i) {
      const float factor = matrix[static_cast<size_t>(i * out + o)];
      if (factor == 0) continue;
      if (count == kMost) return nullptr;
      indices[count][static_cast<size_t>(o)] = i;
      factors[count++][static_cast<size_t>(o)] = factor;
      picks = picks && factor == 1;
    }
    most = std::max(most, count);
    picks = picks && count == 1;
  }
  const auto at = static_cast<int64_t>(axis);
  if (picks) return maker.gather(x, at, in, indices[0]);
  Shape sizes(shape.size() - axis, 1);
  sizes[0] = out;
  Value* sum = nullptr;
  for (size_t k = 0; k < most; ++k) {
    Value* part = maker.mul(maker.gather(x, at, in, indices[k]), maker.floats(sizes, factors[k]));
    sum = sum == nullptr ? part : maker.add(sum, part);
  }
  return sum;
}

}  // namespace

// Axis by axis. How the reference executor reads the many attributes is asked of it.
Result<bool> plain_resize(Maker& maker) {
  const Node& node = maker.node();
  auto shape = fp32_shape(node.input(0));
  const auto out = known_shape(node.output(0));
  const auto scales = constant_floats(node.input(2));
  if (!shape || !out || (!scales && !constant_ints(node.input(3))) ||
      !node.ints_of("axes").empty() ||
      node.string_of("coordinate_transformation_mode") == "tf_crop_and_resize" ||
      node.string_of("keep_aspect_ratio_policy") != "stretch") {
    return false;
  }
  Value* value = node.input(0);
  for (size_t i = 0; i < shape->size(); ++i) {
    if ((*shape)[i] == (*out)[i]) continue;
    if ((*shape)[i] > kMaxResponse / std::max((*shape)[i], (*out)[i])) return false;
    const auto scale =
        scales && scales->size() == shape->size() ? std::optional((*scales)[i]) : std::nullopt;
    SKERRY_ASSIGN(const auto matrix, response(node, (*shape)[i], (*out)[i], scale));
    value = interpolated(maker, value, i, *shape, (*out)[i], matrix);
    if (value == nullptr) return false;
    (*shape)[i] = (*out)[i];
  }
  maker.replace({value == node.input(0) ? maker.make("Identity", {value}) : value});
  return true;
}

}  // namespace skerry::compile
