// POST, and what comes back.
#include "streams/export/http_exporter.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/encoding.h"

namespace skerry::streams {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxAnswerBytes = 1 << 20;
constexpr size_t kShownAnswerBytes = 300;

// The message as the SDKs spell it; bytes as Base64.
json to_json(const std::string& stream, const Message& message) {
  return {{"streamName", stream},
          {"sequenceNumber", message.sequence},
          {"ingestTime", message.ingest_ms},
          {"payload", base64_encode(message.payload)}};
}

io::Task<Result<std::string>> paced_piece(const std::string& body, uint64_t offset,
                                          Uplink::Transfer& line) {
  std::string piece = body.substr(static_cast<size_t>(offset), line.piece_bytes());
  co_await line.pace(piece.size());
  co_return piece;
}

}  // namespace

io::Task<Result<net::HttpResponse>> fetch_paced(net::HttpClient& http, std::string url,
                                                net::HttpRequest request, Uplink::Transfer& line) {
  const std::string body = std::exchange(request.body, {});
  net::FetchOptions options;
  options.max_body_bytes = kMaxAnswerBytes;
  options.body_bytes = body.size();
  options.body = [&body, &line](uint64_t offset) { return paced_piece(body, offset, line); };
  co_return co_await http.fetch(std::move(url), std::move(request), std::move(options));
}

Result<void> check_answer(const net::HttpResponse& response, const std::string& who) {
  if (response.status / 100 == 2) return {};
  const std::string what =
      who + " answered " + std::to_string(response.status) + " " +
      std::string(net::reason_phrase(response.status)) +
      (response.body.empty() ? "" : ": " + response.body.substr(0, kShownAnswerBytes));
  switch (response.status) {
    case 400:
    case 413:
    case 415:
    case 422:
      return fail(Code::kInvalidArgument, what);
    case 408:
    case 425:
    case 429:
      return fail(Code::kUnavailable, what);
    default:
      return fail(response.status >= 500 ? Code::kUnavailable : Code::kFailedPrecondition, what);
  }
}

io::Task<Result<size_t>> HttpExporter::send(const ExportBatch& batch, Uplink::Transfer& line) {
  if (config_.json_batched) {
    json list = json::array();
    for (const Message& message : batch.messages) list.push_back(to_json(batch.stream, message));
    const std::string key = batch.message_id(batch.messages.front()) + "-" +
                            std::to_string(batch.messages.back().sequence);
    SKERRY_CO_TRY(co_await post("application/json", key, list.dump(), line));
    co_return batch.messages.size();
  }
  for (size_t sent = 0; sent < batch.messages.size(); ++sent) {
    const Message& message = batch.messages[sent];
    const auto posted =
        co_await post("application/octet-stream", batch.message_id(message), message.payload, line);
    if (!posted && sent > 0) co_return sent;
    if (!posted) co_return fail(posted.error());
  }
  co_return batch.messages.size();
}

io::Task<Result<void>> HttpExporter::post(std::string type, std::string key, std::string body,
                                          Uplink::Transfer& line) {
  net::HttpRequest request{.method = "POST", .body = std::move(body)};
  request.headers.add("Content-Type", std::move(type));
  request.headers.add("Idempotency-Key", std::move(key));
  SKERRY_CO_ASSIGN(const auto response,
                   co_await fetch_paced(http_, config_.target, std::move(request), line));
  co_return check_answer(response, "the receiver");
}

}  // namespace skerry::streams
