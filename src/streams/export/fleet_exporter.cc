// Publish, and wait for the answer; what is not answered in time goes again.
#include "streams/export/fleet_exporter.h"

#include <algorithm>

#include "formats/stream_batch.h"

namespace skerry::streams {
namespace {

// As many of the first messages as fit into one of the broker's.
Result<formats::StreamBatch> first_of(const ExportBatch& batch) {
  formats::StreamBatch first{batch.stream_id, batch.stream, {}};
  size_t bytes = 0;
  for (const Message& message : batch.messages) {
    bytes += message.payload.size() + 64;  // what is around it
    if (bytes > formats::kMaxStreamPayloadBytes) break;
    first.messages.push_back(
        {message.sequence, std::max<int64_t>(0, message.ingest_ms), message.payload});
  }
  if (first.messages.empty()) {
    return fail(Code::kInvalidArgument, "a message for the fleet has at most 80 KiB");
  }
  return first;
}

}  // namespace

io::Task<Result<size_t>> FleetExporter::send(const ExportBatch& batch, Uplink::Transfer& line) {
  if (nucleus_.empty()) {
    co_return fail(Code::kFailedPrecondition,
                   "no nucleus runs this program, and so it has no fleet: deploy it");
  }
  auto sent = co_await talk(batch, line);
  if (!sent) client_.reset();
  co_return sent;
}

io::Task<Result<void>> FleetExporter::connect() {
  answers_.clear();
  SKERRY_CO_ASSIGN(client_, co_await rpc::NucleusClient::connect(loop_, nucleus_));
  co_return co_await client_->subscribe_to_iot_core(
      formats::stream_answer_topic(ThingName(nucleus_.thing)),
      [this](rpc::NucleusMessage message) { answers_.push_back(std::move(message.payload)); });
}

io::Task<Result<size_t>> FleetExporter::talk(const ExportBatch& batch, Uplink::Transfer& line) {
  SKERRY_CO_ASSIGN(const formats::StreamBatch first, first_of(batch));
  if (!client_) SKERRY_CO_TRY(co_await connect());
  const std::string text = to_text(first);
  co_await line.pace(text.size());
  SKERRY_CO_TRY(co_await client_->publish_to_iot_core(
      formats::stream_batch_topic(ThingName(nucleus_.thing)), text));
  for (;;) {
    while (answers_.empty()) SKERRY_CO_TRY(co_await client_->wait());
    const auto answer = formats::parse_stream_answer(answers_.front());
    answers_.pop_front();
    if (!answer || answer->stream != first.stream) continue;  // of another stream of this device
    if (!answer->error.empty()) co_return fail(Code::kUnavailable, "the fleet: " + answer->error);
    const auto there = std::ranges::count_if(
        batch.messages, [&](const Message& message) { return message.sequence < answer->next; });
    if (there > 0) co_return static_cast<size_t>(there);
  }
}

}  // namespace skerry::streams
