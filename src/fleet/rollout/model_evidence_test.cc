// Gates on what models do: from the summaries that devices send over MQTT to the whole target on
// its way back, with the real store and engine.
#include "fleet/rollout/model_evidence.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "fleet/model_metrics.h"
#include "fleet/models.h"
#include "fleet/rollout/rollout_fixture.h"
#include "fleet/store_sql.h"

namespace skerry::fleet::rollout {
namespace {

using nlohmann::json;

const std::string kApp = "com.example.App", kVad = "com.example.Vad";
constexpr int kCanaries = 4;  // 10 % of 40

// What a device says of one version in a minute.
struct Minute {
  std::string version;
  double confidence = 0.9;
  int errors = 0;
  int64_t latency_us = 1'000;
  int of_class_0 = 15;  // of 20
  int alarms = 0;
};

class ModelGates : public RolloutTest {
 protected:
  ModelGates() : service_(fleet_.env, fleet_.stores, fleet_.link) {
    fleet_.link.start();
    fleet_.mqtt.connect();
    for (const char* version : {"1.0.0", "1.1.0"}) {
      publish(kVad, version);
      describe(version);
      publish(kApp, version);
    }
  }

  void publish(const std::string& component, const std::string& version) {
    const json recipe = {{"RecipeFormatVersion", "2020-01-25"},
                         {"ComponentName", component},
                         {"ComponentVersion", version},
                         {"Manifests", {{{"Lifecycle", json::object()}}}}};
    ASSERT_TRUE(fleet_.store->create_component(
        {ComponentName(component), version, recipe.dump(), "", "", "{}", fleet_.clock.wall}));
  }
  void describe(const std::string& version) {
    ModelVersion model{ComponentName(kVad), version, {}, "ann", fleet_.clock.wall};
    model.provenance.model = "vad";
    ASSERT_TRUE(describe_model(*fleet_.store, model));
  }
  // Everybody has `component` 1.0.0, and all have said `minute` of the model's.
  void run_good(const std::string& component = kVad, const Minute& minute = {"1.0.0"}) {
    const json request = {{"targetArn", good_.target_arn},
                          {"components", {{component, {{"componentVersion", "1.0.0"}}}}}};
    auto made =
        fleet_.write([&](Store& store) { return fleet_.deployments.create(store, request); });
    ASSERT_TRUE(made) << made.error().message();
    good_ = *made;
    answer_all(good_.job_id, ExecutionStatus::kSucceeded);
    for (const std::string& device : in_order_) says(device, {minute});
  }
  Deployment start_gate(const std::string& gate, const std::string& component = kVad,
                        const std::string& version = "1.1.0") {
    return start(R"({"evidenceTimeoutSeconds": 600, "stages": [{"percent": 10, "bakeSeconds": 60,
        "gates": [)" +
                     gate + R"(]}, {"percent": 50, "bakeSeconds": 60}, {"percent": 100}]})",
                 "thinggroup/g", {{component, {{"componentVersion", version}}}});
  }
  // Has everybody that is asked take it, and say the same of it.
  void take(const Deployment& release, const Minute& minute) {
    tick(release);
    for (const std::string& device : with(release.job_id, ExecutionStatus::kQueued)) {
      report(release.job_id, device, ExecutionStatus::kSucceeded);
      says(device, {minute});
    }
  }

  static formats::ModelSummary summary_of(const std::string& device, const Minute& minute) {
    formats::ModelSummary summary{{"vad", minute.version}, {}};
    std::mt19937 random(static_cast<uint32_t>(cohort_of(ThingName(device + minute.version))));
    std::uniform_real_distribution<double> noise(-0.02, 0.02);
    const double own = noise(random);  // no two devices are alike
    for (int i = 0; i < 20; ++i) {
      ++summary.counts.requests;
      summary.counts.add_latency(
          static_cast<int64_t>(static_cast<double>(minute.latency_us) * 1'000 * (1 + own)));
      summary.counts.add_prediction(i < minute.of_class_0 ? 0 : 1, minute.confidence + own);
    }
    summary.counts.errors = static_cast<uint64_t>(minute.errors);
    summary.counts.not_finite = static_cast<uint64_t>(minute.alarms);
    return summary;
  }
  std::string text_of(const std::string& device, const std::vector<Minute>& minutes,
                      uint64_t sequence) {
    formats::InferenceSummary summary{
        "run0000" + device, sequence, fleet_.clock.wall - 60'000, fleet_.clock.wall, {}};
    for (const Minute& each : minutes) summary.models.push_back(summary_of(device, each));
    return to_text(summary);
  }
  void hear(const std::string& device, const std::string& text) {
    fleet_.mqtt.receive(formats::inference_summary_topic(ThingName(device)), text);
    fleet_.settle();
  }
  void says(const std::string& device, const std::vector<Minute>& minutes) {
    hear(device, text_of(device, minutes, ++said_[device]));
  }
  json finding(const Deployment& release) {
    for (const json& each : json::parse(record(release).findings_json)) {
      if (each["metric"] != "deploymentFailures") return each;
    }
    return {};
  }

  ModelMetricsService service_;
  std::map<std::string, uint64_t> said_;
};

const std::string kConfidence = R"({"metric": "meanConfidence", "tolerance": 0.05})";

TEST_F(ModelGates, WorseConfidenceOnFourCanariesTakesThemBack) {
  run_good();
  const auto release = start_gate(kConfidence);
  take(release, {"1.1.0", 0.7});
  tick(release);
  const Record back = record(release);
  EXPECT_EQ(back.state.phase, Phase::kRollingBack);
  EXPECT_NE(back.state.reason.find("vad 1.1.0 against 1.0.0"), std::string::npos)
      << back.state.reason;
  EXPECT_EQ(with(back.rollback_job_id), first(kCanaries));
  EXPECT_EQ(with(release.job_id), first(kCanaries));
}

TEST_F(ModelGates, AReleaseThatIsNoWorseReachesEverybody) {
  run_good();
  const auto release =
      start_gate(kConfidence + R"(, {"metric": "inferenceErrors"}, {"metric": "inferenceLatency",
          "tolerance": 0.1}, {"metric": "classDistribution", "tolerance": 0.05})");
  for (int stage = 0; stage < 3; ++stage) {
    take(release, {"1.1.0"});
    tick(release);
    tick(release, 60);
  }
  EXPECT_EQ(record(release).state.phase, Phase::kCompleted) << record(release).state.reason;
  for (const json& each : json::parse(record(release).findings_json)) {
    EXPECT_EQ(each["verdict"], "fine") << each;
  }
}

TEST_F(ModelGates, EachMetricIsJudgedInItsDirection) {
  run_good();
  struct Case {
    std::string gate;
    Minute worse, better;
  };
  const std::vector<Case> cases = {
      {R"({"metric": "inferenceErrors", "tolerance": 0.02})", {"1.1.0", 0.9, 3}, {"1.1.0", 0.9, 0}},
      {R"({"metric": "inferenceLatency", "tolerance": 0.1})",
       {"1.1.0", 0.9, 0, 1'300},
       {"1.1.0", 0.9, 0, 500}},
      {kConfidence, {"1.1.0", 0.8}, {"1.1.0", 0.97}},
      {R"({"metric": "watchdogAlarms"})", {"1.1.0", 0.9, 0, 1'000, 15, 2}, {"1.1.0"}},
      {R"({"metric": "classDistribution", "tolerance": 0.1})",
       {"1.1.0", 0.9, 0, 1'000, 9},
       {"1.1.0", 0.9, 0, 1'000, 14}}};
  for (const Case& each : cases) {
    for (const bool is_worse : {true, false}) {
      ASSERT_TRUE(
          fleet_.store->database().execute("DELETE FROM model_totals WHERE version = '1.1.0'"));
      const auto release = start_gate(each.gate);
      take(release, is_worse ? each.worse : each.better);
      tick(release);
      EXPECT_EQ(finding(release)["verdict"], is_worse ? "worse" : "fine") << finding(release);
      const Phase phase = record(release).state.phase;
      EXPECT_EQ(phase, is_worse ? Phase::kRollingBack : Phase::kBaking) << each.gate;
      answer_all(is_worse ? record(release).rollback_job_id : release.job_id,
                 ExecutionStatus::kSucceeded);
      tick(release);
    }
  }
}

TEST_F(ModelGates, AMoveOfClassesIsWorseEitherWay) {
  run_good();
  for (const int of_class_0 : {3, 20}) {
    ASSERT_TRUE(
        fleet_.store->database().execute("DELETE FROM model_totals WHERE version = '1.1.0'"));
    const auto release = start_gate(R"({"metric": "classDistribution", "tolerance": 0.1})");
    take(release, {"1.1.0", 0.9, 0, 1'000, of_class_0});
    tick(release);
    EXPECT_EQ(finding(release)["verdict"], "worse") << finding(release);
    answer_all(record(release).rollback_job_id, ExecutionStatus::kSucceeded);
    tick(release);
  }
}

TEST_F(ModelGates, TooLittleIsShownAndPausesAndCanBeApproved) {
  run_good();
  const auto release = start_gate(kConfidence);
  tick(release);
  answer_all(release.job_id, ExecutionStatus::kSucceeded);
  for (int i = 0; i < kCanaries - 1; ++i) says(in_order_[static_cast<size_t>(i)], {{"1.1.0"}});
  tick(release);
  tick(release, 60);
  EXPECT_EQ(finding(release)["verdict"], "notEnoughData");
  EXPECT_NE(finding(release)["text"].dump().find("3 of 4 devices with the release have reported"),
            std::string::npos)
      << finding(release);
  EXPECT_NE(record(release).state.reason.find("not enough data"), std::string::npos);
  EXPECT_EQ(with(release.job_id), first(kCanaries));
  tick(release, 700);
  EXPECT_EQ(record(release).state.phase, Phase::kPaused);
  EXPECT_EQ(refused(release, Approve{0}), "");
  tick(release);
  EXPECT_EQ(with(release.job_id), first(20));
}

TEST_F(ModelGates, OneDeviceOfTenIsTooFewToTellFromChance) {
  std::vector<std::string> ten(in_order_.begin(), in_order_.begin() + 10);
  fleet_.add_group("small", ten);
  run_good();
  fleet_.deploy_to("thinggroup/small");
  const auto release =
      start(R"({"stages": [{"devices": 1, "gates": [)" + kConfidence + R"(]}, {"percent": 100}]})",
            "thinggroup/small", {{kVad, {{"componentVersion", "1.1.0"}}}});
  take(release, {"1.1.0", 0.1});
  tick(release);
  EXPECT_EQ(finding(release)["verdict"], "notEnoughData") << finding(release);
}

TEST_F(ModelGates, LateAndRepeatedSummariesCountOnce) {
  run_good();
  const auto release = start_gate(kConfidence);
  take(release, {"1.1.0"});
  tick(release);
  const json before = finding(release);
  EXPECT_EQ(before["verdict"], "fine") << before;
  // Three minutes of a canary in the wrong order, each of them three times.
  const std::string canary = in_order_[0];
  std::vector<std::string> texts;
  for (uint64_t i = 1; i <= 3; ++i) {
    texts.push_back(text_of(canary, {{"1.1.0"}}, said_[canary] + i));
  }
  for (const size_t i : {2, 0, 2, 1, 1, 0, 0, 1, 2}) hear(canary, texts[i]);
  tick(release);
  const json after = finding(release);
  EXPECT_EQ(after["devices"], before["devices"]);
  EXPECT_NEAR(after["release"].get<double>(), before["release"].get<double>(), 1e-6);
  const auto totals = models_of_thing(*fleet_.store, ThingName(canary));
  EXPECT_EQ(totals->back().counts.predictions, 4u * 20);
  // What a control device said before it went offline is still what its version does.
  says(in_order_[39], {{"1.0.0"}});
  tick(release);
  EXPECT_EQ(finding(release)["verdict"], "fine");
}

TEST_F(ModelGates, AMinuteOfTwoVersionsCountsForEachOfThem) {
  run_good();
  const auto release = start_gate(kConfidence);
  tick(release);
  for (const std::string& device : first(kCanaries)) {
    report(release.job_id, device, ExecutionStatus::kSucceeded);
    says(device, {{"1.0.0", 0.2}, {"1.1.0", 0.9}});  // the old one is not held against the new
  }
  tick(release);
  EXPECT_EQ(finding(release)["verdict"], "fine") << finding(release);
  EXPECT_NEAR(finding(release)["release"].get<double>(), 0.9, 0.02);
  for (const std::string& device : first(kCanaries)) {
    for (int i = 0; i < 9; ++i) says(device, {{"1.0.0", 0.95}, {"1.1.0", 0.5}});
  }
  tick(release);
  EXPECT_EQ(record(release).state.phase, Phase::kRollingBack);
}

TEST_F(ModelGates, WhoWasNotAskedAndRunsItAllTheSameIsNoEvidence) {
  run_good();
  const auto release = start_gate(kConfidence);
  for (size_t i = 10; i < 40; ++i) says(in_order_[i], {{"1.1.0", 0.3}});
  take(release, {"1.1.0"});
  tick(release);
  EXPECT_EQ(finding(release)["verdict"], "fine") << finding(release);
}

TEST_F(ModelGates, WhereEverybodyWasAskedTheControlIsWhatTheySaidBefore) {
  run_good();
  const auto release = start(R"({"stages": [{"percent": 100, "gates": [)" + kConfidence + "]}]}",
                             "thinggroup/g", {{kVad, {{"componentVersion", "1.1.0"}}}});
  take(release, {"1.1.0", 0.7});
  tick(release);
  EXPECT_EQ(finding(release)["verdict"], "worse") << finding(release);
  EXPECT_TRUE(finding(release)["releaseInterval"][1].is_number()) << finding(release);
  EXPECT_EQ(with(record(release).rollback_job_id).size(), static_cast<size_t>(kDevices));
}

TEST_F(ModelGates, AModelThatIsADependencyIsWhatDevicesSayTheyRun) {
  const auto installs = [&](const std::string& device, const std::string& version) {
    CoreDevice core;
    core.thing = ThingName(device);
    ASSERT_TRUE(fleet_.store->upsert_core_device(core));
    InstalledComponent installed;
    installed.name = ComponentName(kVad);
    installed.version = version;
    installed.state = "FINISHED";
    ASSERT_TRUE(fleet_.store->merge_installed_components(ThingName(device), {installed}));
  };
  run_good(kApp);
  for (const std::string& device : in_order_) installs(device, "1.0.0");
  const auto release = start_gate(kConfidence, kApp);
  take(release, {"1.1.0", 0.7});
  for (const std::string& device : first(kCanaries)) installs(device, "1.1.0");
  tick(release);
  EXPECT_EQ(record(release).state.phase, Phase::kRollingBack) << finding(release);
}

TEST_F(ModelGates, WhereThereIsNothingToComparePeopleReadWhy) {
  run_good();
  const auto same = start_gate(kConfidence, kVad, "1.0.0");
  take(same, {"1.0.0"});
  tick(same);
  EXPECT_EQ(finding(same)["verdict"], "notEnoughData");
  EXPECT_NE(finding(same)["text"].dump().find("no other version"), std::string::npos);
  const auto unknown = start_gate(kConfidence, kApp);
  take(unknown, {"1.1.0"});
  tick(unknown);
  EXPECT_EQ(finding(unknown)["verdict"], "notEnoughData");
  EXPECT_NE(finding(unknown)["text"].dump().find("skerry model publish"), std::string::npos);
  fleet_.add_group("fresh", {in_order_[0]});
  const auto first_of_all =
      start(R"({"stages": [{"percent": 100, "gates": [)" + kConfidence + "]}]}", "thinggroup/fresh",
            {{kVad, {{"componentVersion", "1.1.0"}}}});
  take(first_of_all, {"1.1.0"});
  tick(first_of_all);
  EXPECT_NE(finding(first_of_all)["text"].dump().find("no revision before"), std::string::npos);
}

}  // namespace
}  // namespace skerry::fleet::rollout
