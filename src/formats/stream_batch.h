// Messages of a device's stream on their way to the fleet, and what the fleet says that it has:
// docs/data/stream-batch.md. A batch may come late, twice or not at all; the number of a message in
// its stream says which one it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/named_type.h"

namespace skerry::formats {

inline constexpr size_t kMaxStreamBatchBytes = 128 << 10;   // what a broker takes
inline constexpr size_t kMaxStreamPayloadBytes = 80 << 10;  // of a batch's messages together
inline constexpr size_t kMaxStreamBatchMessages = 500;

struct StreamMessage {
  int64_t sequence = 0;
  int64_t time_ms = 0;  // when it came in, by the device's clock
  std::string payload;
  bool operator==(const StreamMessage&) const = default;
};

struct StreamBatch {
  std::string stream;                   // its id: 8 to 32 of A-Z, a-z and 0-9
  std::string name;                     // of people
  std::vector<StreamMessage> messages;  // at least one, sequences ascending
  bool operator==(const StreamBatch&) const = default;
};

// The fleet's answer: all messages below `next` are there, or why they are not.
struct StreamAnswer {
  std::string stream;
  int64_t next = 0;
  std::string error;
  bool operator==(const StreamAnswer&) const = default;
};

std::string stream_batch_topic(const ThingName& thing);
std::string stream_answer_topic(const ThingName& thing);
// Nothing where the topic is another one.
std::optional<ThingName> parse_stream_batch_topic(std::string_view topic);

std::string to_text(const StreamBatch& batch);
std::string to_text(const StreamAnswer& answer);
// Untrusted.
Result<StreamBatch> parse_stream_batch(std::string_view text);
Result<StreamAnswer> parse_stream_answer(std::string_view text);

}  // namespace skerry::formats
