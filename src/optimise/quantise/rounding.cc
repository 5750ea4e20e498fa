// The results of a layer differ by eᵀ·x where e is what rounding adds to its weights; the mean
// square of that is eᵀ·E[x·xᵀ]·e, a quadratic form in integers: one weight after the other goes to
// the other side where that lowers it.
#include "optimise/quantise/rounding.h"

#include <algorithm>
#include <cmath>

#include "graph/executor.h"

namespace skerry::optimise {
namespace {

constexpr size_t kMaxSums = 1 << 20;   // of a layer, all groups together: 8 MB
constexpr size_t kRowsOfASample = 16;  // of what a layer sees of it
constexpr double kRidge = 1e-3;        // of the mean diagonal: rows are few
constexpr int kMaxSweeps = 8;          // over all weights of a channel

size_t groups_of(const WeightedLayer& layer) {
  return layer.node->op() == "Conv" ? static_cast<size_t>(layer.node->int_of("group")) : 1;
}

size_t width_of(const WeightedLayer& layer) {
  return layer.weights->count() / static_cast<size_t>(layer.channels);
}

// Where weight `i` of a channel lies.
size_t place_of(const WeightedLayer& layer, size_t channel, size_t i) {
  return layer.axis == 0 ? channel * width_of(layer) + i
                         : i * static_cast<size_t>(layer.channels) + channel;
}

void add_row(InputProducts& products, size_t group, std::span<const double> row) {
  double* sums = &products.sums[group * products.width * products.width];
  for (size_t i = 0; i < row.size(); ++i) {
    if (row[i] == 0) continue;
    for (size_t k = 0; k < row.size(); ++k) sums[i * row.size() + k] += row[i] * row[k];
  }
}

void add_rows_of_matrix(InputProducts& products, std::span<const double> numbers) {
  const size_t rows = numbers.size() / products.width;
  const size_t taken = std::min(rows, kRowsOfASample);
  for (size_t i = 0; i < taken; ++i) {
    add_row(products, 0, numbers.subspan(i * rows / taken * products.width, products.width));
    ++products.count;
  }
}

// Windows that lie inside the image wholly, evenly spread: [batch][channel][place].
class Windows {
 public:
  Windows(const WeightedLayer& layer, const std::vector<int64_t>& image) : image_(image) {
    const auto& weights = layer.weights->shape();
    dilations_ = layer.node->ints_of("dilations");
    dilations_.resize(image.size() - 2, 1);
    for (size_t axis = 2; axis < image.size(); ++axis) {
      kernel_.push_back(weights[axis]);
      const int64_t extent = (weights[axis] - 1) * dilations_[axis - 2] + 1;
      places_.push_back(std::max<int64_t>(image[axis] - extent + 1, 0));
    }
  }

  size_t count() const {
    size_t count = static_cast<size_t>(image_[0]);
    for (const int64_t places : places_) count *= static_cast<size_t>(places);
    return count;
  }

  // Of `channels` from `first` on; `at` is below count().
  std::vector<double> row(std::span<const double> numbers, size_t at, size_t first,
                          size_t channels) const {
    std::vector<int64_t> corner(places_.size());
    for (size_t axis = places_.size(); axis-- > 0;) {
      corner[axis] = static_cast<int64_t>(at) % places_[axis];
      at /= static_cast<size_t>(places_[axis]);
    }
    std::vector<double> row;
    for (size_t channel = first; channel < first + channels; ++channel) {
      std::vector<int64_t> in_kernel(kernel_.size(), 0);
      do {
        size_t offset = at * static_cast<size_t>(image_[1]) + channel;
        for (size_t axis = 0; axis < kernel_.size(); ++axis) {
          const int64_t place = corner[axis] + in_kernel[axis] * dilations_[axis];
          offset = offset * static_cast<size_t>(image_[axis + 2]) + static_cast<size_t>(place);
        }
        row.push_back(numbers[offset]);
      } while (step(in_kernel));
    }
    return row;
  }

 private:
  bool step(std::vector<int64_t>& index) const {
    for (size_t axis = index.size(); axis-- > 0;) {
      if (++index[axis] < kernel_[axis]) return true;
      index[axis] = 0;
    }
    return false;
  }

  const std::vector<int64_t>& image_;
  std::vector<int64_t> kernel_, dilations_, places_;
};

void add_rows_of_image(const WeightedLayer& layer, InputProducts& products,
                       const graph::Array& array, std::span<const double> numbers) {
  if (array.shape.size() != layer.weights->shape().size()) return;
  const Windows windows(layer, array.shape);
  const size_t count = windows.count();
  const auto channels = static_cast<size_t>(layer.weights->shape()[1]);
  const size_t taken = std::min(count, kRowsOfASample);
  for (size_t i = 0; i < taken; ++i) {
    for (size_t group = 0; group < products.groups; ++group) {
      add_row(products, group, windows.row(numbers, i * count / taken, group * channels, channels));
    }
    ++products.count;
  }
}

}  // namespace

Result<LayerProducts> observe_products(const graph::Graph& graph, std::span<const Sample> samples) {
  LayerProducts all;
  std::unordered_multimap<const Value*, WeightedLayer> readers;
  for (const auto& node : graph.nodes()) {
    const auto layer = weighted_layer(*node);
    if (!layer) continue;
    InputProducts products{.groups = groups_of(*layer), .width = width_of(*layer)};
    if (products.groups * products.width > kMaxSums / products.width) continue;
    products.sums.assign(products.groups * products.width * products.width, 0);
    all.emplace(node->output(0)->name(), std::move(products));
    readers.emplace(node->input(0), *layer);
  }
  const auto observe = [&](const Value& value, const graph::Array& array) {
    const auto [first, last] = readers.equal_range(&value);
    if (first == last || array.type != DataType::kFp32) return;
    const auto numbers = array.to_doubles();
    if (!std::ranges::all_of(numbers, [](double x) { return std::isfinite(x); })) return;
    for (auto at = first; at != last; ++at) {
      const WeightedLayer& layer = at->second;
      InputProducts& products = all.at(layer.node->output(0)->name());
      if (layer.node->op() == "Conv") {
        add_rows_of_image(layer, products, array, numbers);
      } else {
        add_rows_of_matrix(products, numbers);
      }
    }
  };
  graph::Executor executor(graph, {.observe = observe});
  for (const Sample& sample : samples) {
    for (const auto& input : graph.inputs()) {
      for (const tensor::Tensor& tensor : sample) {
        if (tensor.name == input->name()) observe(*input, graph::Array::from(tensor.view()));
      }
    }
    SKERRY_TRY(executor.run(tensor::views_of(sample)));
  }
  std::erase_if(all, [](const auto& one) { return one.second.count == 0; });
  return all;
}

void round_by_products(const WeightedLayer& layer, const InputProducts& products, int64_t largest,
                       IntegerWeights& weights) {
  const size_t per_group = static_cast<size_t>(layer.channels) / products.groups;
  const auto values = layer.weights->as<float>();
  const size_t width = products.width;
  std::vector<double> gradient(width);
  for (size_t channel = 0; channel < static_cast<size_t>(layer.channels); ++channel) {
    const size_t group = channel / per_group;
    const double scale = weights.scales[weights.scales.size() == 1 ? 0 : channel];
    double ridge = 0;
    for (size_t i = 0; i < width; ++i)
      ridge += kRidge * products.at(group, i, i) / static_cast<double>(width);
    const auto product = [&](size_t i, size_t k) {
      return products.at(group, i, k) + (i == k ? ridge : 0);
    };
    for (size_t i = 0; i < width; ++i) {
      gradient[i] = 0;
      for (size_t k = 0; k < width; ++k) {
        gradient[i] += product(i, k) * weights.error[place_of(layer, channel, k)];
      }
    }
    bool changed = true;
    for (int round = 0; round < kMaxSweeps && changed; ++round) {
      changed = false;
      for (size_t i = 0; i < width; ++i) {
        const size_t at = place_of(layer, channel, i);
        if (!std::isfinite(values[at])) continue;
        const double exact = static_cast<double>(values[at]) / scale;
        const auto low = static_cast<int64_t>(std::floor(exact));
        const int64_t other = weights.numbers[at] == low ? low + 1 : low;
        if (other < -largest || other > largest || exact == static_cast<double>(low)) continue;
        const double step = static_cast<double>(other - weights.numbers[at]) * scale;
        if (2 * step * gradient[i] + step * step * product(i, i) >= 0) continue;
        weights.numbers[at] = other;
        weights.error[at] += step;
        for (size_t k = 0; k < width; ++k) gradient[k] += step * product(k, i);
        changed = true;
      }
    }
  }
}

}  // namespace skerry::optimise
