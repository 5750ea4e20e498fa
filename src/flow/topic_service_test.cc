// Requests over topics: a nucleus and an inference service of the test's own.
#include "flow/topic_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "io/test_directory.h"
#include "net/http_server.h"
#include "rpc/test_nucleus.h"

namespace skerry::flow {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// What a message has, as the protocol's document says.
const json kInputs = {{{"name", "x"}, {"datatype", "FP32"}, {"shape", {2}}, {"data", {1, 2}}}};

class TopicServiceTest : public testing::Test {
 protected:
  TopicServiceTest() {
    for (const char* operation : {"SubscribeToTopic", "SubscribeToIoTCore"}) {
      nucleus_.answer(operation,
                      [this, operation](const rpc::ServerStream& stream, std::string_view) {
                        stream.start(std::string("aws.greengrass#") + operation + "Response", "{}");
                        for (const json& event : events_) {
                          stream.send("aws.greengrass#Event", event.dump());
                        }
                      });
    }
    nucleus_.answer(
        "PublishToTopic", [this](const rpc::ServerStream& stream, std::string_view request) {
          const json published = json::parse(request);
          const std::string text = published["publishMessage"]["binaryMessage"]["message"];
          letters_[published["topic"]].push_back(json::parse(*base64_decode(text)));
          stream.respond("aws.greengrass#PublishToTopicResponse", "{}");
        });
    nucleus_.answer(
        "PublishToIoTCore", [this](const rpc::ServerStream& stream, std::string_view request) {
          const json published = json::parse(request);
          letters_[published["topicName"]].push_back(
              json::parse(*base64_decode(published["payload"].get<std::string>())));
          correlations_.push_back(*base64_decode(published.value("correlationData", "")));
          stream.respond("aws.greengrass#PublishToIoTCoreResponse", "{}");
        });
    nucleus_.start();
    const auto port = http_.listen_tcp("127.0.0.1", 0, nullptr);
    EXPECT_TRUE(port);
    service_ = "http://127.0.0.1:" + std::to_string(*port);
  }

  // Answers with what was asked, so that a test sees it.
  static io::Task<net::HttpResponse> echo(net::HttpRequest request) {
    if (request.target.find("none") != std::string::npos) {
      co_return net::json_response(404, R"({"error":"model 'none' is not loaded"})");
    }
    const json asked = json::parse(request.body);
    co_return net::json_response(
        200, json{{"outputs", json::array()}, {"target", request.target}, {"asked", asked}}.dump());
  }

  static json message(const json& payload) { return {{"jsonMessage", {{"message", payload}}}}; }
  // Runs until `count` messages were answered or ignored.
  TopicServiceReport serve(const json& document, size_t count) {
    auto config = parse_topic_service(document.dump());
    EXPECT_TRUE(config) << config.error().message();
    TopicService service(loop_, std::move(*config), service_, {}, nucleus_.address());
    io::TaskScope tasks;
    tasks.spawn([](TopicService& of) -> io::Task<void> { (void)co_await of.run(); }(service));
    const auto told = [&] {
      size_t all = service.report().ignored;
      for (const auto& [topic, letters] : letters_) all += letters.size();
      return all;
    };
    for (int i = 0; i < 100 && told() < count; ++i) loop_.run_for(100);
    EXPECT_EQ(told(), count);
    return service.report();
  }

  io::RealLoop loop_;
  const io::ScratchDirectory scratch_;
  rpc::TestNucleus nucleus_{loop_, scratch_.path("ipc.sock")};
  net::HttpServer http_{loop_, echo};
  std::string service_;
  std::vector<json> events_;
  std::map<std::string, std::vector<json>> letters_;
  std::vector<std::string> correlations_;  // properties of the messages to the broker
};

TEST_F(TopicServiceTest, AnswersGoWhereTheRequestSays) {
  events_ = {
      message(
          {{"responseTopic", "app/1"}, {"correlationData", 7}, {"id", "a"}, {"inputs", kInputs}}),
      message({{"responseTopic", "app/2"}, {"inputs", kInputs}}),
      message({{"inputs", kInputs}, {"correlationData", {{"any", "value"}}}})};
  const auto report = serve(
      {{"serve", {{"topic", "infer"}}}, {"model", "a b"}, {"version", "2"}, {"answers", "all"}}, 3);
  EXPECT_EQ(report.answered, 3u);
  EXPECT_EQ(letters_["app/1"][0], (json{{"outputs", json::array()},
                                        {"target", "/v2/models/a%20b/versions/2/infer"},
                                        {"asked", {{"id", "a"}, {"inputs", kInputs}}},
                                        {"correlationData", 7}}));
  EXPECT_FALSE(letters_["app/2"][0].contains("correlationData"));
  EXPECT_EQ(letters_["all"][0]["correlationData"], json({{"any", "value"}}));
}

TEST_F(TopicServiceTest, ARequestNamesItsModelWhereTheDocumentDoesNot) {
  events_ = {{{"message",
               {{"topicName", "a/b"},
                {"payload",
                 base64_encode(
                     json{{"model", "m"}, {"version", "canary"}, {"inputs", kInputs}}.dump())}}}}};
  serve({{"serve", {{"iotCore", "a/+"}}}, {"answers", "answers"}}, 1);
  EXPECT_EQ(letters_["answers"][0]["target"], "/v2/models/m/versions/canary/infer");
}

TEST_F(TopicServiceTest, PropertiesOfMqttSayWhereAnswersGo) {
  const auto event = [](const json& payload, const json& properties) {
    json message = {{"topicName", "ask"}, {"payload", base64_encode(payload.dump())}};
    message.update(properties);
    return json{{"message", message}};
  };
  const std::string data("\0\xff", 2);
  events_ = {event({{"inputs", kInputs}},
                   {{"responseTopic", "a/1"}, {"correlationData", base64_encode(data)}}),
             event({{"inputs", kInputs}, {"responseTopic", "a/2"}, {"correlationData", 7}},
                   {{"responseTopic", "a/1"}}),
             event({{"inputs", kInputs}}, {{"responseTopic", 5}, {"correlationData", "!"}})};
  serve({{"serve", {{"iotCore", "ask"}}}, {"model", "m"}, {"answers", "all"}}, 3);
  ASSERT_EQ(letters_["a/1"].size(), 1u);
  EXPECT_FALSE(letters_["a/1"][0].contains("correlationData"));
  // What the document says itself goes before.
  ASSERT_EQ(letters_["a/2"].size(), 1u);
  EXPECT_EQ(letters_["a/2"][0]["correlationData"], 7);
  EXPECT_EQ(letters_["all"].size(), 1u);
  EXPECT_EQ(std::multiset<std::string>(correlations_.begin(), correlations_.end()),
            (std::multiset<std::string>{data, "", ""}));
}

TEST_F(TopicServiceTest, RefusalsAreAnswersToo) {
  events_ = {message({{"responseTopic", "r"}, {"model", "none"}, {"correlationData", "c"}}),
             message({{"responseTopic", "r"}, {"inputs", kInputs}})};
  const auto report = serve({{"serve", {{"topic", "infer"}}}}, 2);
  EXPECT_EQ(report.refused, 2u);
  std::set<json> letters(letters_["r"].begin(), letters_["r"].end());
  EXPECT_EQ(letters,
            (std::set<json>{{{"error", "model 'none' is not loaded"},
                             {"code", "not_found"},
                             {"correlationData", "c"}},
                            {{"error", "'model' is missing"}, {"code", "invalid_argument"}}}));
}

// An answer that comes back as a request would be answered for ever.
TEST_F(TopicServiceTest, WhatIsNoRequestIsIgnored) {
  events_ = {message({{"outputs", json::array()}}),
             message({{"error", "no"}, {"inputs", kInputs}}),
             message({{"inputs", kInputs}}),
             message({{"responseTopic", "infer"}, {"inputs", kInputs}}),
             message({{"responseTopic", 5}, {"inputs", kInputs}}),
             message("text"),
             {{"binaryMessage", {{"message", "AAH/"}}}},
             message({{"responseTopic", "r"}, {"inputs", kInputs}})};
  const auto report = serve({{"serve", {{"topic", "infer"}}}, {"model", "m"}}, 8);
  EXPECT_EQ(report.ignored, 7u);
  EXPECT_EQ(report.answered, 1u);
  EXPECT_EQ(letters_.size(), 1u);
}

TEST(TopicServiceConfig, NamesWhatIsWrong) {
  const auto refusal = [](const json& document) {
    const auto config = parse_topic_service(document.dump());
    return config ? "accepted" : config.error().message();
  };
  EXPECT_EQ(refusal({{"serve", {{"topic", "a"}}}}), "accepted");
  EXPECT_THAT(refusal({{"serve", {{"directory", "/a"}}}}),
              HasSubstr("serve.directory: is unknown"));
  EXPECT_THAT(refusal({{"serve", {{"topic", "a"}, {"iotCore", "b"}}}}), HasSubstr("one thing"));
  EXPECT_THAT(refusal({{"serve", {{"topic", "a"}}}, {"answers", "a"}}), HasSubstr("another topic"));
  EXPECT_EQ(refusal({{"serve", {{"topic", "a"}}}, {"queue", 0}}), "queue: must be 1 to 65536");
  EXPECT_EQ(refusal({{"serve", {{"topic", "a"}}}, {"window", 1}}), "window: is unknown here");
  EXPECT_EQ(refusal(json::array()), "the document must be an object");
  EXPECT_TRUE(is_topic_service(R"({"serve":1})"));
  EXPECT_FALSE(is_topic_service(R"({"source":1})") || is_topic_service("[") ||
               is_topic_service("[]"));
}

}  // namespace
}  // namespace skerry::flow
