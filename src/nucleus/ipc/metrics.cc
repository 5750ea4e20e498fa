// PutComponentMetric: a component's numbers. The stock nucleus takes them from components whose
// names begin with "aws." alone; here whoever is allowed to may.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>

#include "nucleus/ipc/operations.h"
#include "nucleus/metrics.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

constexpr std::string_view kMetricService = "aws.greengrass.ipc.componentmetric";
constexpr size_t kMaxMetrics = 256;  // of one request
constexpr std::string_view kUnits[] = {"BYTES",     "BYTES_PER_SECOND", "COUNT", "COUNT_PER_SECOND",
                                       "MEGABYTES", "SECONDS"};

// Letters alone, as the stock nucleus compares them.
std::string plain(std::string_view unit) {
  std::string letters;
  for (const char c : unit) {
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
      letters += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
  }
  return letters;
}

bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= formats::kMaxMetricName &&
         std::ranges::none_of(name, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

std::expected<Metrics::Value, IpcError> value_of(const IpcCall& call, const json& metric) {
  const auto text = [&](const char* key) {
    const auto found = metric.is_object() ? metric.find(key) : metric.end();
    return found != metric.end() && found->is_string() ? found->get<std::string>() : "";
  };
  Metrics::Value value{text("name"), "", 0};
  if (!is_name(value.name)) {
    return call.invalid("A metric's name must be 1 to 32 bytes of text without control characters");
  }
  const auto unit = std::ranges::find(kUnits, plain(text("unit")), plain);
  if (unit == std::end(kUnits)) {
    return call.invalid("The unit of metric " + value.name +
                        " must be BYTES, BYTES_PER_SECOND, COUNT, COUNT_PER_SECOND, MEGABYTES or "
                        "SECONDS");
  }
  value.unit = *unit;
  const auto number = metric.find("value");
  if (number != metric.end() && number->is_number()) value.value = number->get<double>();
  if (number == metric.end() || !number->is_number() || !std::isfinite(value.value) ||
      value.value < 0) {
    return call.invalid("The value of metric " + value.name + " must be a number of 0 or more");
  }
  return value;
}

}  // namespace

IpcOutcome put_component_metric(const IpcCall& call) {
  SKERRY_IPC_TRY(call.authorize(kMetricService, "*"));
  const auto metrics = call.request.find("metrics");
  if (metrics == call.request.end() || !metrics->is_array() || metrics->empty() ||
      metrics->size() > kMaxMetrics) {
    return call.invalid("metrics must be a list of 1 to 256 metrics");
  }
  std::vector<Metrics::Value> values;
  for (const json& metric : *metrics) {
    SKERRY_IPC_ASSIGN(Metrics::Value value, value_of(call, metric));
    values.push_back(std::move(value));
  }
  if (auto taken = call.context.host.metrics().put(call.caller.str(), values); !taken) {
    return std::unexpected(IpcError{kServiceError, taken.error().message(), {}, {}});
  }
  call.stream.respond("aws.greengrass#PutComponentMetricResponse", "{}");
  return {};
}

}  // namespace skerry::nucleus
