// Images: resizing, sampling, regions, boxes.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "graph/ops/common.h"
#include "graph/ops/families.h"

namespace skerry::graph::ops {
namespace {

// What an output element is made of along one axis.
struct Tap {
  int64_t at;
  double weight;
};

double cubic(double distance, double a) {
  const double d = std::abs(distance);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
}

// --- Resize: X, roi, scales, sizes ---------------------------------------------------------------

struct Resizing {
  std::vector<int64_t> sizes;
  std::vector<double> scales, starts, ends;
};

Result<std::vector<size_t>> resized_axes(const Inference& inference, size_t rank) {
  std::vector<size_t> axes;
  for (const int64_t axis : inference.node().ints_of("axes")) {
    SKERRY_ASSIGN(const size_t at, inference.axis(axis, rank));
    axes.push_back(at);
  }
  if (!axes.empty()) return axes;
  axes.resize(rank);
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

// Sizes and scales for every axis, from whichever of the two is given.
Result<Resizing> resizing_of(const Inference& inference, std::span<const int64_t> shape,
                             const std::vector<double>& scales, const std::vector<int64_t>& sizes) {
  SKERRY_ASSIGN(const auto axes, resized_axes(inference, shape.size()));
  Resizing result{.sizes = {shape.begin(), shape.end()},
                  .scales = std::vector<double>(shape.size(), 1),
                  .starts = std::vector<double>(shape.size(), 0),
                  .ends = std::vector<double>(shape.size(), 1)};
  if ((scales.empty() == sizes.empty()) || scales.size() + sizes.size() != axes.size()) {
    return inference.refuse("{} scales and {} sizes for {} axes", scales.size(), sizes.size(),
                            axes.size());
  }
  const std::string& policy = inference.node().string_of("keep_aspect_ratio_policy");
  double common = policy == "not_larger" ? INFINITY : 0;
  for (size_t i = 0; i < axes.size(); ++i) {
    const double size = static_cast<double>(shape[axes[i]]);
    double& scale = result.scales[axes[i]];
    scale = sizes.empty() ? scales[i] : size == 0 ? 1 : static_cast<double>(sizes[i]) / size;
    common = policy == "not_larger" ? std::min(common, scale) : std::max(common, scale);
    if (!(scale > 0) || !(size * scale < 1e12)) return inference.refuse("a scale is {}", scale);
    result.sizes[axes[i]] =
        sizes.empty() ? static_cast<int64_t>(std::floor(size * scale)) : sizes[i];
  }
  for (size_t i = 0; policy != "stretch" && !sizes.empty() && i < axes.size(); ++i) {
    result.scales[axes[i]] = common;
    result.sizes[axes[i]] =
        static_cast<int64_t>(std::floor(common * static_cast<double>(shape[axes[i]]) + 0.5));
  }
  return result;
}

Result<void> infer_resize(Inference& inference) {
  inference.set(0, inference.element(0));
  if (!inference.ranked(0)) return {};
  inference.set(0, inference.element(0), Shape(inference.rank(0)));
  const auto shape = sizes_of(inference.type(0));
  const auto sizes = inference.ints(3);
  const Value* given = inference.node().input(2);
  const Constant* constant = given != nullptr ? given->constant() : nullptr;
  std::vector<double> scales;
  if (constant != nullptr) scales = Array::from(constant->view()).to_doubles();
  if (!shape || (scales.empty() && !sizes)) {
    // Scales of 1 keep an open dimension.
    if (scales.size() == inference.rank(0) && inference.node().ints_of("axes").empty()) {
      Shape kept = inference.shape(0);
      for (size_t i = 0; i < kept.size(); ++i) {
        const bool fixed = kept[i].is_fixed() && scales[i] > 0 && scales[i] < 65536;
        if (fixed) {
          kept[i] = Dim(
              static_cast<int64_t>(std::floor(static_cast<double>(kept[i].size()) * scales[i])));
        } else if (scales[i] != 1) {
          kept[i] = Dim();
        }
      }
      inference.set(0, inference.element(0), std::move(kept));
    }
    return {};
  }
  SKERRY_ASSIGN(const Resizing resizing,
                resizing_of(inference, *shape, scales, sizes.value_or(std::vector<int64_t>())));
  inference.set(0, inference.element(0), fixed_shape(resizing.sizes));
  return {};
}

// The place in the input that output `x` along an axis comes from.
double source_of(const std::string& mode, double x, double scale, double in, double out,
                 double start, double end) {
  if (mode == "asymmetric") return x / scale;
  if (mode == "align_corners") return out == 1 ? 0 : x * (in - 1) / (out - 1);
  if (mode == "pytorch_half_pixel") return out > 1 ? (x + 0.5) / scale - 0.5 : 0;
  if (mode == "tf_half_pixel_for_nn") return (x + 0.5) / scale;
  if (mode == "tf_crop_and_resize") {
    if (out <= 1) return 0.5 * (start + end) * (in - 1);
    return start * (in - 1) + x * (end - start) * (in - 1) / (out - 1);
  }
  double shift = 0;
  if (mode == "half_pixel_symmetric") shift = in / 2 * (1 - out / (scale * in));
  return shift + (x + 0.5) / scale - 0.5;
}

double nearest(const std::string& mode, double x) {
  if (mode == "floor") return std::floor(x);
  if (mode == "ceil") return std::ceil(x);
  return mode == "round_prefer_ceil" ? std::floor(x + 0.5) : std::ceil(x - 0.5);
}

// Taps around `x`, whose weights add up to 1.
std::vector<Tap> taps_at(const Node& node, double x, double scale, int64_t size) {
  const std::string& mode = node.string_of("mode");
  const auto last = static_cast<double>(size - 1);
  if (mode == "nearest") {
    const double at = std::clamp(nearest(node.string_of("nearest_mode"), x), 0.0, last);
    return {{static_cast<int64_t>(at), 1}};
  }
  const bool is_cubic = mode == "cubic";
  const double a = node.float_of("cubic_coeff_a");
  const double squeeze = node.int_of("antialias") != 0 ? std::min(scale, 1.0) : 1;
  const double reach = (is_cubic ? 2 : 1) / squeeze;
  const bool exclude = node.int_of("exclude_outside") != 0;
  std::vector<Tap> taps;
  double sum = 0;
  for (double at = std::floor(x - reach) + 1; at <= x + reach; ++at) {
    const double distance = (at - x) * squeeze;
    const double weight = is_cubic ? cubic(distance, a) : std::max(0.0, 1 - std::abs(distance));
    if (weight == 0 || (exclude && (at < 0 || at > last))) continue;
    taps.push_back({static_cast<int64_t>(std::clamp(at, 0.0, last)), weight});
    sum += weight;
  }
  for (Tap& tap : taps) tap.weight /= sum;
  return taps;
}

// out = in with one axis resized.
std::vector<double> resized_along(const std::vector<double>& in, const AxisView& view,
                                  const std::vector<std::vector<Tap>>& taps) {
  const auto size = static_cast<int64_t>(taps.size());
  std::vector<double> out(static_cast<size_t>(view.outer * size * view.inner), 0);
  for (int64_t o = 0; o < view.outer; ++o) {
    for (int64_t k = 0; k < size; ++k) {
      for (const Tap& tap : taps[static_cast<size_t>(k)]) {
        for (int64_t i = 0; i < view.inner; ++i) {
          out[static_cast<size_t>((o * size + k) * view.inner + i)] +=
              tap.weight * in[static_cast<size_t>((o * view.size + tap.at) * view.inner + i)];
        }
      }
    }
  }
  return out;
}

Result<Resizing> resizing_of_run(const Evaluation& run) {
  const Array& in = run.in(0);
  const Inference inference(run.node(), {}, {});
  SKERRY_ASSIGN(
      Resizing resizing,
      resizing_of(inference, in.shape, run.has(2) ? run.in(2).to_doubles() : std::vector<double>(),
                  run.has(3) ? run.in(3).to_ints() : std::vector<int64_t>()));
  SKERRY_ASSIGN(const auto axes, resized_axes(inference, in.rank()));
  if (run.node().string_of("coordinate_transformation_mode") == "tf_crop_and_resize") {
    const auto roi = run.has(1) ? run.in(1).to_doubles() : std::vector<double>();
    if (roi.size() != 2 * axes.size()) return run.refuse("its region has {} numbers", roi.size());
    for (size_t i = 0; i < axes.size(); ++i) {
      resizing.starts[axes[i]] = roi[i];
      resizing.ends[axes[i]] = roi[i + axes.size()];
    }
  }
  for (size_t axis = 0; axis < in.rank(); ++axis) {
    if (in.shape[axis] == 0 && resizing.sizes[axis] > 0) return run.refuse("its input is empty");
  }
  return resizing;
}

Result<void> resize(Evaluation& run) {
  const Array& in = run.in(0);
  SKERRY_ASSIGN(const Resizing resizing, resizing_of_run(run));
  SKERRY_TRY(run.allocate(0, in.type, resizing.sizes));
  const std::string& mode = run.node().string_of("coordinate_transformation_mode");
  const bool crops = mode == "tf_crop_and_resize";
  std::vector<double> values = in.to_doubles();
  std::vector<int64_t> shape = in.shape;
  std::vector<std::vector<bool>> outside(in.rank());
  for (size_t axis = 0; axis < in.rank(); ++axis) {
    const int64_t size = resizing.sizes[axis];
    std::vector<std::vector<Tap>> taps;
    for (int64_t x = 0; x < size; ++x) {
      const double source = source_of(mode, static_cast<double>(x), resizing.scales[axis],
                                      static_cast<double>(shape[axis]), static_cast<double>(size),
                                      resizing.starts[axis], resizing.ends[axis]);
      outside[axis].push_back(crops &&
                              (source < 0 || source > static_cast<double>(shape[axis] - 1)));
      taps.push_back(taps_at(run.node(), source, resizing.scales[axis], shape[axis]));
    }
    if (size == shape[axis] && resizing.scales[axis] == 1 && !crops) continue;
    values = resized_along(values, view_along(shape, axis), taps);
    shape[axis] = size;
  }
  const double extrapolated = run.node().float_of("extrapolation_value");
  return visit_number(run, in.type, [&]<class T>(T) -> Result<void> {
    Walk<1> walk(shape, {std::vector<int64_t>(shape.size(), 0)});
    for (size_t i = 0; i < values.size(); ++i, walk.next()) {
      bool out = false;
      for (size_t axis = 0; axis < shape.size(); ++axis) {
        out = out || outside[axis][static_cast<size_t>(walk.index()[axis])];
      }
      run.out(0).as<T>()[i] = static_cast<T>(out ? extrapolated : values[i]);
    }
    return {};
  });
}

// --- GridSample: X [N, C, in…], grid [N, out…, axes from the last]
// --------------------------------

Result<void> infer_grid_sample(Inference& inference) {
  inference.set(0, inference.element(0));
  if (!inference.ranked(0) || !inference.ranked(1)) return {};
  const Shape& x = inference.shape(0);
  const Shape& grid = inference.shape(1);
  const auto axes = static_cast<int64_t>(x.size()) - 2;
  if (axes < 1 || grid.size() != x.size() || (grid.back().is_fixed() && !grid.back().is(axes)) ||
      (grid[0].is_fixed() && x[0].is_fixed() && grid[0] != x[0])) {
    return inference.refuse("{} is no grid for {}", to_string(inference.type(1)),
                            to_string(inference.type(0)));
  }
  Shape shape = {x[0], x[1]};
  shape.insert(shape.end(), grid.begin() + 1, grid.end() - 1);
  inference.set(0, inference.element(0), std::move(shape));
  return {};
}

double reflected(double x, double lowest, double highest) {
  const double range = highest - lowest;
  if (!(range > 0) || !std::isfinite(x)) return lowest;
  const double folded = std::fmod(std::abs(x - lowest), 2 * range);
  return lowest + (folded > range ? 2 * range - folded : folded);
}

struct Sampler {
  std::string mode, padding;
  bool align = false;

  double place(double x, int64_t extent) const {
    const auto size = static_cast<double>(extent);
    return align ? (x + 1) / 2 * (size - 1) : ((x + 1) * size - 1) / 2;
  }
  double bounded(double x, int64_t size) const {
    const auto last = static_cast<double>(size - 1);
    if (padding == "border") return std::clamp(x, 0.0, last);
    if (padding == "reflection")
      return align ? reflected(x, 0, last) : reflected(x, -0.5, last + 0.5);
    return x;
  }
  // Taps along one axis; -1 is outside.
  std::vector<Tap> taps(double normalised, int64_t size) const {
    double x = place(normalised, size);
    if (mode == "nearest") x = std::nearbyint(x);
    const bool inside =
        x >= (align ? 0 : -0.5) && x <= static_cast<double>(size) - (align ? 1 : 0.5);
    if (!inside) x = bounded(x, size);
    if (!(std::abs(x) < 1e9)) return {};
    const double first = std::floor(x);
    std::vector<Tap> found;
    const auto add = [&](double at, double weight) {
      const double kept = bounded(at, size);
      const auto index = static_cast<int64_t>(std::nearbyint(kept));
      found.push_back({index >= 0 && index < size ? index : -1, weight});
    };
    if (mode == "nearest") {
      add(x, 1);
    } else if (mode == "cubic") {
      for (int k = -1; k <= 2; ++k) add(first + k, cubic(first + k - x, -0.75));
    } else {
      add(first, 1 - (x - first));
      add(first + 1, x - first);
    }
    return found;
  }
};

// The weighted sum over all combinations of taps, axis by axis.
template <class T>
double sample(std::span<const T> plane, std::span<const int64_t> space,
              const std::vector<std::vector<Tap>>& taps, size_t axis, int64_t offset) {
  if (axis == space.size()) return static_cast<double>(plane[static_cast<size_t>(offset)]);
  double sum = 0;
  for (const Tap& tap : taps[axis]) {
    if (tap.at < 0 || tap.weight == 0) continue;
    sum += tap.weight * sample(plane, space, taps, axis + 1, offset * space[axis] + tap.at);
  }
  return sum;
}

Result<void> grid_sample(Evaluation& run) {
  const Array& in = run.in(0);
  const auto grid = run.in(1).to_doubles();
  const Sampler sampler{run.node().string_of("mode"), run.node().string_of("padding_mode"),
                        run.node().int_of("align_corners") != 0};
  const std::span space = std::span(in.shape).subspan(2);
  const auto size = static_cast<size_t>(product(space));
  const int64_t points = product(std::span(run.out(0).shape).subspan(2));
  return visit_float(run, in.type, [&]<class T>(T) -> Result<void> {
    for (int64_t n = 0; n < in.shape[0]; ++n) {
      for (int64_t p = 0; p < points; ++p) {
        std::vector<std::vector<Tap>> taps(space.size());
        for (size_t axis = 0; axis < space.size(); ++axis) {
          const size_t at = (static_cast<size_t>(n * points + p) + 1) * space.size() - 1 - axis;
          taps[axis] = sampler.taps(grid[at], space[axis]);
        }
        for (int64_t c = 0; c < in.shape[1]; ++c) {
          const int64_t plane = n * in.shape[1] + c;
          run.out(0).as<T>()[static_cast<size_t>(plane * points + p)] = static_cast<T>(sample(
              in.as<T>().subspan(static_cast<size_t>(plane) * size, size), space, taps, 0, 0));
        }
      }
    }
    return {};
  });
}

// --- RoiAlign: X [N, C, H, W], rois [R, 4], batch of each ----------------------------------------

Result<void> infer_roi_align(Inference& inference) {
  inference.set(0, inference.element(0));
  const int64_t height = inference.node().int_of("output_height");
  const int64_t width = inference.node().int_of("output_width");
  if (height < 1 || width < 1 || inference.node().int_of("sampling_ratio") < 0 ||
      inference.node().int_of("sampling_ratio") > 1024) {
    return inference.refuse("its output or sampling is no size");
  }
  if (!inference.ranked(0) || !inference.ranked(1)) return {};
  const auto rois = sizes_of(inference.type(1));
  if (inference.rank(0) != 4 || inference.rank(1) != 2 || (rois && (*rois)[1] != 4)) {
    return inference.refuse("takes [batch, channels, height, width] and [regions, 4]");
  }
  const auto batches = count_of(inference.type(2));
  if (rois && batches && *batches != (*rois)[0]) return inference.refuse("regions without a batch");
  inference.set(0, inference.element(0),
                Shape{inference.shape(1)[0], inference.shape(0)[1], Dim(height), Dim(width)});
  return {};
}

template <class T>
struct Bilinear {
  std::span<const T> plane;
  int64_t height, width;
  // The four products, so that a maximum can be taken of them.
  std::array<double, 4> parts(double y, double x) const {
    if (y < -1 || x < -1 || y > static_cast<double>(height) || x > static_cast<double>(width)) {
      return {};
    }
    y = std::max(y, 0.0);
    x = std::max(x, 0.0);
    const int64_t y0 = std::min(static_cast<int64_t>(y), height - 1);
    const int64_t x0 = std::min(static_cast<int64_t>(x), width - 1);
    const int64_t y1 = std::min(y0 + 1, height - 1);
    const int64_t x1 = std::min(x0 + 1, width - 1);
    const double fy = y0 == height - 1 ? 0 : y - static_cast<double>(y0);
    const double fx = x0 == width - 1 ? 0 : x - static_cast<double>(x0);
    const auto at = [&](int64_t row, int64_t column) {
      return static_cast<double>(plane[static_cast<size_t>(row * width + column)]);
    };
    return {(1 - fy) * (1 - fx) * at(y0, x0), (1 - fy) * fx * at(y0, x1),
            fy * (1 - fx) * at(y1, x0), fy * fx * at(y1, x1)};
  }
};

Result<void> roi_align(Evaluation& run) {
  const Array& in = run.in(0);
  const auto rois = run.in(1).to_doubles();
  const auto batches = run.in(2).to_ints();
  const Node& node = run.node();
  const int64_t rows = node.int_of("output_height");
  const int64_t columns = node.int_of("output_width");
  const int64_t ratio = node.int_of("sampling_ratio");
  const double scale = node.float_of("spatial_scale");
  const bool aligned = node.string_of("coordinate_transformation_mode") == "half_pixel";
  const bool largest = node.string_of("mode") == "max";
  const auto size = static_cast<size_t>(in.shape[2] * in.shape[3]);
  for (const int64_t batch : batches) {
    if (batch < 0 || batch >= in.shape[0]) return run.refuse("batch {} of {}", batch, in.shape[0]);
  }
  if (size == 0) return run.refuse("its input is empty");
  return visit_float(run, in.type, [&]<class T>(T) -> Result<void> {
    size_t at = 0;
    for (size_t r = 0; r < batches.size(); ++r) {
      const double shift = aligned ? 0.5 : 0;
      const double x0 = rois[r * 4] * scale - shift;
      const double y0 = rois[r * 4 + 1] * scale - shift;
      double height = rois[r * 4 + 3] * scale - shift - y0;
      double width = rois[r * 4 + 2] * scale - shift - x0;
      if (!aligned) {
        height = std::max(height, 1.0);
        width = std::max(width, 1.0);
      }
      const double cell_h = height / static_cast<double>(rows);
      const double cell_w = width / static_cast<double>(columns);
      const int64_t steps_y = std::clamp<int64_t>(
          ratio > 0 ? ratio : static_cast<int64_t>(std::ceil(std::clamp(cell_h, 0.0, 1e4))), 1,
          10000);
      const int64_t steps_x = std::clamp<int64_t>(
          ratio > 0 ? ratio : static_cast<int64_t>(std::ceil(std::clamp(cell_w, 0.0, 1e4))), 1,
          10000);
      for (int64_t c = 0; c < in.shape[1]; ++c) {
        const auto plane = static_cast<size_t>(batches[r] * in.shape[1] + c);
        const Bilinear<T> source{in.as<T>().subspan(plane * size, size), in.shape[2], in.shape[3]};
        for (int64_t cell = 0; cell < rows * columns; ++cell, ++at) {
          double sum = 0;
          double most = -INFINITY;
          for (int64_t s = 0; s < steps_y * steps_x; ++s) {
            const int64_t row = cell / columns, step = s / steps_x;
            const double y = y0 + (static_cast<double>(row) + (static_cast<double>(step) + 0.5) /
                                                                  static_cast<double>(steps_y)) *
                                      cell_h;
            const double x =
                x0 + (static_cast<double>(cell % columns) +
                      (static_cast<double>(s % steps_x) + 0.5) / static_cast<double>(steps_x)) *
                         cell_w;
            const auto parts = source.parts(y, x);
            sum += parts[0] + parts[1] + parts[2] + parts[3];
            most = std::max(most, *std::ranges::max_element(parts));
          }
          run.out(0).as<T>()[at] =
              static_cast<T>(largest ? most : sum / static_cast<double>(steps_y * steps_x));
        }
      }
    }
    return {};
  });
}

// --- NonMaxSuppression: boxes [N, B, 4], scores [N, C, B]
// -----------------------------------------

Result<void> infer_nms(Inference& inference) {
  inference.set(0, DataType::kInt64, Shape{Dim(), Dim(3)});
  const auto boxes = sizes_of(inference.type(0));
  const auto scores = sizes_of(inference.type(1));
  const bool fit = !boxes || !scores ||
                   (boxes->size() == 3 && scores->size() == 3 && (*boxes)[2] == 4 &&
                    (*boxes)[0] == (*scores)[0] && (*boxes)[1] == (*scores)[2]);
  if (!fit) {
    return inference.refuse("boxes {} and scores {} do not go together",
                            to_string(inference.type(0)), to_string(inference.type(1)));
  }
  return {};
}

struct Box {
  double y0, x0, y1, x1;
  double area() const { return std::max(0.0, y1 - y0) * std::max(0.0, x1 - x0); }
};

Box box_of(std::span<const double> b, bool center) {
  if (center) return {b[1] - b[3] / 2, b[0] - b[2] / 2, b[1] + b[3] / 2, b[0] + b[2] / 2};
  return {std::min(b[0], b[2]), std::min(b[1], b[3]), std::max(b[0], b[2]), std::max(b[1], b[3])};
}

double overlap(const Box& a, const Box& b) {
  const Box both{std::max(a.y0, b.y0), std::max(a.x0, b.x0), std::min(a.y1, b.y1),
                 std::min(a.x1, b.x1)};
  const double joined = a.area() + b.area() - both.area();
  return joined <= 0 ? 0 : both.area() / joined;
}

double scalar_or(const Evaluation& run, size_t input, double otherwise) {
  return run.has(input) && run.in(input).count() > 0 ? run.in(input).to_doubles()[0] : otherwise;
}

Result<void> non_max_suppression(Evaluation& run) {
  const auto boxes = run.in(0).to_doubles();
  const auto scores = run.in(1).to_doubles();
  const int64_t count = run.in(0).shape[1];
  const int64_t classes = run.in(1).shape[1];
  const auto limit = static_cast<size_t>(std::clamp(scalar_or(run, 2, 0), 0.0, 1e9));
  const double iou = scalar_or(run, 3, 0);
  const double least = scalar_or(run, 4, -INFINITY);
  const bool center = run.node().int_of("center_point_box") != 0;
  std::vector<int64_t> selected;
  for (int64_t n = 0; n < run.in(0).shape[0] * classes; ++n) {
    const int64_t batch = n / classes;
    const auto score = [&](int64_t i) { return scores[static_cast<size_t>(n * count + i)]; };
    const auto box = [&](int64_t i) {
      return box_of(std::span(boxes).subspan(static_cast<size_t>((batch * count + i) * 4), 4),
                    center);
    };
    std::vector<int64_t> order;
    for (int64_t i = 0; i < count; ++i) {
      if (score(i) > least) order.push_back(i);
    }
    std::ranges::sort(order, [&](int64_t a, int64_t b) {
      return score(a) == score(b) ? a < b : score(a) > score(b);
    });
    std::vector<int64_t> kept;
    for (const int64_t i : order) {
      if (kept.size() == limit) break;
      const bool covered = std::ranges::any_of(
          kept, [&](int64_t other) { return overlap(box(i), box(other)) > iou; });
      if (!covered) kept.push_back(i);
    }
    for (const int64_t i : kept) selected.insert(selected.end(), {batch, n % classes, i});
  }
  SKERRY_TRY(run.allocate(0, DataType::kInt64, {static_cast<int64_t>(selected.size() / 3), 3}));
  std::ranges::copy(selected, run.out(0).as<int64_t>().begin());
  return {};
}

}  // namespace

std::span<const OperatorRow> image_rows() {
  static const OperatorRow kRows[] = {
      {"Resize", "X roi?:f scales?:f sizes?:i -> Y",
       "antialias:int=0 axes:ints coordinate_transformation_mode:string=half_pixel "
       "cubic_coeff_a:float=-0.75 exclude_outside:int=0 extrapolation_value:float=0 "
       "keep_aspect_ratio_policy:string=stretch mode:string=nearest "
       "nearest_mode:string=round_prefer_floor",
       infer_resize, resize},
      {"GridSample", "X grid:f -> Y",
       "align_corners:int=0 mode:string=linear padding_mode:string=zeros", infer_grid_sample,
       grid_sample},
      {"RoiAlign", "X rois:f batch_indices:i -> Y",
       "coordinate_transformation_mode:string=half_pixel mode:string=avg output_height:int=1 "
       "output_width:int=1 sampling_ratio:int=0 spatial_scale:float=1",
       infer_roi_align, roi_align},
      {"NonMaxSuppression",
       "boxes:f scores:f max_output_boxes_per_class?:i iou_threshold?:f score_threshold?:f -> "
       "selected_indices",
       "center_point_box:int=0", infer_nms, non_max_suppression},
  };
  return kRows;
}

}  // namespace skerry::graph::ops
