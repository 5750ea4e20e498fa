// Definitions of exports, tasks of S3, and exporters against servers that answer this and that. The
// stock clients' shapes and a real S3 are in tests/streams.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "io/test_env.h"
#include "net/http_server.h"
#include "net/test_support.h"
#include "rpc/test_nucleus.h"
#include "streams/export/aws_exporter.h"
#include "streams/export/http_exporter.h"
#include "streams/export/mqtt_exporter.h"
#include "streams/export/s3_task.h"

namespace skerry::streams {
namespace {

using nlohmann::json;

constexpr int64_t kTimeMs = 1'767'312'061'042;  // 2026-01-02T00:01:01.042Z

TEST(ExportConfigs, AreReadAndWrittenAsTheSdksSpellThem) {
  const json definition = {
      {"http",
       {{{"identifier", "h"}, {"uri", "https://x/y"}, {"exportFormat", 1}, {"batchSize", 7}}}},
      {"kinesis", {{{"identifier", "k"}, {"kinesisStreamName", "ks"}, {"priority", 3}}}},
      {"iotAnalytics", {{{"identifier", "a"}, {"iotChannel", "c"}, {"iotMsgIdPrefix", "p"}}}},
      {"IotSitewise", {{{"identifier", "w"}, {"startSequenceNumber", 5}}}},
      {"s3TaskExecutor",
       {{{"identifier", "s"},
         {"sizeThresholdForMultipartUploadBytes", 6 << 20},
         {"statusConfig", {{"statusLevel", 1}, {"statusStreamName", "status"}}}}}}};
  const auto exports = parse_exports(definition);
  ASSERT_TRUE(exports) << exports.error().message();
  ASSERT_EQ(exports->size(), 5u);
  EXPECT_TRUE((*exports)[0].json_batched);
  EXPECT_EQ((*exports)[1].batch_size, 100) << "of IoT Analytics";
  EXPECT_EQ(*parse_exports(to_json(*exports)), *exports);
  EXPECT_TRUE(parse_exports(nullptr)->empty());
  EXPECT_TRUE(parse_exports({{"kinesis", json::array()}, {"http", nullptr}})->empty());
}

TEST(ExportConfigs, HaveTheRangesOfTheSdks) {
  const auto refusal = [](const char* kind, json config) {
    json definition = {{kind, json::array({std::move(config)})}};
    const auto exports = parse_exports(definition);
    return exports ? "" : exports.error().message();
  };
  const json good = {{"identifier", "e"}, {"uri", "http://x"}};
  EXPECT_EQ(refusal("http", good), "");
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, json>>{{"identifier", ""},
                                                 {"identifier", "a/b"},
                                                 {"identifier", nullptr},
                                                 {"uri", ""},
                                                 {"uri", "ftp://x"},
                                                 {"uri", "mqtt:"},
                                                 {"uri", "http://\xff"},
                                                 {"uri", 7},
                                                 {"batchSize", 0},
                                                 {"batchSize", 501},
                                                 {"batchIntervalMillis", 1},
                                                 {"priority", 0},
                                                 {"priority", 11},
                                                 {"exportFormat", 2},
                                                 {"disabled", 1},
                                                 {"startSequenceNumber", -1}}) {
    json config = good;
    config[key] = value;
    EXPECT_NE(refusal("http", config), "")
        << key << " " << value.dump(-1, ' ', false, json::error_handler_t::replace);
  }
  EXPECT_NE(refusal("kinesis", {{"identifier", "k"}}), "") << "no stream";
  EXPECT_NE(refusal("s3TaskExecutor",
                    {{"identifier", "s"}, {"sizeThresholdForMultipartUploadBytes", 1024}}),
            "");
  EXPECT_NE(refusal("other", good), "");
  EXPECT_FALSE(parse_exports(7));
  EXPECT_FALSE(parse_exports({{"http", 7}}));
  EXPECT_FALSE(parse_exports({{"http", {7}}}));
  const auto twice = parse_exports({{"http", {good, good}}});
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().message(), testing::HasSubstr("two exports are called e"));
}

TEST(S3Tasks, AreReadAndTheirKeysFilledIn) {
  const auto task = parse_s3_task(R"({"inputUrl":"file:///a/b%20c.wav","bucket":"clips",
      "key":"x/!{timestamp:yyyy/MM/dd}/!{timestamp:HH'h'mm:ss.SSS}.wav",
      "userMetadata":{"Line":"a","n":7}})",
                                  kTimeMs);
  ASSERT_TRUE(task) << task.error().message();
  EXPECT_EQ(task->path, "/a/b c.wav");
  EXPECT_EQ(task->key, "x/2026/01/02/00h01:01.042.wav");
  EXPECT_THAT(task->metadata,
              testing::ElementsAre(testing::Pair("line", "a"), testing::Pair("n", "7")));
  EXPECT_EQ(parse_s3_task(R"({"inputUrl":"/a","bucket":"abc","key":"k"})", 0)->path, "/a");
  for (const char* wrong :
       {"", "7", "{}", R"({"inputUrl":"http://x","bucket":"abc","key":"k"})",
        R"({"inputUrl":"file:///a%","bucket":"abc","key":"k"})",
        R"({"inputUrl":"file:///a%00","bucket":"abc","key":"k"})",
        R"({"inputUrl":"file:///a","bucket":"A","key":"k"})",
        R"({"inputUrl":"file:///a","bucket":"abc","key":""})",
        R"({"inputUrl":"file:///a","bucket":"abc","key":"!{timestamp:yyyy"})",
        R"({"inputUrl":"file:///a","bucket":"abc","key":"!{timestamp:QQ}"})",
        R"({"inputUrl":"file:///a","bucket":"abc","key":"!{timestamp:yyyyyyyyyyyyyyy}"})",
        R"({"inputUrl":"file:///a","bucket":"abc","key":"k","userMetadata":{"a b":"c"}})",
        R"({"inputUrl":"file:///a","bucket":"abc","key":"k","userMetadata":{"a":"\n"}})"}) {
    const auto refused = parse_s3_task(wrong, 0);
    EXPECT_TRUE(!refused && refused.error().code() == Code::kInvalidArgument) << wrong;
  }
}

// --- Exporters ----------------------------------------------------------------------------------

class ExporterTest : public testing::Test {
 protected:
  ExporterTest() {
    auto port = server_.listen_tcp("127.0.0.1", 0, nullptr);
    EXPECT_TRUE(port);
    url_ = "http://127.0.0.1:" + std::to_string(*port);
  }
  io::Task<net::HttpResponse> serve(net::HttpRequest request) {
    requests_.push_back(request);
    if (answers_.empty()) co_return net::json_response(200, answer_);
    net::HttpResponse answer = std::move(answers_.front());
    answers_.erase(answers_.begin());
    co_return answer;
  }
  Result<size_t> send(Exporter& exporter, std::vector<std::string> payloads) {
    ExportBatch batch{"s", "ID", {}};
    for (std::string& payload : payloads) {
      batch.messages.push_back(
          {static_cast<int64_t>(batch.messages.size()), kTimeMs, std::move(payload)});
    }
    return net::run_task(
        test_.loop,
        [](ExporterTest& test, Exporter& one, const ExportBatch& what) -> io::Task<Result<size_t>> {
          const auto line = co_await test.uplink_.begin(1);
          co_return co_await one.send(what, *line);
        }(*this, exporter, batch));
  }
  // What a mistake with that answer comes to.
  Code code_of(Exporter& exporter, int status, const std::string& body) {
    answers_ = {net::json_response(status, body)};
    const auto sent = send(exporter, {"{\"propertyValues\":[]}"});
    EXPECT_FALSE(sent);
    return sent ? Code::kInternal : sent.error().code();
  }

  io::BasicTestEnv<io::RealClock, io::RealFiles> test_;
  net::HttpServer server_{test_.loop,
                          [this](net::HttpRequest request) { return serve(std::move(request)); }};
  std::unique_ptr<net::HttpClient> http_ = net::make_http_client(test_.loop, nullptr);
  Uplink uplink_{test_.env, {}};
  std::string url_, answer_ = "{}";
  std::vector<net::HttpResponse> answers_;  // before answer_
  std::vector<net::HttpRequest> requests_;
};

TEST_F(ExporterTest, HttpSendsMessagesOneByOneOrAsAList) {
  HttpExporter single(*http_, {.identifier = "e", .target = url_ + "/in?x=1"});
  EXPECT_EQ(send(single, {"one", std::string(300'000, 'x')}), 2u);
  ASSERT_EQ(requests_.size(), 2u);
  EXPECT_EQ(requests_[0].target, "/in?x=1");
  EXPECT_EQ(requests_[0].body, "one");
  EXPECT_EQ(requests_[1].headers.get("Idempotency-Key"), "ID-1");
  EXPECT_EQ(requests_[1].body.size(), 300'000u);
  HttpExporter list(*http_, {.identifier = "e", .target = url_, .json_batched = true});
  EXPECT_EQ(send(list, {"one", "two"}), 2u);
  EXPECT_EQ(requests_[2].headers.get("Idempotency-Key"), "ID-0-1");
  const json body = json::parse(requests_[2].body);
  EXPECT_EQ(body[1], json({{"streamName", "s"},
                           {"sequenceNumber", 1},
                           {"ingestTime", kTimeMs},
                           {"payload", base64_encode("two")}}));
  answers_ = {net::text_response(200, ""), net::text_response(503, "later")};
  EXPECT_EQ(send(single, {"one", "two"}), 1u) << "what has arrived counts";
}

TEST_F(ExporterTest, WhatAnAnswerMeans) {
  HttpExporter http(*http_, {.identifier = "e", .target = url_});
  EXPECT_EQ(code_of(http, 400, ""), Code::kInvalidArgument);
  EXPECT_EQ(code_of(http, 413, ""), Code::kInvalidArgument);
  EXPECT_EQ(code_of(http, 401, ""), Code::kFailedPrecondition);
  EXPECT_EQ(code_of(http, 404, ""), Code::kFailedPrecondition);
  EXPECT_EQ(code_of(http, 302, ""), Code::kFailedPrecondition);
  EXPECT_EQ(code_of(http, 429, ""), Code::kUnavailable);
  EXPECT_EQ(code_of(http, 500, ""), Code::kUnavailable);
  HttpExporter nowhere(*http_, {.identifier = "e", .target = "http://127.0.0.1:1/"});
  EXPECT_EQ(send(nowhere, {"x"}).error().code(), Code::kUnavailable);
}

TEST_F(ExporterTest, AwsServicesSayWhichMessagesHaveNotArrived) {
  AwsSession session(test_.clock, *http_,
                     {.region = "eu-north-9",
                      .endpoints = {{"", url_}},
                      .credentials = net::AwsCredentials{"AKIA", "secret", ""}});
  AwsExporter kinesis(session, {.kind = ExportKind::kKinesis, .target = "ks"});
  answer_ = R"({"FailedRecordCount":0,"Records":[{"SequenceNumber":"1"},{"SequenceNumber":"2"}]})";
  EXPECT_EQ(send(kinesis, {"a", "b"}), 2u);
  EXPECT_THAT(std::string(requests_[0].headers.get("Authorization")),
              testing::HasSubstr("/eu-north-9/kinesis/aws4_request"));
  answer_ =
      R"({"FailedRecordCount":1,"Records":[{"SequenceNumber":"1"},{"ErrorCode":"Busy","ErrorMessage":null}]})";
  EXPECT_EQ(send(kinesis, {"a", "b"}), 1u);
  answer_ = R"({"Records":[{"ErrorCode":"ProvisionedThroughputExceededException"}]})";
  EXPECT_EQ(send(kinesis, {"a"}).error().code(), Code::kUnavailable);
  for (const char* odd : {"7", "[]", "", "{"}) {
    answer_ = odd;
    EXPECT_EQ(send(kinesis, {"a"}).error().code(), Code::kUnavailable) << odd;
  }
  answer_ = R"({"Records":"none"})";
  EXPECT_EQ(send(kinesis, {"a"}), 1u);
  EXPECT_EQ(code_of(kinesis, 400, R"({"__type":"ProvisionedThroughputExceededException"})"),
            Code::kUnavailable);
  EXPECT_EQ(code_of(kinesis, 400, R"({"__type":"a#ResourceNotFoundException"})"),
            Code::kFailedPrecondition);
  EXPECT_EQ(code_of(kinesis, 400, R"({"__type":"ValidationException"})"), Code::kInvalidArgument);
  EXPECT_EQ(code_of(kinesis, 400, "{}"), Code::kFailedPrecondition);

  AwsExporter sitewise(session, {.kind = ExportKind::kSiteWise});
  EXPECT_EQ(send(sitewise, {"no entry"}).error().code(), Code::kInvalidArgument);
  answer_ =
      R"({"errorEntries":[{"entryId":"1","errors":[{"errorCode":"ResourceNotFoundException"}]}]})";
  const std::string entry = R"({"entryId":"mine","propertyAlias":"/a","propertyValues":[]})";
  EXPECT_EQ(send(sitewise, {entry, entry}), 1u);
  AwsExporter analytics(
      session, {.kind = ExportKind::kIotAnalytics, .target = "c", .message_id_prefix = "p"});
  answer_ = R"({"batchPutMessageErrorEntries":[{"messageId":"pID-1","errorCode":"x"}]})";
  EXPECT_EQ(send(analytics, {"a", "b"}), 1u);
  EXPECT_EQ(json::parse(requests_.back().body),
            json::parse(R"({"channelName":"c","messages":[{"messageId":"pID-0","payload":"YQ=="},
                            {"messageId":"pID-1","payload":"Yg=="}]})"));
}

TEST_F(ExporterTest, WithoutRegionOrCredentialsItSaysWhatToSet) {
  AwsSession none(test_.clock, *http_, {});
  AwsExporter exporter(none, {.kind = ExportKind::kKinesis, .target = "ks"});
  EXPECT_THAT(send(exporter, {"a"}).error().message(), testing::HasSubstr("AWS_REGION"));
  AwsSession region(test_.clock, *http_, {.region = "r"});
  AwsExporter keyless(region, {.kind = ExportKind::kKinesis, .target = "ks"});
  EXPECT_THAT(send(keyless, {"a"}).error().message(), testing::HasSubstr("AWS_ACCESS_KEY_ID"));
  AwsSession nucleus(test_.clock, *http_,
                     {.region = "r",
                      .endpoints = {{"", url_}},
                      .credentials_url = url_ + "/credentials",
                      .credentials_token = "TOKEN"});
  AwsExporter with(nucleus, {.kind = ExportKind::kKinesis, .target = "ks"});
  answers_ = {net::json_response(
      200, R"({"AccessKeyId":"AKIANUCLEUS","SecretAccessKey":"s","Token":"session"})")};
  EXPECT_EQ(send(with, {"a"}), 1u);
  EXPECT_EQ(send(with, {"a"}), 1u);
  ASSERT_EQ(requests_.size(), 3u) << "credentials are asked for once";
  EXPECT_EQ(requests_[0].headers.get("Authorization"), "TOKEN");
  EXPECT_EQ(requests_[2].headers.get("X-Amz-Security-Token"), "session");
}

TEST_F(ExporterTest, MqttGoesThroughTheNucleus) {
  const net::ScratchDirectory directory;
  rpc::TestNucleus nucleus(test_.loop, directory.path("ipc.socket"));
  std::vector<std::string> published;
  std::string error;
  nucleus.answer("PublishToIoTCore",
                 [&](const rpc::ServerStream& stream, std::string_view payload) {
                   if (!error.empty()) return stream.fail(error, R"({"message":"no"})");
                   const json request = json::parse(payload);
                   published.push_back(request["topicName"].get<std::string>() + " " +
                                       *base64_decode(request["payload"].get<std::string>()));
                   stream.respond("aws.greengrass#PublishToIoTCoreResponse", "{}");
                 });
  MqttExporter exporter(test_.loop, nucleus.address(), "dt/press-1/readings");
  EXPECT_EQ(send(exporter, {"a"}).error().code(), Code::kUnavailable) << "no nucleus yet";
  nucleus.start();
  EXPECT_EQ(send(exporter, {"a", "b"}), 2u);
  EXPECT_THAT(published, testing::ElementsAre("dt/press-1/readings a", "dt/press-1/readings b"));
  EXPECT_EQ(send(exporter, {"c", std::string(200'000, 'x')}), 1u);
  EXPECT_EQ(send(exporter, {std::string(200'000, 'x')}).error().code(), Code::kInvalidArgument);
  error = "aws.greengrass#UnauthorizedError";
  EXPECT_EQ(send(exporter, {"d"}).error().code(), Code::kPermissionDenied);
  nucleus.stop();
  error.clear();
  EXPECT_TRUE(send(exporter, {"d"}).error().retryable());
  nucleus.start();
  EXPECT_EQ(send(exporter, {"d"}), 1u);
  MqttExporter alone(test_.loop, {}, "t");
  EXPECT_EQ(send(alone, {"a"}).error().code(), Code::kFailedPrecondition);
}

}  // namespace
}  // namespace skerry::streams
