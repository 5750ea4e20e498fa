// Counting predictions, the queue of summaries, and the way to a nucleus.
#include "serve/summaries.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/encoding.h"
#include "io/test_env.h"
#include "rpc/test_nucleus.h"
#include "serve/summary_publisher.h"
#include "serve/test_support.h"

namespace skerry::serve {
namespace {

using formats::InferenceSummary;
using formats::ModelCounts;
using formats::ScoreActivation;

template <class T>
tensor::Tensor scores_of(const std::vector<int64_t>& shape, const std::vector<T>& values) {
  tensor::Tensor tensor{.name = "y", .shape = shape};
  tensor.type = sizeof(T) == 4 ? tensor::DataType::kFp32 : tensor::DataType::kFp64;
  tensor.bytes.resize(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return tensor;
}

template <class T>
ModelCounts counted(const std::vector<int64_t>& shape, const std::vector<T>& values,
                    ScoreActivation activation = ScoreActivation::kNone) {
  ModelCounts counts;
  const std::vector<tensor::Tensor> outputs = {scores_of(shape, values)};
  count_predictions({"y", activation}, outputs, counts);
  return counts;
}

TEST(PredictionsTest, TheHighestScoreWins) {
  const ModelCounts counts = counted<float>({2, 3}, {0.1f, 0.7f, 0.2f, 0.5f, 0.25f, 0.25f});
  EXPECT_EQ(counts.predictions, 2u);
  EXPECT_EQ(counts.classes[1], 1u);
  EXPECT_EQ(counts.classes[0], 1u);
  EXPECT_NEAR(counts.mean_confidence(), 0.6, 1e-6);
  EXPECT_NEAR(counted<double>({3}, {0.1, 0.7, 0.2}).mean_confidence(), 0.7, 1e-6);
}

TEST(PredictionsTest, OneScoreIsOfTwoClasses) {
  const ModelCounts counts = counted<float>({3, 1}, {0.9f, 0.2f, 0.5f});
  EXPECT_EQ(counts.classes[1], 2u);
  EXPECT_EQ(counts.classes[0], 1u);
  EXPECT_NEAR(counts.mean_confidence(), (0.9 + 0.8 + 0.5) / 3, 1e-6);
  EXPECT_EQ(counted<float>({}, {0.75f}).predictions, 1u);
}

TEST(PredictionsTest, LogitsBecomeProbabilities) {
  const double e = std::exp(1.0);
  EXPECT_NEAR(counted<float>({1, 2}, {1, 0}, ScoreActivation::kSoftmax).mean_confidence(),
              e / (e + 1), 1e-6);
  EXPECT_NEAR(counted<float>({1, 2}, {1000, 0}, ScoreActivation::kSoftmax).mean_confidence(), 1,
              1e-6);
  EXPECT_NEAR(counted<float>({1, 2}, {0, -3}, ScoreActivation::kSigmoid).mean_confidence(), 0.5,
              1e-6);
  EXPECT_EQ(counted<float>({1, 1}, {-3}, ScoreActivation::kSigmoid).classes[0], 1u);
}

TEST(PredictionsTest, LargeAnswersAreSampledEvenly) {
  std::vector<float> values(100'000 * 2);
  for (size_t row = 0; row < 100'000; ++row) values[row * 2 + (row < 50'000 ? 0 : 1)] = 1;
  const ModelCounts counts = counted<float>({100'000, 2}, values);
  EXPECT_LE(counts.predictions, kMaxCountedScores / 2);
  EXPECT_GT(counts.predictions, kMaxCountedScores / 4);
  EXPECT_NEAR(static_cast<double>(counts.classes[0]), static_cast<double>(counts.classes[1]), 2);
}

TEST(PredictionsTest, WhatIsNoScoreIsNotCounted) {
  EXPECT_EQ(counted<float>({0, 3}, {}).predictions, 0u);
  EXPECT_EQ(counted<float>({3, 0}, {}).predictions, 0u);
  ModelCounts counts;
  count_predictions({"other", ScoreActivation::kNone}, {}, counts);
  EXPECT_EQ(counts, ModelCounts());
  EXPECT_EQ(counted<float>({1, 2}, {std::nanf(""), std::nanf("")}).confidence_sum, 0u);
}

TEST(SummariesTest, AVersionThatWasReplacedIsNotLost) {
  Summaries summaries("run00000", 1000);
  auto old = std::make_unique<ServedModel>();
  old->name = "m";
  old->version = "1";
  ServedModel next;
  next.name = "m";
  next.version = "2";
  summaries.add_success(*old, 5000);
  summaries.add_success(next, 5000);
  summaries.add_failure(next, Code::kInternal);
  summaries.add_failure(next, Code::kInvalidArgument);
  old.reset();
  summaries.close_period(2000);
  const InferenceSummary* summary = summaries.next();
  ASSERT_NE(summary, nullptr);
  ASSERT_EQ(summary->models.size(), 2u);
  EXPECT_EQ(summary->start_ms, 1000);
  EXPECT_EQ(summary->end_ms, 2000);
  EXPECT_EQ(summary->models[0].counts.requests, 1u);
  EXPECT_EQ(summary->models[1].counts.errors, 1u);
  EXPECT_EQ(summary->models[1].counts.refused, 1u);
  EXPECT_TRUE(formats::parse_inference_summary(to_text(*summary)));
  summaries.sent();
  summaries.close_period(3000);
  EXPECT_EQ(summaries.next(), nullptr);  // nothing happened
}

TEST(SummariesTest, AlarmsAreToldOnce) {
  Summaries summaries("run00000", 0);
  ServedModel model;
  model.name = "m";
  model.version = "1";
  model.watchdog.note_not_finite("y");
  model.watchdog.note_over_limit(10);
  for (int i = 0; i < 2; ++i) summaries.add_alarms(model);
  summaries.close_period(1);
  const InferenceSummary* summary = summaries.next();
  ASSERT_NE(summary, nullptr);
  EXPECT_EQ(summary->models[0].counts.not_finite, 1u);
  EXPECT_EQ(summary->models[0].counts.hangs, 1u);
  const auto read = formats::parse_inference_summary(to_text(*summary));
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(*read, *summary);
  summaries.sent();
  summaries.add_alarms(model);
  summaries.close_period(2);
  EXPECT_EQ(summaries.next(), nullptr);
}

TEST(SummariesTest, WhatWaitsHasABoundAndLosesNothing) {
  Summaries summaries("run00000", 0);
  ServedModel model;
  model.name = "m";
  model.version = "1";
  std::string first;
  for (int minute = 1; minute <= 500; ++minute) {
    summaries.add_success(model, 1000);
    summaries.close_period(minute * 60'000);
    if (minute == 1) first = to_text(*summaries.next());  // sent, but nobody knows whether it came
  }
  EXPECT_LE(summaries.waiting(), 61u);
  EXPECT_EQ(to_text(*summaries.next()), first);
  uint64_t requests = 0;
  uint64_t sequence = 0;
  for (const InferenceSummary* next; (next = summaries.next()) != nullptr; summaries.sent()) {
    EXPECT_EQ(next->sequence, ++sequence);
    requests += next->models[0].counts.requests;
  }
  EXPECT_EQ(requests, 500u);
}

TEST(SummariesTest, ManyModelsAreSeveralSummaries) {
  Summaries summaries("run00000", 0);
  std::vector<ServedModel> models(40);
  for (size_t i = 0; i < models.size(); ++i) {
    models[i].name = "m";
    models[i].version = std::to_string(i);
    summaries.add_success(models[i], 1000);
  }
  summaries.close_period(1000);
  size_t seen = 0;
  for (const InferenceSummary* next; (next = summaries.next()) != nullptr; summaries.sent()) {
    EXPECT_TRUE(formats::parse_inference_summary(to_text(*next)));
    seen += next->models.size();
  }
  EXPECT_EQ(seen, models.size());
}

// A nucleus that takes messages to the broker.
class FakeNucleus {
 public:
  FakeNucleus(io::RealLoop& loop, const std::string& path) : nucleus_(loop, path) {
    nucleus_.answer(
        "PublishToIoTCore", [this](const rpc::ServerStream& stream, std::string_view payload) {
          const auto request = test::json::parse(payload);
          if (refuses) return stream.fail("aws.greengrass#ServiceError", R"({"message":"full"})");
          topics.push_back(request["topicName"]);
          EXPECT_EQ(request["qos"], "1");
          payloads.push_back(base64_decode(request["payload"].get<std::string>()).value());
          stream.respond("aws.greengrass#PublishToIoTCoreResponse", "{}");
        });
    nucleus_.start();
  }

  bool refuses = false;
  std::vector<std::string> topics;
  std::vector<std::string> payloads;

 private:
  rpc::TestNucleus nucleus_;
};

class SummaryPublisherTest : public testing::Test {
 protected:
  SummaryPublisherTest() {
    model_.name = "m";
    model_.version = "1";
  }
  void flush(const std::string& token = "the-token") {
    SummaryPublisher publisher(loop_, clock_, summaries_, {path_, token, "press-1"}, 60'000);
    std::optional<bool> done;
    io::TaskScope scope;
    scope.spawn([](SummaryPublisher* one, std::optional<bool>* ended) -> io::Task<void> {
      co_await one->flush();
      *ended = true;
    }(&publisher, &done));
    ASSERT_TRUE(test::run_until(loop_, [&] { return done.has_value(); }));
  }

  io::RealLoop loop_;
  io::ManualClock clock_;
  io::ScratchDirectory directory_;
  const std::string path_ = directory_.path("ipc.socket");
  Summaries summaries_{"run00000", 0};
  ServedModel model_;
};

TEST_F(SummaryPublisherTest, SummariesGoThroughTheNucleus) {
  FakeNucleus nucleus(loop_, path_);
  summaries_.add_success(model_, 1000);
  flush();
  summaries_.add_success(model_, 1000);
  flush();
  flush();  // nothing to say
  ASSERT_EQ(nucleus.payloads.size(), 2u);
  EXPECT_EQ(nucleus.topics[0], "$aws/things/press-1/skerry/inference");
  EXPECT_EQ(formats::parse_inference_summary(nucleus.payloads[1])->sequence, 2u);
}

TEST_F(SummaryPublisherTest, WhatIsNotTakenIsSaidAgainInTheSameWords) {
  summaries_.add_success(model_, 1000);
  flush();  // no nucleus
  EXPECT_EQ(summaries_.waiting(), 1u);
  FakeNucleus nucleus(loop_, path_);
  flush("another");
  nucleus.refuses = true;
  flush();
  EXPECT_EQ(summaries_.waiting(), 1u);
  nucleus.refuses = false;
  summaries_.add_success(model_, 1000);
  flush();
  ASSERT_EQ(nucleus.payloads.size(), 2u);
  EXPECT_EQ(formats::parse_inference_summary(nucleus.payloads[0])->sequence, 1u);
  EXPECT_EQ(formats::parse_inference_summary(nucleus.payloads[0])->models[0].counts.requests, 1u);
  EXPECT_EQ(summaries_.waiting(), 0u);
}

}  // namespace
}  // namespace skerry::serve
