// From summaries on MQTT to the store.
#include "fleet/model_metrics.h"

#include <algorithm>

namespace skerry::fleet {
namespace {}

void Spread::add(double value) {
  ++things;
  sum += value;
  squares += value * value;
}

double Spread::mean() const {
  return things == 0 ? 0 : sum / static_cast<double>(things);
}

double Spread::variance() const {
  if (things < 2) return 0;
  const auto count = static_cast<double>(things);
  return std::max(0.0, (squares - sum * sum / count) / (count - 1));
}

ModelMetricsService::ModelMetricsService(io::Env& env, StorePool& stores, DeviceLink& link)
    : inbox_(env, stores,
             {.module = "model-metrics",
              .burst = 600,
              .per_second = 0.5,
              .held = 60,
              .read = [](const ThingName& sender, std::string_view payload,
                         int64_t heard_ms) -> Result<ThingInbox::Put> {
                SKERRY_ASSIGN(auto summary, formats::parse_inference_summary(payload));
                return
                    [sender, summary = std::move(summary), heard_ms](Store& store) -> Result<void> {
                      SKERRY_TRY(take_summary(store, sender, summary, heard_ms));
                      return {};
                    };
              }}) {
  link.route(formats::inference_summary_topic(ThingName("+")),
             [this](const net::MqttMessage& message) {
               const auto sender = formats::parse_inference_summary_topic(message.topic);
               if (sender) inbox_.receive(*sender, message.payload);
             });
}

}  // namespace skerry::fleet
