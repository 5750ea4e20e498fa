// From a batch to an object and a cursor.
#include "fleet/streams.h"

#include <cinttypes>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/log.h"
#include "fleet/store_sql.h"
#include "formats/json_ptr.h"

namespace skerry::fleet {
namespace {

using formats::StreamBatch;
using nlohmann::json;

constexpr std::string_view kStreamsModule = "streams";

std::string object_key(const ThingName& thing, const StreamBatch& batch, int64_t first) {
  char range[48];
  std::snprintf(range, sizeof range, "%019" PRId64 "-%019" PRId64, first,
                batch.messages.back().sequence);
  return thing.str() + "/" + batch.name + "/" + batch.stream + "/" + range + ".jsonl";
}

}  // namespace

Result<int64_t> stream_cursor(Store& store, const ThingName& thing, const std::string& stream) {
  SKERRY_ASSIGN(const auto cursors,
                store.database().select(
                    "SELECT next FROM stream_cursors WHERE thing = :thing AND stream = :stream",
                    [](const Row& row) { return row.number("next"); }, thing.str(), stream));
  return cursors.empty() ? 0 : cursors.front();
}

Result<uint64_t> stream_bytes(Store& store, const ThingName& thing) {
  // '0' follows '/'.
  SKERRY_ASSIGN(const auto sums,
                store.database().select(
                    "SELECT COALESCE(SUM(size_bytes), 0) AS bytes FROM objects WHERE bucket = "
                    ":bucket AND object_key > :begin AND object_key < :end",
                    [](const Row& row) { return row.number("bytes"); }, std::string(kStreamsBucket),
                    thing.str() + "/", thing.str() + "0"));
  return static_cast<uint64_t>(sums.front());
}

Result<bool> advance_stream(Store& store, const ThingName& thing, const std::string& stream,
                            int64_t from, int64_t to, const ArtifactObject& object) {
  SKERRY_ASSIGN(const int64_t cursor, stream_cursor(store, thing, stream));
  if (cursor != from) return false;
  SKERRY_TRY(store.put_object(object));
  SKERRY_TRY(store.database().execute(
      "INSERT INTO stream_cursors (thing, stream, next, seen_ms) VALUES (:thing, :stream, :next, "
      ":seen) ON CONFLICT (thing, stream) DO UPDATE SET next = excluded.next, "
      "seen_ms = excluded.seen_ms",
      thing.str(), stream, to, object.modified_ms));
  if (from > 0) return true;
  SKERRY_TRY(store.database().execute(
      "DELETE FROM stream_cursors WHERE thing = :thing AND stream NOT IN (SELECT stream FROM "
      "stream_cursors WHERE thing = :same ORDER BY seen_ms DESC, stream LIMIT :limit)",
      thing.str(), thing.str(), static_cast<int64_t>(kStreamsOfThing)));
  return true;
}

StreamsService::StreamsService(io::Env& env, StorePool& stores, ArtifactStore& artifacts,
                               DeviceLink& link, uint64_t quota_bytes)
    : env_(env),
      stores_(stores),
      artifacts_(artifacts),
      link_(link),
      budget_(env.clock, kBurst, kPerSecond),
      quota_bytes_(quota_bytes) {
  link.route(formats::stream_batch_topic(ThingName("+")),
             [this](const net::MqttMessage& message) { receive(message); });
}

void StreamsService::receive(const net::MqttMessage& message) {
  const auto sender = formats::parse_stream_batch_topic(message.topic);
  if (!sender) return;
  if (budget_.spend(*sender)) return tasks_.spawn(on_batch(*sender, message.payload));
  if (budget_.first_refusal(*sender)) {
    log::warn(kStreamsModule, "too many batches; ignoring some", {{"thing", sender->str()}});
  }
}

io::Task<void> StreamsService::on_batch(ThingName thing, std::string payload) {
  const auto batch = formats::parse_stream_batch(payload);
  if (!batch) {
    log::warn(kStreamsModule, "batch ignored",
              {{"thing", thing.str()}, {"error", batch.error().message()}});
    co_return;
  }
  const auto next = co_await take(thing, *batch);
  formats::StreamAnswer answer{batch->stream, next.value_or(0), ""};
  if (!next) answer.error = next.error().message();
  link_.publish(formats::stream_answer_topic(thing), to_text(answer));
}

// Where another copy of the batch has been faster, what is left of this one is taken.
io::Task<Result<int64_t>> StreamsService::take(const ThingName& thing, const StreamBatch& batch) {
  for (;;) {
    SKERRY_CO_ASSIGN(const int64_t from,
                     co_await stores_.read([thing, stream = batch.stream](Store& store) {
                       return stream_cursor(store, thing, stream);
                     }));
    const int64_t to = batch.messages.back().sequence + 1;
    if (from >= to) co_return from;
    SKERRY_CO_TRY(co_await check_quota(thing));
    SKERRY_CO_ASSIGN(const ArtifactObject object, co_await put_content(thing, batch, from));
    SKERRY_CO_ASSIGN(const bool advanced,
                     co_await stores_.write([=, stream = batch.stream](Store& store) {
                       return advance_stream(store, thing, stream, from, to, object);
                     }));
    if (!advanced) continue;
    held_[thing].bytes += object.size_bytes;
    co_return to;
  }
}

io::Task<Result<void>> StreamsService::check_quota(const ThingName& thing) {
  const int64_t now_ms = env_.clock.monotonic_ms();
  if (const auto known = held_.find(thing);
      known == held_.end() || now_ms - known->second.counted_ms >= kCountAgainMs) {
    SKERRY_CO_ASSIGN(const uint64_t bytes, co_await stores_.read([thing](Store& store) {
      return stream_bytes(store, thing);
    }));
    held_[thing] = {bytes, now_ms};
  }
  if (held_[thing].bytes < quota_bytes_) co_return Result<void>();
  co_return fail(Code::kResourceExhausted,
                 "the fleet keeps as much of this thing's streams as it may (" +
                     std::to_string(quota_bytes_) + " bytes): remove objects of s3://" +
                     kStreamsBucket + "/" + thing.str() +
                     "/, or start skerry-fleet with a larger --stream-quota-mb");
}

io::Task<Result<ArtifactObject>> StreamsService::put_content(const ThingName& thing,
                                                             const StreamBatch& batch,
                                                             int64_t from) {
  std::string lines;
  int64_t first = -1;
  for (const formats::StreamMessage& message : batch.messages) {
    if (message.sequence < from) continue;
    if (first < 0) first = message.sequence;
    lines += formats::json_text(json{{"sequence", message.sequence},
                                     {"timeMs", message.time_ms},
                                     {"payload", base64_encode(message.payload)}}) +
             "\n";
  }
  SKERRY_CO_ASSIGN(const auto upload, artifacts_.begin_upload(lines.size()));
  upload->write(lines);
  SKERRY_CO_TRY(co_await upload->drain());
  SKERRY_CO_ASSIGN(const SealedContent sealed, co_await upload->seal());
  SKERRY_CO_TRY(co_await upload->commit());
  co_return ArtifactObject{kStreamsBucket,       object_key(thing, batch, first),
                           sealed.sha256,        sealed.size_bytes,
                           env_.clock.wall_ms(), "{}"};
}

}  // namespace skerry::fleet
