// One connection to the nucleus for each batch of summaries.
#include "serve/summary_publisher.h"

#include "base/log.h"

namespace skerry::serve {
namespace {

constexpr std::string_view kModule = "summaries";

}  // namespace

io::Task<void> SummaryPublisher::run(int64_t first_ms) {
  co_await io::sleep(loop_, first_ms);
  for (;;) {
    co_await flush();
    co_await io::sleep(loop_, interval_ms_);
  }
}

io::Task<void> SummaryPublisher::flush() {
  summaries_.close_period(clock_.wall_ms());
  if (flushing_ || summaries_.waiting() == 0) co_return;
  flushing_ = true;
  auto sent = co_await send_waiting();
  flushing_ = false;
  // Once, not every minute.
  if (!sent && !failing_) {
    log::warn(kModule, "summaries wait for the nucleus", {{"error", sent.error().message()}});
  }
  failing_ = !sent;
}

io::Task<Result<void>> SummaryPublisher::send_waiting() {
  SKERRY_CO_ASSIGN(const auto nucleus, co_await rpc::NucleusClient::connect(loop_, nucleus_));
  const std::string topic = formats::inference_summary_topic(ThingName(nucleus_.thing));
  while (const formats::InferenceSummary* summary = summaries_.next()) {
    SKERRY_CO_TRY(co_await nucleus->publish_to_iot_core(topic, to_text(*summary)));
    summaries_.sent();
  }
  co_return Result<void>();
}

}  // namespace skerry::serve
