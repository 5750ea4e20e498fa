// OTLP in both of its encodings, into the same points.
#include "nucleus/intake/otlp.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/protobuf.h"
#include "formats/json_ptr.h"
#include "formats/node.h"
#include "nucleus/intake/repeated.h"

namespace skerry::nucleus {
namespace {

using formats::Distribution;
using formats::Node;
using Points = std::vector<OtlpPoint>;
using Kind = OtlpPoint::Kind;

constexpr size_t kMaxOtlpBuckets = 512;
constexpr size_t kMaxOtlpKey = 1'024;
constexpr size_t kMaxServiceName = 128;
constexpr int64_t kDeltaTemporality = 1;
constexpr double kMostWeight = 1e15;

std::unexpected<Error> otlp_wrong(const char* what) {
  return fail(Code::kInvalidArgument, std::string("OTLP: ") + what);
}

// The units of UCUM that ours have a place for.
struct OtlpUnit {
  std::string_view name, unit;
  double scale;
};
constexpr OtlpUnit kOtlpUnits[] = {
    {"By", "BYTES", 1},      {"KiBy", "BYTES", 1'024}, {"MBy", "MEGABYTES", 1},
    {"s", "SECONDS", 1},     {"ms", "SECONDS", 1e-3},  {"us", "SECONDS", 1e-6},
    {"ns", "SECONDS", 1e-9}, {"min", "SECONDS", 60},   {"By/s", "BYTES_PER_SECOND", 1},
    {"%", "PERCENT", 1},     {"Cel", "CELSIUS", 1},    {"1/s", "COUNT_PER_SECOND", 1},
};

Result<void> set_series(OtlpPoint& point, const std::string& component, std::string_view name,
                        std::string_view unit) {
  const bool fits =
      !name.empty() && name.size() <= formats::kMaxMetricName &&
      std::ranges::none_of(name, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (!fits) point.kind = Kind::kOther;
  point.series = {component, std::string(name.substr(0, formats::kMaxMetricName)), "COUNT"};
  for (const OtlpUnit& each : kOtlpUnits) {
    if (each.name != unit) continue;
    point.series.unit = each.unit;
    point.scale = each.scale;
  }
  return {};
}

std::string component_of(std::string_view service) {
  const bool fits = !service.empty() && service.size() <= kMaxServiceName &&
                    std::ranges::all_of(service, [](unsigned char c) {
                      return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-' || c == ':';
                    });
  return fits ? std::string(service) : "OTLP";
}

// --- Protobuf -----------------------------------------------------------------------------------

// Each field of a message; false from `each` or damage ends it.
template <class Each>
bool for_fields(std::string_view bytes, Each each) {
  ProtobufReader reader(bytes);
  while (!reader.at_end()) {
    const auto field = reader.next();
    if (!field || !each(*field)) return false;
  }
  return true;
}

double as_double(uint64_t bits) {
  return std::bit_cast<double>(bits);
}

// service.name of a Resource's attributes.
std::string_view service_in(std::string_view resource) {
  std::string_view service;
  for_fields(resource, [&](const ProtobufField& attribute) {
    if (attribute.number != 1 || !attribute.is_message) return true;
    std::string_view key, value;
    for_fields(attribute.bytes, [&](const ProtobufField& part) {
      if (part.number == 1) key = part.bytes;
      if (part.number == 2 && part.is_message) {
        for_fields(part.bytes, [&](const ProtobufField& any) {
          if (any.number == 1) value = any.bytes;
          return true;
        });
      }
      return true;
    });
    if (key == "service.name") service = value;
    return true;
  });
  return service;
}

// Packed, or one at a time.
template <class T, class Convert>
bool add_fixed(const ProtobufField& field, std::vector<T>& out, Convert convert) {
  if (!field.is_message) {
    out.push_back(convert(field.value));
    return out.size() <= kMaxOtlpBuckets;
  }
  ProtobufReader packed(field.bytes);
  while (!packed.at_end()) {
    const auto bits = packed.fixed(8);
    if (!bits || out.size() >= kMaxOtlpBuckets) return false;
    out.push_back(convert(*bits));
  }
  return true;
}

bool read_number_point(std::string_view bytes, OtlpPoint& point) {
  return for_fields(bytes, [&](const ProtobufField& field) {
    if (field.number == 2) point.start_ns = field.value;
    if (field.number == 4) point.value = as_double(field.value);
    if (field.number == 6) point.value = static_cast<double>(static_cast<int64_t>(field.value));
    if (field.number == 7) point.key += field.bytes;
    return point.key.size() <= kMaxOtlpKey;
  });
}

bool read_histogram_point(std::string_view bytes, OtlpPoint& point) {
  return for_fields(bytes, [&](const ProtobufField& field) {
    if (field.number == 2) point.start_ns = field.value;
    if (field.number == 4) point.count = field.value;
    if (field.number == 5) point.sum = as_double(field.value);
    if (field.number == 9) point.key += field.bytes;
    const bool fits =
        (field.number != 6 || add_fixed(field, point.counts, [](uint64_t bits) { return bits; })) &&
        (field.number != 7 || add_fixed(field, point.bounds, as_double));
    return fits && point.key.size() <= kMaxOtlpKey;
  });
}

// Gauge, Sum, Histogram: points in field 1, then temporality and monotony.
bool read_data(std::string_view bytes, OtlpPoint form, Points& points) {
  std::vector<std::string_view> found;
  const bool whole = for_fields(bytes, [&](const ProtobufField& field) {
    if (field.number == 1 && field.is_message) found.push_back(field.bytes);
    if (field.number == 2) form.is_delta = static_cast<int64_t>(field.value) == kDeltaTemporality;
    if (field.number == 3) form.is_monotonic = field.value != 0;
    return found.size() + points.size() <= kMaxOtlpPoints;
  });
  if (!whole) return false;
  for (const std::string_view each : found) {
    OtlpPoint point = form;
    const bool read = point.kind == Kind::kHistogram ? read_histogram_point(each, point)
                                                     : read_number_point(each, point);
    if (!read) return false;
    points.push_back(std::move(point));
  }
  return true;
}

bool read_metric(std::string_view bytes, const std::string& component, Points& points) {
  std::string_view name, unit, data;
  OtlpPoint form;
  const bool whole = for_fields(bytes, [&](const ProtobufField& field) {
    if (field.number == 1) name = field.bytes;
    if (field.number == 3) unit = field.bytes;
    if (field.number != 5 && field.number != 7 && field.number != 9 && field.number != 10 &&
        field.number != 11) {
      return true;
    }
    data = field.bytes;
    form.kind = field.number == 5   ? Kind::kGauge
                : field.number == 7 ? Kind::kSum
                : field.number == 9 ? Kind::kHistogram
                                    : Kind::kOther;
    return field.is_message;
  });
  if (!whole || !set_series(form, component, name, unit)) return false;
  if (form.kind != Kind::kOther) return read_data(data, form, points);
  points.push_back(std::move(form));
  return true;
}

bool read_resource_metrics(std::string_view bytes, Points& points) {
  std::string component = "OTLP";
  std::vector<std::string_view> scopes;
  const bool whole = for_fields(bytes, [&](const ProtobufField& field) {
    if (field.number == 1 && field.is_message) component = component_of(service_in(field.bytes));
    if (field.number == 2 && field.is_message) scopes.push_back(field.bytes);
    return true;
  });
  return whole && std::ranges::all_of(scopes, [&](std::string_view scope) {
           return for_fields(scope, [&](const ProtobufField& field) {
             return field.number != 2 || !field.is_message ||
                    (read_metric(field.bytes, component, points) &&
                     points.size() <= kMaxOtlpPoints);
           });
         });
}

// --- JSON
// ------------------------------------------------------------------------------------------

Result<std::vector<Node>> list_in(const Node& node, std::string_view key) {
  SKERRY_ASSIGN(const auto list, node.find(key));
  if (!list) return std::vector<Node>();
  return list->elements();
}

Result<void> read_number(const Node& node, std::string_view key, double& out) {
  SKERRY_ASSIGN(const auto found, node.find(key));
  if (!found) return {};
  SKERRY_ASSIGN(out, found->as_number());
  return {};
}

Result<void> read_count(const Node& node, std::string_view key, uint64_t& out) {
  int64_t number = 0;
  SKERRY_TRY(node.read(key, number));
  if (number < 0) return node.wrong("has a negative count");
  if (number > 0) out = static_cast<uint64_t>(number);
  return {};
}

Result<OtlpPoint> json_point(const Node& node, OtlpPoint point) {
  SKERRY_TRY(read_count(node, "startTimeUnixNano", point.start_ns));
  SKERRY_ASSIGN(const auto attributes, node.find("attributes"));
  if (attributes) point.key = attributes->value().dump(-1, ' ', true);
  if (point.key.size() > kMaxOtlpKey) return node.wrong("has too many attributes");
  if (point.kind != Kind::kHistogram) {
    SKERRY_TRY(read_number(node, "asDouble", point.value));
    SKERRY_TRY(read_number(node, "asInt", point.value));
    return point;
  }
  SKERRY_TRY(read_count(node, "count", point.count));
  SKERRY_TRY(read_number(node, "sum", point.sum));
  SKERRY_ASSIGN(const auto counts, list_in(node, "bucketCounts"));
  SKERRY_ASSIGN(const auto bounds, list_in(node, "explicitBounds"));
  if (counts.size() > kMaxOtlpBuckets || bounds.size() > kMaxOtlpBuckets) {
    return node.wrong("has too many buckets");
  }
  for (const Node& each : counts) {
    SKERRY_ASSIGN(const int64_t count, each.as_integer());
    if (count < 0) return each.wrong("is negative");
    point.counts.push_back(static_cast<uint64_t>(count));
  }
  for (const Node& each : bounds) {
    SKERRY_ASSIGN(const double bound, each.as_number());
    point.bounds.push_back(bound);
  }
  return point;
}

Result<void> json_metric(const Node& metric, const std::string& component, Points& points) {
  std::string name, unit;
  SKERRY_TRY(metric.read("name", name));
  SKERRY_TRY(metric.read("unit", unit));
  const std::pair<const char*, Kind> kinds[] = {
      {"gauge", Kind::kGauge}, {"sum", Kind::kSum}, {"histogram", Kind::kHistogram}};
  for (const auto& [key, kind] : kinds) {
    SKERRY_ASSIGN(const auto data, metric.find(key));
    if (!data) continue;
    OtlpPoint form;
    form.kind = kind;
    SKERRY_TRY(set_series(form, component, name, unit));
    int64_t temporality = 0;
    SKERRY_TRY(data->read("aggregationTemporality", temporality));
    form.is_delta = temporality == kDeltaTemporality;
    SKERRY_TRY(data->read("isMonotonic", form.is_monotonic));
    SKERRY_ASSIGN(const auto list, list_in(*data, "dataPoints"));
    for (const Node& each : list) {
      SKERRY_ASSIGN(OtlpPoint point, json_point(each, form));
      points.push_back(std::move(point));
    }
    return {};
  }
  OtlpPoint other;
  SKERRY_TRY(set_series(other, component, name, unit));
  points.push_back(std::move(other));
  return {};
}

Result<std::string> json_component(const Node& resource_metrics) {
  SKERRY_ASSIGN(const auto resource, resource_metrics.find("resource"));
  if (!resource) return std::string("OTLP");
  SKERRY_ASSIGN(const auto attributes, list_in(*resource, "attributes"));
  for (const Node& attribute : attributes) {
    std::string key, text;
    SKERRY_TRY(attribute.read("key", key));
    if (key != "service.name") continue;
    SKERRY_ASSIGN(const auto value, attribute.find("value"));
    if (value) SKERRY_TRY(value->read("stringValue", text));
    return component_of(text);
  }
  return std::string("OTLP");
}

// --- What is new
// ----------------------------------------------------------------------------------

// Each bucket's values are in its middle; their sum is what was said, as far as that can be.
Result<Distribution> distribution_of(const OtlpPoint& point, const std::vector<uint64_t>& counts,
                                     double sum, int64_t now_ms) {
  Distribution all;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    if (static_cast<double>(counts[i]) > kMostWeight) return otlp_wrong("a count is too large");
    const size_t last = point.bounds.size();
    double value = last == 0 ? sum / static_cast<double>(counts[i]) : point.bounds[last - 1];
    if (i == 0 && last > 0) value = point.bounds[0] > 0 ? point.bounds[0] / 2 : point.bounds[0];
    if (i > 0 && i < last) value = (point.bounds[i - 1] + point.bounds[i]) / 2;
    Distribution one;
    one.add(value * point.scale, now_ms);
    all.merge(repeated(std::move(one), counts[i]));
  }
  // The mean may be anywhere in its bucket: the least and the most make room for it.
  const double said = sum * point.scale * Distribution::kUnit;
  const double mean = all.count == 0 ? 0 : said / static_cast<double>(all.count);
  if (all.count == 0 || std::abs(mean) > Distribution::kMaxValue * Distribution::kUnit) return all;
  all.min = std::min(all.min, static_cast<int64_t>(std::floor(mean)));
  all.max = std::max(all.max, static_cast<int64_t>(std::ceil(mean)));
  const auto count = static_cast<Distribution::Sum>(all.count);
  all.sum = std::clamp(static_cast<Distribution::Sum>(std::round(said)), count * all.min,
                       count * all.max);
  return all;
}

Result<void> check_point(const OtlpPoint& point) {
  if (!std::isfinite(point.value) || !std::isfinite(point.sum)) {
    return otlp_wrong("a value is not finite");
  }
  if (point.kind != Kind::kHistogram) return {};
  const bool is_whole =
      point.counts.size() == point.bounds.size() + 1 &&
      std::ranges::all_of(point.bounds, [](double each) { return std::isfinite(each); }) &&
      std::ranges::is_sorted(point.bounds);
  if (!is_whole) return otlp_wrong("a histogram's buckets do not fit its bounds");
  return {};
}

}  // namespace

Result<Points> parse_otlp(std::string_view protobuf) {
  Points points;
  const bool whole = for_fields(protobuf, [&](const ProtobufField& field) {
    return field.number != 1 || !field.is_message || read_resource_metrics(field.bytes, points);
  });
  if (points.size() > kMaxOtlpPoints) {
    return fail(Code::kResourceExhausted, "OTLP: a request has at most 2000 points");
  }
  if (!whole) return otlp_wrong("this is no ExportMetricsServiceRequest, or too large a one");
  return points;
}

Result<Points> parse_otlp_json(std::string_view text) {
  SKERRY_ASSIGN(const auto document,
                formats::parse_json(text, {.size_bytes = 4 << 20, .depth = 24}));
  Points points;
  SKERRY_ASSIGN(const auto resources, list_in(Node(document, ""), "resourceMetrics"));
  for (const Node& resource : resources) {
    SKERRY_ASSIGN(const std::string component, json_component(resource));
    SKERRY_ASSIGN(const auto scopes, list_in(resource, "scopeMetrics"));
    for (const Node& scope : scopes) {
      SKERRY_ASSIGN(const auto metrics, list_in(scope, "metrics"));
      for (const Node& metric : metrics) {
        SKERRY_TRY(json_metric(metric, component, points));
        if (points.size() > kMaxOtlpPoints) {
          return fail(Code::kResourceExhausted, "OTLP: a request has at most 2000 points");
        }
      }
    }
  }
  return points;
}

Result<OtlpDeltas::Seen*> OtlpDeltas::seen(const OtlpPoint& point, bool& is_new) {
  const auto found = seen_.find({point.series, point.key});
  is_new = found == seen_.end();
  if (!is_new) return &found->second;
  if (seen_.size() >= kMaxKeys) {
    return fail(Code::kResourceExhausted,
                "OTLP: there are too many different attributes: put what varies into values");
  }
  return &seen_[{point.series, point.key}];
}

Result<std::optional<Distribution>> OtlpDeltas::take(const OtlpPoint& point, int64_t now_ms) {
  if (point.kind == Kind::kOther) {
    return fail(Code::kUnsupported,
                "OTLP: gauges, sums and histograms with bounds are taken, names up to 32 bytes");
  }
  SKERRY_TRY(check_point(point));
  const auto one = [&](double value) {
    Distribution distribution;
    distribution.add(value * point.scale, now_ms);
    return distribution;
  };
  if (point.kind == Kind::kGauge) return one(point.value);
  if (point.is_delta && point.kind == Kind::kHistogram) {
    SKERRY_ASSIGN(auto all, distribution_of(point, point.counts, point.sum, now_ms));
    if (all.count == 0) return std::nullopt;
    return all;
  }
  if (point.is_delta && point.is_monotonic) return one(point.value);
  bool is_new = false;
  SKERRY_ASSIGN(Seen * before, seen(point, is_new));
  if (point.kind == Kind::kSum && !point.is_monotonic) {  // what goes up and down is a gauge
    before->value = point.is_delta ? before->value + point.value : point.value;
    return one(before->value);
  }
  // Counts from zero where its process has begun anew.
  const bool goes_on = !is_new && before->start_ns == point.start_ns &&
                       point.value >= before->value && point.count >= before->count &&
                       point.counts.size() == before->counts.size();
  const Seen zero{.counts = std::vector<uint64_t>(point.counts.size(), 0)};
  const Seen from = goes_on ? *before : zero;
  *before = {point.start_ns, point.value, point.count, point.sum, point.counts};
  if (is_new && point.start_ns < since_ns_) return std::nullopt;
  if (point.kind == Kind::kSum) {
    if (point.value == from.value) return std::nullopt;
    return one(point.value - from.value);
  }
  std::vector<uint64_t> added;
  for (size_t i = 0; i < point.counts.size(); ++i) {
    added.push_back(point.counts[i] >= from.counts[i] ? point.counts[i] - from.counts[i] : 0);
  }
  SKERRY_ASSIGN(auto all, distribution_of(point, added, point.sum - from.sum, now_ms));
  if (all.count == 0) return std::nullopt;
  return all;
}

}  // namespace skerry::nucleus
