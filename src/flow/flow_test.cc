// Windows and queues, what a document may say, and messages through a nucleus of the test's own.
// Whole streams with a real service: tests/infer/streams_test.py.
#include "flow/flow.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <numeric>

#include "flow/audio_cutter.h"
#include "io/test_directory.h"
#include "rpc/test_nucleus.h"

namespace skerry::flow {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::vector<float> counting(size_t count) {
  std::vector<float> samples(count);
  std::iota(samples.begin(), samples.end(), 1.f);
  return samples;
}

TEST(Windows, AreTheSameHoweverTheSamplesCome) {
  const std::vector<float> samples = counting(100);
  for (const WindowConfig config :
       {WindowConfig{10, 10, 0, 1}, {10, 3, 0, 1}, {10, 25, 0, 1}, {12, 8, 4, 1}}) {
    std::vector<float> padded(static_cast<size_t>(config.before), 0);
    padded.insert(padded.end(), samples.begin(), samples.end());
    for (const size_t piece : {1u, 7u, 100u}) {
      Windows windows(config);
      int64_t count = 0;
      for (size_t at = 0; at < samples.size(); at += piece) {
        const auto part = std::span(samples).subspan(at, std::min(piece, samples.size() - at));
        windows.push(part, [&](std::span<const float> window, int64_t number) {
          EXPECT_EQ(number, count);
          const auto first = padded.begin() + count++ * config.stride;
          EXPECT_EQ(std::vector(window.begin(), window.end()),
                    std::vector(first, first + config.size));
        });
      }
      const auto room = static_cast<int64_t>(padded.size()) - config.size;
      EXPECT_EQ(count, room / config.stride + 1) << config.stride << " by " << piece;
    }
  }
}

TEST(AudioCutter, TakesNoChunkBehindTheSamplesForSamples) {
  const auto number = [](uint32_t value, size_t size) {
    return std::string(reinterpret_cast<const char*>(&value), size);
  };
  const std::string head = "RIFF" + number(0, 4) + "WAVEfmt " + number(16, 4) + number(1, 2) +
                           number(1, 2) + number(8000, 4) + number(16000, 4) + number(2, 2) +
                           number(16, 2);
  const auto windows_of = [](const std::string& file) {
    AudioCutter cutter({4, 4, 0, 8000}, std::nullopt);
    cutter.begin("a.wav");
    size_t count = 0;
    for (const char each : file) {
      const auto items = cutter.push({&each, 1});
      EXPECT_TRUE(items);
      for (const Item& item : *items) {
        EXPECT_EQ(item.begins, count == 0);
        EXPECT_EQ(item.start_s, static_cast<double>(count) * 4 / 8000);
        ++count;
      }
    }
    return count;
  };
  EXPECT_EQ(windows_of(head + "data" + number(16, 4) + std::string(16, 'x') + "LIST" +
                       std::string(60, 'y')),
            2u);
  // Programs that write to a pipe do not know the size.
  EXPECT_EQ(windows_of(head + "data" + number(0xffffffff, 4) + std::string(48, 'x')), 6u);
}

TEST(AudioCutter, RawSamplesNeedNoHeader) {
  AudioCutter cutter({2, 2, 0, 16'000},
                     pipeline::AudioFormat{pipeline::SampleType::kInt16, 2, 16'000});
  cutter.begin("-");
  const std::vector<int16_t> frames = {16384, 16384, 0, 16384, -32768, -32768};
  const auto items = cutter.push({reinterpret_cast<const char*>(frames.data()), frames.size() * 2});
  ASSERT_TRUE(items);
  ASSERT_EQ(items->size(), 1u);
  std::vector<float> samples(2);
  std::memcpy(samples.data(), (*items)[0].content.bytes.data(), 8);
  EXPECT_EQ(samples, (std::vector{.5f, .25f}));
}

TEST(FlowQueue, DropsAsItIsTold) {
  io::RealLoop loop;
  const auto left = [&](Drop drop) {
    Queue<int> queue(loop, 2, drop);
    for (int i = 0; i < 5; ++i) queue.offer(i);
    std::vector<int> items;
    io::TaskScope tasks;
    queue.close();
    tasks.spawn([](Queue<int>& of, std::vector<int>& to) -> io::Task<void> {
      while (auto item = co_await of.pop()) to.push_back(*item);
    }(queue, items));
    return std::pair(items, queue.dropped());
  };
  EXPECT_EQ(left(Drop::kOldest), std::pair(std::vector<int>({3, 4}), uint64_t{3}));
  EXPECT_EQ(left(Drop::kNewest), std::pair(std::vector<int>({0, 1}), uint64_t{3}));
}

TEST(FlowQueue, HoldsBackASenderThatCanWait) {
  io::RealLoop loop;
  Queue<int> queue(loop, 2, Drop::kNever);
  int sent = 0;
  std::vector<int> received;
  io::TaskScope tasks;
  tasks.spawn([](Queue<int>& to, int& count) -> io::Task<void> {
    for (; count < 10; ++count) co_await to.push(count);
    to.close();
  }(queue, sent));
  EXPECT_EQ(sent, 2);
  tasks.spawn([](Queue<int>& from, std::vector<int>& to) -> io::Task<void> {
    while (auto item = co_await from.pop()) to.push_back(*item);
  }(queue, received));
  while (tasks.size() > 0) loop.run_for(1000);
  EXPECT_EQ(received, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(queue.dropped(), 0u);
}

// Topics, with a nucleus of the test's own.
class Topics : public testing::Test {
 protected:
  Topics() {
    for (const char* operation : {"SubscribeToTopic", "SubscribeToIoTCore"}) {
      nucleus_.answer(operation,
                      [this, operation](const rpc::ServerStream& stream, std::string_view request) {
                        subscriptions_.push_back(json::parse(request));
                        stream.start(std::string("aws.greengrass#") + operation + "Response", "{}");
                        for (const json& event : events_)
                          stream.send("aws.greengrass#Event", event.dump());
                      });
    }
    for (const char* operation : {"PublishToTopic", "PublishToIoTCore"}) {
      nucleus_.answer(
          operation, [this, operation](const rpc::ServerStream& stream, std::string_view request) {
            if (refuses_) return stream.fail("aws.greengrass#UnauthorizedError", "{}");
            published_.push_back(json::parse(request));
            stream.respond(std::string("aws.greengrass#") + operation + "Response", "{}");
          });
    }
    nucleus_.start();
  }

  // What the source has sent once there are `count` items.
  std::vector<std::string> contents(const json& source, size_t count) {
    const json document = {{"source", source}, {"model", "m"}, {"input", "x"}};
    const auto config = parse_flow_config(document.dump());
    EXPECT_TRUE(config);
    Queue<Item> items(loop_, 64, Drop::kOldest);
    const auto from = make_source(loop_, pool_, nucleus_.address(), *config);
    io::TaskScope tasks;
    tasks.spawn([](Source& of, Queue<Item>& to) -> io::Task<void> { (void)co_await of.run(to); }(
                                                    *from, items));
    for (int i = 0; i < 100 && items.size() < count; ++i) loop_.run_for(100);
    std::vector<std::string> found;
    tasks.spawn([](Queue<Item>& of, std::vector<std::string>& to) -> io::Task<void> {
      while (auto item = co_await of.pop()) {
        const auto elements = tensor::split_bytes(item->content.bytes, 1);
        to.emplace_back((*elements)[0]);
      }
    }(items, found));
    return found;
  }

  Result<void> send(const SinkConfig& to, const std::string& line) {
    const auto http = net::make_http_client(loop_, nullptr);
    const auto sink = make_sink(loop_, pool_, *http, nucleus_.address(), to);
    std::optional<Result<void>> sent;
    io::TaskScope tasks;
    tasks.spawn([](Sink& of, const std::string& text,
                   std::optional<Result<void>>& result) -> io::Task<void> {
      result.emplace(co_await of.send(text));
    }(*sink, line, sent));
    for (int i = 0; i < 100 && !sent; ++i) loop_.run_for(100);
    return sent ? *sent : fail(Code::kInternal, "no answer");
  }

  io::RealLoop loop_;
  io::InlinePool pool_;
  const io::ScratchDirectory scratch_;
  rpc::TestNucleus nucleus_{loop_, scratch_.path("ipc.sock")};
  std::vector<json> events_;
  std::vector<json> subscriptions_;
  std::vector<json> published_;
  bool refuses_ = false;
};

TEST_F(Topics, MessagesOfThisDeviceAreItems) {
  events_ = {{{"binaryMessage", {{"message", "AAH/"}}}},
             {{"jsonMessage", {{"message", {{"a", 1}}}}}},
             {{"other", 1}}};
  EXPECT_EQ(contents({{"topic", "pictures"}}, 2),
            (std::vector<std::string>{std::string("\0\1\xff", 3), R"({"a":1})"}));
  EXPECT_EQ(subscriptions_, std::vector<json>{json({{"topic", "pictures"}})});
}

TEST_F(Topics, MessagesOfTheBrokerAreItems) {
  events_ = {{{"message", {{"topicName", "a/b"}, {"payload", "eA=="}}}}};
  EXPECT_EQ(contents({{"iotCore", "a/+"}}, 1), std::vector<std::string>{"x"});
}

TEST_F(Topics, AnswersGoToBothKindsOfTopics) {
  ASSERT_TRUE(send({SinkConfig::Kind::kTopic, "t"}, "hi"));
  ASSERT_TRUE(send({SinkConfig::Kind::kIotCore, "u"}, "hi"));
  EXPECT_EQ(published_[0],
            (json{{"topic", "t"}, {"publishMessage", {{"binaryMessage", {{"message", "aGk="}}}}}}));
  EXPECT_EQ(published_[1], (json{{"topicName", "u"}, {"qos", "1"}, {"payload", "aGk="}}));
}

TEST_F(Topics, ARefusedAnswerIsNotTriedAgain) {
  refuses_ = true;
  const auto sent = send({SinkConfig::Kind::kTopic, "t"}, "hi");
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code(), Code::kPermissionDenied);
  EXPECT_FALSE(sent.error().retryable());
}

const json kSpeech = {
    {"source", {{"directory", "/recordings"}}},
    {"window", {{"samples", 576}, {"stride", 512}, {"before", 64}, {"rate", 16'000}}},
    {"model", "vad"},
    {"input", "input"},
    {"sinks", {{{"topic", "speech"}}}}};

TEST(FlowConfig, IsReadWhole) {
  const auto config = parse_flow_config(kSpeech.dump());
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->window->stride, 512);
  EXPECT_EQ(config->sinks[0].target, "speech");
  EXPECT_EQ(config->drop, Drop::kNever);
}

TEST(FlowConfig, NamesWhatIsWrong) {
  const auto refusal = [](const json& changes) {
    json document = kSpeech;
    document.merge_patch(changes);
    const auto config = parse_flow_config(document.dump());
    return config ? "accepted" : config.error().message();
  };
  EXPECT_EQ(refusal({{"model", nullptr}}), "model: is missing");
  EXPECT_EQ(refusal({{"sauce", 1}}), "sauce: is unknown here");
  EXPECT_EQ(refusal({{"source", {{"topic", "a"}}}}), "source: must be one thing, not several");
  EXPECT_EQ(refusal({{"source", {{"directory", nullptr}}}}),
            "source: must have one of: directory, pipe, camera, topic, iotCore");
  EXPECT_EQ(refusal({{"window", {{"before", 576}}}}), "window.before: must be 0 to 575");
  EXPECT_EQ(refusal({{"window", {{"rate", nullptr}}}}), "window.rate: is missing");
  EXPECT_EQ(refusal({{"source", {{"directory", nullptr}, {"topic", "a"}}}}),
            "window: messages go to the model whole");
  EXPECT_EQ(refusal({{"source", {{"directory", nullptr}, {"topic", "a"}}},
                     {"window", nullptr},
                     {"drop", "never"}}),
            "drop: messages and cameras cannot wait; choose oldest or newest");
  EXPECT_THAT(refusal({{"drop", "some"}}), HasSubstr("never, oldest, newest"));
  EXPECT_EQ(refusal({{"queue", 0}}), "queue: must be 1 to 65536");
  EXPECT_EQ(refusal({{"sinks", {{{"file", ""}}}}}), "sinks[0].file: is empty");
}

}  // namespace
}  // namespace skerry::flow
