// Messages of streams arrive once each, whatever comes twice, late or overlapping.
#include "fleet/streams.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fleet/test_fleet.h"

namespace skerry::fleet {
namespace {

using formats::StreamAnswer;
using formats::StreamBatch;

StreamBatch batch(int64_t first, int64_t last, const std::string& stream = "STREAM01") {
  StreamBatch made{stream, "readings", {}};
  for (int64_t i = first; i <= last; ++i)
    made.messages.push_back({i, 1'000 + i, "m" + std::to_string(i)});
  return made;
}

class StreamsTest : public testing::Test {
 protected:
  explicit StreamsTest(uint64_t quota_bytes = kStreamQuotaBytes) : quota_bytes_(quota_bytes) {
    fleet.add_thing("a");
    fleet.link.start();
    fleet.mqtt.connect();
    fleet.settle();
  }
  StreamAnswer send(const std::string& text, const std::string& thing = "a") {
    fleet.mqtt.receive(formats::stream_batch_topic(ThingName(thing)), text);
    fleet.settle();
    const auto sent = fleet.mqtt.take_sent(formats::stream_answer_topic(ThingName(thing)));
    return sent.empty() ? StreamAnswer() : *formats::parse_stream_answer(sent.back().payload);
  }
  int64_t next_after(const StreamBatch& one, const std::string& thing = "a") {
    const StreamAnswer answer = send(to_text(one), thing);
    EXPECT_EQ(answer.stream, one.stream);
    EXPECT_EQ(answer.error, "");
    return answer.next;
  }
  // Sequences of all messages that are there.
  std::vector<int64_t> stored(const std::string& prefix = "") {
    std::vector<int64_t> sequences;
    for (const ArtifactObject& object :
         *fleet.store->list_objects(kStreamsBucket, prefix, {.limit = 1'000})) {
      const std::string text = *io::read_file(fleet.files, artifacts->path_of(object.sha256));
      for (size_t at = 0; (at = text.find("\"sequence\":", at)) != std::string::npos; ++at) {
        sequences.push_back(std::stoll(text.substr(at + 11)));
      }
    }
    return sequences;
  }

  const uint64_t quota_bytes_;
  TestFleet fleet;
  io::ScratchDirectory directory;
  std::unique_ptr<ArtifactStore> artifacts =
      *ArtifactStore::open(fleet.env, directory.path() + "/artifacts");
  StreamsService service{fleet.env, fleet.stores, *artifacts, fleet.link, quota_bytes_};
};

class SmallStreamsTest : public StreamsTest {
 protected:
  SmallStreamsTest() : StreamsTest(200) {}
};

TEST_F(StreamsTest, EachMessageIsThereOnce) {
  EXPECT_EQ(next_after(batch(0, 4)), 5);
  EXPECT_EQ(next_after(batch(0, 4)), 5) << "the answer was lost";
  EXPECT_EQ(next_after(batch(2, 9)), 10) << "another cut of the same";
  EXPECT_EQ(next_after(batch(3, 6)), 10) << "late";
  EXPECT_EQ(next_after(batch(20, 21)), 22) << "what was dropped in between never comes";
  EXPECT_THAT(stored(), testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 21));
  const auto objects = *fleet.store->list_objects(kStreamsBucket, "", {.limit = 10});
  EXPECT_EQ(objects[1].key, "a/readings/STREAM01/0000000000000000005-0000000000000000009.jsonl");
}

TEST_F(StreamsTest, StreamsAndThingsHaveCursorsOfTheirOwn) {
  fleet.add_thing("b");
  EXPECT_EQ(next_after(batch(0, 4)), 5);
  EXPECT_EQ(next_after(batch(0, 2, "STREAM02")), 3) << "made again under the same name";
  EXPECT_EQ(next_after(batch(0, 1), "b"), 2);
  EXPECT_EQ(stored("a/").size(), 8u);
  EXPECT_EQ(stored("b/").size(), 2u);
}

TEST_F(StreamsTest, WhatIsNoBatchChangesNothing) {
  EXPECT_EQ(send("{").stream, "");
  StreamBatch odd = batch(0, 1);
  odd.stream = "../../x";
  EXPECT_EQ(send(to_text(odd)).stream, "");
  EXPECT_THAT(stored(), testing::ElementsAre());
}

TEST_F(SmallStreamsTest, AThingFillsItsShareAndNoMore) {
  fleet.add_thing("ab");
  EXPECT_EQ(next_after(batch(0, 4)), 5);
  const StreamAnswer refused = send(to_text(batch(5, 9)));
  EXPECT_THAT(refused.error, testing::HasSubstr("--stream-quota-mb"));
  EXPECT_EQ(next_after(batch(0, 4)), 5) << "what is there is still answered";
  EXPECT_EQ(next_after(batch(0, 4), "ab"), 5) << "another thing whose name begins alike";

  const auto objects = *fleet.store->list_objects(kStreamsBucket, "a/", {.limit = 10});
  ASSERT_EQ(objects.size(), 1u);
  ASSERT_TRUE(*fleet.store->delete_object(kStreamsBucket, objects[0].key));
  fleet.clock.monotonic += 60'000;
  EXPECT_EQ(next_after(batch(5, 9)), 10) << "there is room again";
}

TEST_F(StreamsTest, AThingHasSoManyStreamsAndTheLongestSilentOneGoes) {
  for (size_t i = 0; i <= kStreamsOfThing; ++i) {
    fleet.clock.wall += 1;
    char stream[16];
    std::snprintf(stream, sizeof stream, "STREAM%04zu", i);
    ASSERT_TRUE(
        *advance_stream(*fleet.store, ThingName("a"), stream, 0, 5,
                        {kStreamsBucket, stream, std::string(64, 'a'), 1, fleet.clock.wall}));
  }
  EXPECT_EQ(*stream_cursor(*fleet.store, ThingName("a"), "STREAM0000"), 0);
  EXPECT_EQ(*stream_cursor(*fleet.store, ThingName("a"), "STREAM0001"), 5);
}

}  // namespace
}  // namespace skerry::fleet
