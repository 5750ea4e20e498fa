// Streams of devices, brought here by their stream managers: each batch becomes an object of the
// artifact store, and each message is in one object, however often it comes.
//
//   s3://skerry-streams/THING/NAME/ID/FIRST-LAST.jsonl    a line a message: sequence, timeMs,
//   payload
//
// The cursor of a stream (the number below which all is there) and the name of the object change
// together.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/error.h"
#include "fleet/artifacts.h"
#include "fleet/device_link.h"
#include "fleet/store_pool.h"
#include "fleet/thing_budget.h"
#include "formats/stream_batch.h"
#include "io/env.h"
#include "io/task.h"

namespace skerry::fleet {

inline constexpr const char* kStreamsBucket = "skerry-streams";
inline constexpr size_t kStreamsOfThing = 1'000;  // the longest silent one makes room
inline constexpr uint64_t kStreamQuotaBytes = uint64_t{1} << 30;  // of one thing, unless told

// 0 where nothing has come of it.
Result<int64_t> stream_cursor(Store& store, const ThingName& thing, const std::string& stream);
// Of all objects that its streams have become and that are still there.
Result<uint64_t> stream_bytes(Store& store, const ThingName& thing);
// Moves the cursor from `from` to `to` and names the object. False, and nothing changed, where the
// cursor is elsewhere by now.
Result<bool> advance_stream(Store& store, const ThingName& thing, const std::string& stream,
                            int64_t from, int64_t to, const ArtifactObject& object);

class StreamsService {
 public:
  // Registers its route with `link`, which must not outlive it. Of a thing that floods, what is too
  // much is ignored: it comes again. Of a thing whose objects fill `quota_bytes` nothing is taken
  // until there is room: its messages wait on the device.
  StreamsService(io::Env& env, StorePool& stores, ArtifactStore& artifacts, DeviceLink& link,
                 uint64_t quota_bytes = kStreamQuotaBytes);

 private:
  void receive(const net::MqttMessage& message);
  io::Task<void> on_batch(ThingName thing, std::string payload);
  io::Task<Result<int64_t>> take(const ThingName& thing, const formats::StreamBatch& batch);
  io::Task<Result<ArtifactObject>> put_content(const ThingName& thing,
                                               const formats::StreamBatch& batch, int64_t from);
  // kResourceExhausted where the thing has no room left.
  io::Task<Result<void>> check_quota(const ThingName& thing);

  static constexpr double kBurst = 200, kPerSecond = 20;
  static constexpr int64_t kCountAgainMs = 60'000;  // operators remove objects meanwhile
  struct Held {
    uint64_t bytes = 0;
    int64_t counted_ms = 0;
  };

  io::Env& env_;
  StorePool& stores_;
  ArtifactStore& artifacts_;
  DeviceLink& link_;
  ThingBudget budget_;
  const uint64_t quota_bytes_;
  std::map<ThingName, Held> held_;
  io::TaskScope tasks_;
};

}  // namespace skerry::fleet
