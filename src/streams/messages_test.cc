// Requests that are wrong in every way that a client can make them wrong.
#include "streams/messages.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace skerry::streams {
namespace {

using nlohmann::json;

std::string cbor(const json& value) {
  std::string out;
  json::to_cbor(value, out);
  return out;
}

TEST(Messages, ARequestIsAMapWithAnId) {
  EXPECT_TRUE(decode(cbor({{"requestId", "1"}, {"name", "s"}})));
  for (const json& wrong : {json::array(), json::object(), json{{"requestId", 1}},
                            json{{"requestId", ""}}, json("text")}) {
    EXPECT_EQ(decode(cbor(wrong)).error().code(), Code::kInvalidArgument);
  }
  EXPECT_FALSE(decode(""));
  EXPECT_FALSE(decode(cbor({{"requestId", "1"}}) + "x"));
  EXPECT_FALSE(decode(cbor({{"requestId", "1"}}).substr(0, 9)));
}

TEST(Messages, NestingWithoutEndIsRefusedBeforeItIsFollowed) {
  constexpr size_t kDeep = 10 << 20;
  for (const char head : {'\x81', '\xa1', '\x9f', '\xbf', '\xc0', '\xd8'}) {
    EXPECT_FALSE(decode(std::string(kDeep, head))) << static_cast<int>(head);
  }
  json deep = 1;
  for (int i = 0; i < 12; ++i) deep = json::array({deep});
  EXPECT_TRUE(decode(cbor({{"requestId", "1"}, {"x", deep}})));
  // Siblings are no nesting.
  EXPECT_TRUE(decode(cbor({{"requestId", "1"}, {"x", json::array_t(1'000, json::array({1}))}})));
}

TEST(Messages, ACountThatNothingCanHoldIsRefused) {
  for (const char head : {'\xbb', '\x9b', '\x5b', '\x7b'}) {
    const std::string count(8, '\xbb');
    EXPECT_FALSE(decode(head + count));
    EXPECT_FALSE(decode(std::string("\xa1\x61x") + head + count + "x"));
    EXPECT_FALSE(decode(head + std::string(8, '\x7f')));
  }
}

TEST(Messages, TheIdOfAFrameThatIsCutOffIsFound) {
  const std::string whole =
      cbor(json::parse(R"({"requestId": "4ed897c2-a64a-49d1-8f2c-fee943818947"})"));
  EXPECT_EQ(request_id_of(whole), "4ed897c2-a64a-49d1-8f2c-fee943818947");
  EXPECT_EQ(request_id_of(cbor({{"requestId", " "}})), " ");
  EXPECT_EQ(request_id_of(whole.substr(0, 30)), "");
  EXPECT_EQ(request_id_of(""), "");
}

// The bytes of an observed session.
TEST(Messages, AnAnswerIsAsTheSdkExpectsIt) {
  const Answer body = success("d7ac7209-1cfd-4012-90a2-e813a3d237f6");
  const std::string frame = encode(Operation::kAppendMessageResponse, body);
  EXPECT_EQ(frame.substr(0, 5), std::string("\0\0\0\x3a\x09", 5));
  EXPECT_EQ(decode(frame.substr(5))->at("status"), 0);
}

TEST(Messages, ReadOptionsHaveTheRangesOfTheSdks) {
  const auto parse = [](const json& options) {
    return parse_read_options({{"readMessagesOptions", options}});
  };
  EXPECT_EQ(parse_read_options(json::object())->max_count, 1u);
  EXPECT_EQ(parse({{"minMessageCount", 5}})->max_count, 5u);
  EXPECT_EQ(parse({{"desiredStartSequenceNumber", INT64_MAX}})->from, INT64_MAX);
  for (const json& wrong :
       {json{{"minMessageCount", 0}}, json{{"minMessageCount", -1}}, json{{"maxMessageCount", 1.5}},
        json{{"minMessageCount", 3}, {"maxMessageCount", 2}}, json{{"readTimeoutMillis", "1"}},
        json{{"desiredStartSequenceNumber", UINT64_MAX}}, json("all")}) {
    EXPECT_EQ(parse(wrong).error().code(), Code::kInvalidArgument) << wrong;
  }
}

TEST(Definition, HasTheRangesOfTheSdks) {
  const auto plain = parse_definition({{"name", "s"}});
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->max_bytes, 256 << 20);
  EXPECT_EQ(*parse_definition(to_json(*plain)), *plain);
  const auto with = [](const char* key, json value) {
    json definition = {{"name", "s"}};
    definition[key] = std::move(value);
    return parse_definition(definition);
  };
  EXPECT_TRUE(with("maxSize", INT64_MAX));
  EXPECT_TRUE(with("timeToLiveMillis", 60'000));
  EXPECT_TRUE(with("exportDefinition", {{"kinesis", json::array()}, {"http", nullptr}}));
  EXPECT_EQ(with("exportDefinition", {{"kinesis", {{{"identifier", "k"}}}}}).error().code(),
            Code::kInvalidArgument);
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, json>>{{"maxSize", 1023},
                                                 {"maxSize", UINT64_MAX},
                                                 {"maxSize", "1024"},
                                                 {"maxSize", -1},
                                                 {"streamSegmentSize", 1023},
                                                 {"streamSegmentSize", int64_t{1} << 31},
                                                 {"timeToLiveMillis", 59'999},
                                                 {"timeToLiveMillis", 0},
                                                 {"strategyOnFull", 2},
                                                 {"persistence", -1},
                                                 {"flushOnWrite", 1},
                                                 {"exportDefinition", 7},
                                                 {"name", ""},
                                                 {"name", "a/b"},
                                                 {"name", "ü"},
                                                 {"name", std::string(256, 'a')},
                                                 {"name", nullptr}}) {
    EXPECT_EQ(with(key, value).error().code(), Code::kInvalidArgument) << key << " " << value;
  }
}

}  // namespace
}  // namespace skerry::streams
