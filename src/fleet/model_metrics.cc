// From summaries on MQTT to the store.
#include "fleet/model_metrics.h"

#include <algorithm>

#include "base/log.h"

namespace skerry::fleet {
namespace {
constexpr std::string_view kModule = "model-metrics";
}

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
    : env_(env), stores_(stores), budget_(env.clock, kBurst, kPerSecond) {
  link.route(formats::inference_summary_topic(ThingName("+")),
             [this](const net::MqttMessage& message) { receive(message); });
}

void ModelMetricsService::receive(const net::MqttMessage& message) {
  const auto sender = formats::parse_inference_summary_topic(message.topic);
  if (!sender) return;
  if (budget_.spend(*sender)) return tasks_.spawn(on_summary(*sender, message.payload));
  if (budget_.first_refusal(*sender)) {
    log::warn(kModule, "too many summaries; ignoring some", {{"thing", sender->str()}});
  }
}

io::Task<void> ModelMetricsService::on_summary(ThingName thing, std::string payload) {
  const int64_t now_ms = env_.clock.wall_ms();
  auto taken = co_await stores_.write(
      [thing, payload = std::move(payload), now_ms](Store& store) -> Result<bool> {
        SKERRY_ASSIGN(const auto summary, formats::parse_inference_summary(payload));
        return take_summary(store, thing, summary, now_ms);
      });
  if (!taken) {
    log::warn(kModule, "summary ignored",
              {{"thing", thing.str()}, {"error", taken.error().message()}});
  }
}

}  // namespace skerry::fleet
