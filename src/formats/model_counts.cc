// Sums that cannot overflow, and the packed form of the store.
#include "formats/model_counts.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

namespace skerry::formats {
namespace {

// Each character holds five bits, the lowest first; the sixth says that more follow.
constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr uint64_t kDigitBits = 5;
constexpr uint64_t kMore = 1 << kDigitBits;
constexpr char kVersion = '3';
constexpr char kWithoutAlarms = '2';  // as it was before
constexpr char kLatencyFirst = '1';   // and before that

constexpr std::array<int8_t, 256> kValues = [] {
  std::array<int8_t, 256> values{};
  values.fill(-1);
  for (size_t i = 0; i < kDigits.size(); ++i) {
    values[static_cast<unsigned char>(kDigits[i])] = static_cast<int8_t>(i);
  }
  return values;
}();

void add_to(uint64_t& sum, uint64_t more) {
  sum += std::min(more, std::numeric_limits<uint64_t>::max() - sum);
}

// In the order in which they are packed.
constexpr std::array<uint64_t ModelTotals::*, 10> kPackedTotals = {&ModelTotals::requests,
                                                                   &ModelTotals::errors,
                                                                   &ModelTotals::refused,
                                                                   &ModelTotals::latency_sum_us,
                                                                   &ModelTotals::predictions,
                                                                   &ModelTotals::confidence_sum,
                                                                   &ModelTotals::confidence_squares,
                                                                   &ModelTotals::hangs,
                                                                   &ModelTotals::not_finite,
                                                                   &ModelTotals::slow};
constexpr size_t kTotalsWithoutAlarms = 7;

void put_number(std::string& out, uint64_t value) {
  while (value >= kMore) {
    out += kDigits[kMore | (value & (kMore - 1))];
    value >>= kDigitBits;
  }
  out += kDigits[value];
}

// How many bins are not 0, then each as the distance from the last one and its count.
template <size_t N>
void put_bins(std::string& out, const std::array<uint64_t, N>& bins) {
  put_number(out, N - static_cast<size_t>(std::ranges::count(bins, 0u)));
  size_t next = 0;
  for (size_t i = 0; i < N; ++i) {
    if (bins[i] == 0) continue;
    put_number(out, i - next);
    put_number(out, bins[i]);
    next = i + 1;
  }
}

class Unpacker {
 public:
  explicit Unpacker(std::string_view text) : text_(text) {}

  bool number(uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 64; shift += kDigitBits) {
      if (text_.empty()) return false;
      const auto digit = kValues[static_cast<unsigned char>(text_.front())];
      text_.remove_prefix(1);
      if (digit < 0) return false;
      const uint64_t bits = static_cast<unsigned char>(digit);
      value |= (bits & (kMore - 1)) << shift;
      if ((bits & kMore) == 0) return true;
    }
    return false;
  }

  template <class Each>
  bool bins(size_t size, Each each) {
    uint64_t count = 0;
    if (!number(count) || count > size) return false;
    for (uint64_t next = 0; count > 0; --count) {
      uint64_t distance = 0;
      uint64_t value = 0;
      if (!number(distance) || !number(value) || distance >= size - next) return false;
      each(next + distance, value);
      next += distance + 1;
    }
    return true;
  }

  // Over bins, unread.
  bool skip_bins() {
    uint64_t left = 0;
    if (!number(left) || left > text_.size()) return false;
    left *= 2;
    size_t at = 0;
    for (; left > 0 && at < text_.size(); ++at) {
      const auto digit = kValues[static_cast<unsigned char>(text_[at])];
      if (digit < 0) return false;
      if ((static_cast<unsigned char>(digit) & kMore) == 0) --left;
    }
    text_.remove_prefix(at);
    return left == 0;
  }

  bool at_end() const { return text_.empty(); }

 private:
  std::string_view text_;
};

// Those that `version` has; the others become 0.
bool read_totals(Unpacker& text, char version, ModelTotals& totals) {
  size_t read = version == kVersion ? kPackedTotals.size() : kTotalsWithoutAlarms;
  totals = {};
  return std::ranges::all_of(
      kPackedTotals, [&](auto total) { return read == 0 || (--read, text.number(totals.*total)); });
}

bool is_known(std::string_view packed) {
  return packed.starts_with(kVersion) || packed.starts_with(kWithoutAlarms) ||
         packed.starts_with(kLatencyFirst);
}

double ratio(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

void ModelCounts::add(const ModelCounts& other) {
  for (const auto total : kPackedTotals) add_to(this->*total, other.*total);
  for (size_t i = 0; i < latency.size(); ++i) add_to(latency[i], other.latency[i]);
  for (size_t i = 0; i < classes.size(); ++i) add_to(classes[i], other.classes[i]);
}

ModelCounts ModelCounts::since(const ModelCounts& earlier) const {
  const auto rest = [](uint64_t now, uint64_t then) { return now - std::min(now, then); };
  ModelCounts later;
  for (const auto total : kPackedTotals) later.*total = rest(this->*total, earlier.*total);
  for (size_t i = 0; i < latency.size(); ++i)
    later.latency[i] = rest(latency[i], earlier.latency[i]);
  for (size_t i = 0; i < classes.size(); ++i)
    later.classes[i] = rest(classes[i], earlier.classes[i]);
  return later;
}

void ModelCounts::add_latency(int64_t ns) {
  const auto value = static_cast<uint64_t>(std::max<int64_t>(ns, 0));
  add_to(latency_sum_us, value / 1000);
  add_to(latency[Latency::bucket_of(value)], 1);
}

void ModelCounts::add_prediction(size_t class_index, double confidence) {
  // Not a number is no confidence.
  const double clamped = confidence > 0 ? std::min(confidence, 1.0) : 0;
  constexpr auto kUnit = static_cast<double>(kConfidenceUnit);
  add_to(predictions, 1);
  add_to(confidence_sum, static_cast<uint64_t>(std::llround(clamped * kUnit)));
  add_to(confidence_squares, static_cast<uint64_t>(std::llround(clamped * clamped * kUnit)));
  add_to(classes[class_index % kClassBins], 1);
}

double ModelTotals::error_rate() const {
  return ratio(errors, requests + errors);
}

double ModelTotals::alarm_rate() const {
  return ratio(hangs + not_finite + slow, requests + errors);
}

double ModelTotals::mean_confidence() const {
  return ratio(confidence_sum, predictions) / static_cast<double>(kConfidenceUnit);
}

double ModelTotals::mean_latency_us() const {
  return ratio(latency_sum_us, requests);
}

uint64_t ModelCounts::latency_quantile_ns(double q) const {
  double total = 0;
  for (const uint64_t count : latency) total += static_cast<double>(count);
  if (total == 0) return 0;
  const double wanted = std::max(1.0, std::ceil(q * total));
  double seen = 0;
  size_t last = 0;
  for (size_t i = 0; i < latency.size() && seen < wanted; ++i) {
    seen += static_cast<double>(latency[i]);
    last = i;
  }
  return Latency::last_of(last);
}

std::string pack(const ModelCounts& counts) {
  std::string out(1, kVersion);
  for (const auto total : kPackedTotals) put_number(out, counts.*total);
  put_bins(out, counts.classes);
  put_bins(out, counts.latency);
  return out;
}

bool add_packed(std::string_view packed, ModelCounts& sum, ModelTotals& totals) {
  if (!is_known(packed)) return false;
  const bool latency_first = packed.starts_with(kLatencyFirst);
  Unpacker text(packed.substr(1));
  if (!read_totals(text, packed.front(), totals)) return false;
  for (const auto total : kPackedTotals) add_to(sum.*total, totals.*total);
  const auto add_latency = [&](size_t i, uint64_t count) { add_to(sum.latency[i], count); };
  const auto add_class = [&](size_t i, uint64_t count) { add_to(sum.classes[i], count); };
  if (latency_first && !text.bins(sum.latency.size(), add_latency)) return false;
  if (!text.bins(sum.classes.size(), add_class)) return false;
  if (!latency_first && !text.bins(sum.latency.size(), add_latency)) return false;
  return text.at_end();
}

bool read_packed(std::string_view packed, ModelTotals& totals, ClassBins& classes) {
  if (!is_known(packed)) return false;
  const bool latency_first = packed.starts_with(kLatencyFirst);
  Unpacker text(packed.substr(1));
  for (uint64_t used = std::exchange(classes.used, 0); used != 0; used &= used - 1) {
    classes.counts[static_cast<size_t>(std::countr_zero(used))] = 0;
  }
  const auto set_class = [&](size_t i, uint64_t count) {
    classes.counts[i] = count;
    if (count > 0) classes.used |= uint64_t{1} << i;
  };
  return read_totals(text, packed.front(), totals) && (!latency_first || text.skip_bins()) &&
         text.bins(classes.counts.size(), set_class);
}

}  // namespace skerry::formats
