// From tensors to features.
#include "serve/drift_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "serve/numeric.h"

namespace skerry::serve {
namespace {

using nlohmann::json;

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kMaxElements = 4'096;  // of an item that statistics look at, evenly spread

// Element `index`; NaN for types that are no numbers.
double number_at(const tensor::Tensor& tensor, size_t index) {
  const size_t size = tensor::size_of(tensor.type);
  if (size == 0 || (index + 1) * size > tensor.bytes.size()) return kMissing;
  const std::byte* at = tensor.bytes.data() + index * size;
  if (tensor.type == tensor::DataType::kBool) return std::to_integer<int>(*at) != 0 ? 1 : 0;
  const auto number = visit_numeric(tensor.type, [at](auto zero) -> Result<double> {
    auto value = zero;
    std::memcpy(&value, at, sizeof value);
    return static_cast<double>(value);
  });
  return number ? *number : kMissing;
}

struct Statistics {
  double mean = kMissing, deviation = kMissing, min = kMissing, max = kMissing;
};
Statistics statistics_of(const tensor::Tensor& tensor, size_t from, size_t count) {
  const size_t step = std::max<size_t>(1, count / kMaxElements);
  double sum = 0, squares = 0, seen = 0;
  Statistics result;
  for (size_t i = 0; i < count; i += step) {
    const double value = number_at(tensor, from + i);
    if (std::isnan(value)) return {};
    result.min = seen == 0 ? value : std::min(result.min, value);
    result.max = seen == 0 ? value : std::max(result.max, value);
    sum += value;
    squares += value * value;
    ++seen;
  }
  if (seen == 0) return {};
  result.mean = sum / seen;
  result.deviation = std::sqrt(std::max(0.0, squares / seen - result.mean * result.mean));
  return result;
}

}  // namespace

// `feature` without the tensor's name in front: "", "[3]", ".mean".
Result<DriftWatch::Source> DriftWatch::source_of(const std::string& feature,
                                                 const tensor::TensorSpec& spec, bool of_output) {
  Source source{spec.name, What::kElement, 0, of_output,
                !spec.shape.empty() && spec.shape.front() == -1};
  const std::string rest = feature.substr(spec.name.size());
  constexpr std::pair<const char*, What> kNames[] = {{"", What::kElement},
                                                     {".mean", What::kMean},
                                                     {".deviation", What::kDeviation},
                                                     {".min", What::kMin},
                                                     {".max", What::kMax}};
  for (const auto& [name, what] : kNames) {
    if (rest != name) continue;
    source.what = what;
    return source;
  }
  const char* end = rest.data() + rest.size() - 1;
  const bool has_brackets = rest.size() >= 3 && rest.front() == '[' && rest.back() == ']';
  if (has_brackets) {
    const auto [stopped, error] = std::from_chars(rest.data() + 1, end, source.element);
    if (error == std::errc() && stopped == end) return source;
  }
  return fail(Code::kInvalidArgument,
              fmt::format("reference.json: '{}' must be {}, {}[NUMBER] or {}.mean, .deviation, "
                          ".min or .max",
                          feature, spec.name, spec.name, spec.name));
}

Result<std::unique_ptr<DriftWatch>> DriftWatch::make(monitor::Reference reference,
                                                     std::span<const tensor::TensorSpec> inputs,
                                                     std::span<const tensor::TensorSpec> outputs,
                                                     monitor::DriftWindow::Limits limits) {
  std::vector<Source> sources;
  for (const monitor::Feature& feature : reference.features) {
    const tensor::TensorSpec* found = nullptr;  // the longest name that the feature begins with
    bool of_output = false;
    const auto look = [&](std::span<const tensor::TensorSpec> specs, bool are_outputs) {
      for (const tensor::TensorSpec& spec : specs) {
        const bool fits = feature.name.starts_with(spec.name) &&
                          (found == nullptr || spec.name.size() > found->name.size());
        if (!fits) continue;
        found = &spec;
        of_output = are_outputs;
      }
    };
    look(inputs, false);
    look(outputs, true);
    if (found == nullptr) {
      return fail(Code::kInvalidArgument,
                  fmt::format("reference.json: feature '{}' begins with the name of no input or "
                              "output of model.json",
                              feature.name));
    }
    SKERRY_ASSIGN(Source source, source_of(feature.name, *found, of_output));
    sources.push_back(std::move(source));
  }
  std::unique_ptr<DriftWatch> watch(
      new DriftWatch(monitor::DriftWindow(std::move(reference), limits)));
  watch->sources_ = std::move(sources);
  return watch;
}

void DriftWatch::read(std::span<const tensor::Tensor> tensors, bool outputs, Rows& rows) const {
  for (size_t i = 0; i < sources_.size(); ++i) {
    const Source& source = sources_[i];
    if (source.of_output != outputs) continue;
    const auto tensor = std::ranges::find(tensors, source.tensor, &tensor::Tensor::name);
    const size_t size = tensor == tensors.end() ? 0 : tensor::size_of(tensor->type);
    if (size == 0) continue;  // not asked for, or no numbers: missing
    const size_t items =
        source.has_rows && !tensor->shape.empty() ? static_cast<size_t>(tensor->shape.front()) : 1;
    const size_t each = items == 0 ? 0 : tensor->bytes.size() / size / items;
    for (size_t row = 0; row < std::min(items, rows.size()); ++row) {
      double& value = rows[row][i];
      if (source.what == What::kElement) {
        value = source.element < each ? number_at(*tensor, row * each + source.element) : kMissing;
        continue;
      }
      const Statistics statistics = statistics_of(*tensor, row * each, each);
      value = source.what == What::kMean        ? statistics.mean
              : source.what == What::kDeviation ? statistics.deviation
              : source.what == What::kMin       ? statistics.min
                                                : statistics.max;
    }
  }
}

DriftWatch::Rows DriftWatch::look_at(std::span<const tensor::Tensor> inputs) const {
  size_t items = 1;
  for (const Source& source : sources_) {
    const auto tensor = std::ranges::find(inputs, source.tensor, &tensor::Tensor::name);
    if (source.of_output || !source.has_rows || tensor == inputs.end() || tensor->shape.empty()) {
      continue;
    }
    items = std::min(kMaxItems, static_cast<size_t>(std::max<int64_t>(0, tensor->shape.front())));
  }
  Rows rows(items, std::vector<double>(sources_.size(), kMissing));
  read(inputs, false, rows);
  return rows;
}

bool DriftWatch::add(Rows rows, std::span<const tensor::Tensor> outputs, int64_t now_ms) {
  read(outputs, true, rows);
  bool is_new = false;
  for (const std::vector<double>& row : rows) {
    if (!window_.add(row, now_ms)) continue;
    verdict_ = monitor::judge(window_.reference(), window_.counts());
    ++windows_;
    drifted_windows_ += drifted().empty() ? 0 : 1;
    window_.begin();
    is_new = true;
  }
  return is_new;
}

std::vector<std::string> DriftWatch::drifted() const {
  std::vector<std::string> names;
  for (const monitor::FeatureDrift& each : verdict_) {
    if (each.drifted) names.push_back(each.name);
  }
  return names;
}

std::string DriftWatch::to_json() const {
  json features = json::array();
  for (const monitor::FeatureDrift& each : verdict_) {
    features.push_back({{"name", each.name},
                        {"count", each.count},
                        {"psi", each.psi},
                        {"jensenShannon", each.jensen_shannon},
                        {"wasserstein", each.wasserstein},
                        {"kolmogorovSmirnov", each.kolmogorov_smirnov},
                        {"missing", each.missing},
                        {"outside", each.outside},
                        {"pValue", each.p_value},
                        {"drifted", each.drifted}});
  }
  return json{{"windows", windows_},
              {"driftedWindows", drifted_windows_},
              {"itemsInWindow", window_.items()},
              {"features", std::move(features)}}
      .dump();
}

}  // namespace skerry::serve
