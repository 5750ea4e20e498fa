// Counting into log-linear buckets, and the distribution's JSON.
#include "formats/distribution.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <tuple>

namespace skerry::formats {
namespace {

using nlohmann::json;
using Sum = Distribution::Sum;

constexpr int64_t kMaxMillionths =
    static_cast<int64_t>(Distribution::kMaxValue * Distribution::kUnit);
constexpr uint64_t kMaxItems = uint64_t{1} << 62;

int16_t bin_of(int64_t value) {
  const auto size = static_cast<uint64_t>(value < 0 ? -value : value);
  const auto bucket = static_cast<int16_t>(Distribution::Buckets::bucket_of(size));
  return value < 0 ? static_cast<int16_t>(-bucket) : bucket;
}

// The largest value in the bin.
int64_t last_of(int16_t bin) {
  if (bin >= 0)
    return static_cast<int64_t>(Distribution::Buckets::last_of(static_cast<size_t>(bin)));
  return -static_cast<int64_t>(Distribution::Buckets::last_of(static_cast<size_t>(-bin) - 1)) - 1;
}

std::string text_of(Sum sum) {
  if (sum == 0) return "0";
  std::string digits;
  for (Sum rest = sum; rest != 0; rest /= 10) {
    digits += static_cast<char>('0' + std::abs(static_cast<int>(rest % 10)));
  }
  if (sum < 0) digits += '-';
  std::ranges::reverse(digits);
  return digits;
}

Result<Sum> parse_sum(const Node& node) {
  SKERRY_ASSIGN(const std::string text, node.as_string());
  const bool negative = text.starts_with('-');
  const std::string digits = text.substr(negative ? 1 : 0);
  if (digits.empty() || digits.size() > 37 ||
      !std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; })) {
    return node.wrong("must be a whole number of at most 37 digits");
  }
  Sum sum = 0;
  for (const char digit : digits) sum = sum * 10 + (digit - '0');
  return negative ? -sum : sum;
}

Result<int64_t> value_in(const Node& parent, const char* key) {
  SKERRY_ASSIGN(const Node node, parent.require(key));
  SKERRY_ASSIGN(const int64_t value, node.as_integer());
  if (value < -kMaxMillionths || value > kMaxMillionths) return node.wrong("is out of range");
  return value;
}

Result<uint64_t> count_of(const Node& node) {
  SKERRY_ASSIGN(const int64_t count, node.as_integer());
  if (count < 1 || static_cast<uint64_t>(count) > kMaxItems) return node.wrong("must be 1 to 2^62");
  return static_cast<uint64_t>(count);
}

Result<void> read_bins(const Node& parent, Distribution& out) {
  SKERRY_ASSIGN(const Node node, parent.require("bins"));
  SKERRY_ASSIGN(const auto numbers, node.elements());
  if (numbers.size() % 2 != 0 || numbers.size() > 4 * Distribution::Buckets::kBuckets) {
    return node.wrong("must be pairs of a bin and its count");
  }
  uint64_t sum = 0;
  for (size_t i = 0; i < numbers.size(); i += 2) {
    SKERRY_ASSIGN(const int64_t bin, numbers[i].as_integer());
    SKERRY_ASSIGN(const uint64_t count, count_of(numbers[i + 1]));
    if (bin < bin_of(out.min) || bin > bin_of(out.max)) {
      return numbers[i].wrong("is not between min and max");
    }
    if (!out.bins.try_emplace(static_cast<int16_t>(bin), count).second) {
      return numbers[i].wrong("stands here twice");
    }
    if (count > out.count - sum) return node.wrong("holds more than count");
    sum += count;
  }
  if (sum != out.count) return node.wrong("does not add up to count");
  return {};
}

}  // namespace

void Distribution::add(double value, int64_t now_ms) {
  const double bounded = std::clamp(value, -kMaxValue, kMaxValue);
  const auto millionths = static_cast<int64_t>(std::llround(bounded * kUnit));
  Distribution one{1, millionths, millionths, millionths, millionths, now_ms, {}};
  one.bins[bin_of(millionths)] = 1;
  merge(one);
}

void Distribution::merge(const Distribution& other) {
  if (other.count == 0) return;
  if (count == 0) {
    *this = other;
    return;
  }
  count = std::min(kMaxItems, count + other.count);
  sum += other.sum;
  min = std::min(min, other.min);
  max = std::max(max, other.max);
  std::tie(last_ms, last) =
      std::max(std::tuple(last_ms, last), std::tuple(other.last_ms, other.last));
  for (const auto& [bin, number] : other.bins) {
    bins[bin] = std::min(kMaxItems, bins[bin] + number);
  }
}

double Distribution::total() const {
  return static_cast<double>(sum) / kUnit;
}

double Distribution::mean() const {
  return count == 0 ? 0 : total() / static_cast<double>(count);
}

double Distribution::quantile(double q) const {
  if (count == 0) return 0;
  if (q <= 0) return static_cast<double>(min) / kUnit;
  const auto wanted = std::clamp(static_cast<uint64_t>(std::ceil(q * static_cast<double>(count))),
                                 uint64_t{1}, count);
  uint64_t seen = 0;
  for (const auto& [bin, number] : bins) {
    seen += number;
    if (seen >= wanted) return static_cast<double>(std::clamp(last_of(bin), min, max)) / kUnit;
  }
  return static_cast<double>(max) / kUnit;
}

json to_json(const Distribution& distribution) {
  json bins = json::array();
  for (const auto& [bin, number] : distribution.bins) {
    bins.push_back(bin);
    bins.push_back(number);
  }
  return {{"count", distribution.count}, {"sum", text_of(distribution.sum)},
          {"min", distribution.min},     {"max", distribution.max},
          {"last", distribution.last},   {"lastMs", distribution.last_ms},
          {"bins", std::move(bins)}};
}

Result<Distribution> parse_distribution(const Node& node) {
  Distribution out;
  SKERRY_ASSIGN(const Node count, node.require("count"));
  SKERRY_ASSIGN(out.count, count_of(count));
  SKERRY_ASSIGN(const Node sum, node.require("sum"));
  SKERRY_ASSIGN(out.sum, parse_sum(sum));
  SKERRY_ASSIGN(out.min, value_in(node, "min"));
  SKERRY_ASSIGN(out.max, value_in(node, "max"));
  SKERRY_ASSIGN(out.last, value_in(node, "last"));
  SKERRY_ASSIGN(const Node last_ms, node.require("lastMs"));
  SKERRY_ASSIGN(out.last_ms, last_ms.as_integer());
  if (out.min > out.max || out.last < out.min || out.last > out.max) {
    return node.wrong("min, last and max are not in this order");
  }
  const Sum values = static_cast<Sum>(out.count);
  if (out.sum < values * out.min || out.sum > values * out.max) {
    return sum.wrong("is not between count times min and count times max");
  }
  SKERRY_TRY(read_bins(node, out));
  return out;
}

}  // namespace skerry::formats
