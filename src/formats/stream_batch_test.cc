// Batches of messages as they are written and read, and what is refused.
#include "formats/stream_batch.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace skerry::formats {
namespace {

using nlohmann::json;

const StreamBatch kBatch{
    "ABCD1234", "Sensor data, 1", {{3, 1'000, "x"}, {7, 0, std::string("\0\xff", 2)}}};

TEST(StreamBatchTest, ComesBackAsItWas) {
  EXPECT_EQ(parse_stream_batch(to_text(kBatch)).value(), kBatch);
  const StreamAnswer answer{"ABCD1234", 8, "why"};
  EXPECT_EQ(parse_stream_answer(to_text(answer)).value(), answer);
}

TEST(StreamBatchTest, TheLargestFitsIntoAMessageOfTheBroker) {
  StreamBatch batch{std::string(32, 'A'), std::string(255, 'n'), {}};
  for (size_t i = 0; i < kMaxStreamBatchMessages; ++i) {
    batch.messages.push_back(
        {INT64_MAX - 1'000 + static_cast<int64_t>(i), int64_t{1} << 42,
         std::string(kMaxStreamPayloadBytes / kMaxStreamBatchMessages / 2, 'x')});
  }
  EXPECT_LE(to_text(batch).size(), kMaxStreamBatchBytes);
  EXPECT_TRUE(parse_stream_batch(to_text(batch)));
}

TEST(StreamBatchTest, WhatIsNoBatchIsRefused) {
  const auto refused = [](const char* key, json value) {
    json map = json::parse(to_text(kBatch));
    map[key] = std::move(value);
    return !parse_stream_batch(map.dump());
  };
  EXPECT_FALSE(refused("name", "other"));
  for (const auto& [key, value] : std::vector<std::pair<const char*, json>>{
           {"stream", ""},
           {"stream", "short"},
           {"stream", "../../etc"},
           {"stream", 7},
           {"name", ""},
           {"name", "a/b"},
           {"name", std::string(256, 'a')},
           {"messages", nullptr},
           {"messages", json::array()},
           {"messages", {7}},
           {"messages", {{{"sequence", 1}}}},
           {"messages", {{{"sequence", -1}, {"timeMs", 1}, {"payload", ""}}}},
           {"messages", {{{"sequence", UINT64_MAX}, {"timeMs", 1}, {"payload", ""}}}},
           {"messages", {{{"sequence", 1.5}, {"timeMs", 1}, {"payload", ""}}}},
           {"messages", {{{"sequence", 1}, {"timeMs", 1}, {"payload", "!"}}}},
           {"messages",
            {{{"sequence", 1}, {"timeMs", 1}, {"payload", ""}},
             {{"sequence", 1}, {"timeMs", 1}, {"payload", ""}}}}}) {
    EXPECT_TRUE(refused(key, value)) << key << " " << value;
  }
  for (const char* text : {"", "7", "[]", "{", "{}"}) {
    EXPECT_FALSE(parse_stream_batch(text)) << text;
    EXPECT_FALSE(parse_stream_answer(text)) << text;
  }
  EXPECT_FALSE(parse_stream_batch(std::string(kMaxStreamBatchBytes + 1, ' ')));
}

TEST(StreamBatchTest, TopicsNameTheThing) {
  const std::string topic = stream_batch_topic(ThingName("press-1"));
  EXPECT_EQ(topic, "$aws/things/press-1/skerry/streams");
  EXPECT_EQ(parse_stream_batch_topic(topic), ThingName("press-1"));
  for (const char* other : {"$aws/things/skerry/streams", "$aws/things/a/b/skerry/streams",
                            "$aws/things/a/skerry/streams/accepted", "a"}) {
    EXPECT_FALSE(parse_stream_batch_topic(other)) << other;
  }
}

}  // namespace
}  // namespace skerry::formats
