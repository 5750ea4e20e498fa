// One connection to the nucleus, made again after an error.
#include "streams/export/mqtt_exporter.h"

namespace skerry::streams {
namespace {

constexpr size_t kMaxPayloadBytes = 128 << 10;  // of the broker

}  // namespace

io::Task<Result<size_t>> MqttExporter::send(const ExportBatch& batch, Uplink::Transfer& line) {
  if (nucleus_.empty()) {
    co_return fail(Code::kFailedPrecondition,
                   "no nucleus runs this program, and so nobody has a broker for it: deploy it");
  }
  for (size_t sent = 0; sent < batch.messages.size(); ++sent) {
    const std::string& payload = batch.messages[sent].payload;
    Result<void> published;
    if (payload.size() > kMaxPayloadBytes) {
      published = fail(Code::kInvalidArgument, "an MQTT message has at most 128 KiB");
    } else {
      if (!client_) {
        SKERRY_CO_ASSIGN(client_, co_await rpc::NucleusClient::connect(loop_, nucleus_));
      }
      co_await line.pace(payload.size());
      published = co_await client_->publish_to_iot_core(topic_, payload);
    }
    if (published) continue;
    client_.reset();
    if (sent > 0) co_return sent;
    co_return fail(published.error());
  }
  co_return batch.messages.size();
}

}  // namespace skerry::streams
