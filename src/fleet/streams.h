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

// 0 where nothing has come of it.
Result<int64_t> stream_cursor(Store& store, const ThingName& thing, const std::string& stream);
// Moves the cursor from `from` to `to` and names the object. False, and nothing changed, where the
// cursor is elsewhere by now.
Result<bool> advance_stream(Store& store, const ThingName& thing, const std::string& stream,
                            int64_t from, int64_t to, const ArtifactObject& object);

class StreamsService {
 public:
  // Registers its route with `link`, which must not outlive it. Of a thing that floods, what is too
  // much is ignored: it comes again.
  StreamsService(io::Env& env, StorePool& stores, ArtifactStore& artifacts, DeviceLink& link);

 private:
  void receive(const net::MqttMessage& message);
  io::Task<void> on_batch(ThingName thing, std::string payload);
  io::Task<Result<int64_t>> take(const ThingName& thing, const formats::StreamBatch& batch);
  io::Task<Result<ArtifactObject>> put_content(const ThingName& thing,
                                               const formats::StreamBatch& batch, int64_t from);

  static constexpr double kBurst = 200, kPerSecond = 20;

  io::Env& env_;
  StorePool& stores_;
  ArtifactStore& artifacts_;
  DeviceLink& link_;
  ThingBudget budget_;
  io::TaskScope tasks_;
};

}  // namespace skerry::fleet
