// Trainings from the operator's request to the published model, with devices that ask over HTTP;
// rounds on a disk that loses power at any write.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "base/sha256.h"
#include "federated/update.h"
#include "fleet/learning/learning_service.h"
#include "fleet/learning/outcome.h"
#include "fleet/learning/test_learning.h"
#include "fleet/models.h"
#include "formats/checkpoint.h"
#include "io/fault_files.h"

namespace skerry::fleet::learning {
namespace {

using federated::Vector;
using nlohmann::json;
using testing::ElementsAre;
using testing::FloatEq;
using testing::HasSubstr;

TEST_F(Learning, OfDevicesBecomesAVersionThatSaysWhereItComesFrom) {
  const Training made = training({{"rounds", 2}});
  json task = ask("a");
  EXPECT_EQ(task["task"], "train");
  EXPECT_EQ(task["data"], "parts");
  EXPECT_THAT(parameters("a", task), ElementsAre(1, 2));
  const auto base = send("a", "GET", "/" + made.id + "/model");
  EXPECT_EQ(*io::read_file(fleet_.files, base.file_path), kModel);
  round({2, 0}, {0, 4});
  task = ask("b");
  EXPECT_THAT(parameters("b", task), ElementsAre(2, 4));
  EXPECT_EQ(found(made).state, State::kRunning);
  EXPECT_EQ(json::parse(found(made).progress_json)["rounds"], 1);
  round({1, 1}, {1, 1});
  const Training done = found(made);
  EXPECT_EQ(done.state, State::kDone) << done.reason;
  EXPECT_THAT(numbers_of_version("1.1.0"), ElementsAre(FloatEq(3), FloatEq(5)));
  const auto model = find_model(*fleet_.store, made.component, "1.1.0");
  ASSERT_TRUE(model);
  EXPECT_EQ(model->provenance.source_sha256, made.model_sha256);
  EXPECT_THAT(model->provenance.training_run, HasSubstr(made.id));
  EXPECT_EQ(model->provenance.optimiser.at("rounds"), "2");
  EXPECT_EQ(model->created_by, "ann");
  EXPECT_EQ(ask("a")["task"], "wait");
  EXPECT_FALSE(io::exists(fleet_.files, fleet_.directory.path() + "/learning/" + made.id));
}

TEST_F(Learning, IsForMembersWithSuchRowsAndForNobodyElse) {
  const Training made = training({{"rounds", 1}});
  EXPECT_EQ(ask("stranger")["task"], "wait");
  EXPECT_EQ(ask("a", "other")["task"], "wait");
  for (const char* path : {"/model", "/parameters/0", "/updates/1"}) {
    EXPECT_EQ(send("stranger", "GET", "/" + made.id + path).status, 404) << path;
  }
  EXPECT_EQ(send("c", "GET", "/" + made.id + "/updates/1").status, 409);  // it was not asked
  EXPECT_EQ(send("a", "GET", "/3f2a9/model").status, 404);
  EXPECT_EQ(send("a", "GET", "/../../etc/passwd").status, 404);
  EXPECT_EQ(send("a", "GET", "/" + made.id + "/parameters/1").status, 404);
  EXPECT_EQ(send("a", "GET", "/" + made.id + "/parameters/x").status, 400);
  EXPECT_EQ(send("a", "POST", "/tasks", "nonsense").status, 400);
  EXPECT_EQ(send("a", "DELETE", "/" + made.id + "/updates/1").status, 404);
}

TEST_F(Learning, AnUploadGoesOnWhereItEndedAndCountsOnce) {
  const Training made = training({{"rounds", 1}});
  const json task = ask("a"), other = ask("b");
  const std::string whole = update(task, {2, 2});
  const auto received = [&](const net::HttpResponse& answer) {
    return json::parse(answer.body)["bytes"].get<size_t>();
  };
  EXPECT_EQ(received(put("a", task, 0, whole, 10)), 10u);
  EXPECT_EQ(received(put("a", task, 0, whole, 10)), 10u);  // again: nothing changes
  EXPECT_EQ(received(put("a", task, 40, whole, 10)), 10u);
  EXPECT_EQ(received(send("a", "GET", "/" + made.id + "/updates/1")), 10u);
  restart();  // what was not whole is asked for again
  EXPECT_EQ(received(send("a", "GET", "/" + made.id + "/updates/1")), 0u);
  for (int i = 0; i < 3; ++i) {
    const auto answer = put("a", task, 0, whole);
    EXPECT_TRUE(json::parse(answer.body)["complete"]) << answer.body;
  }
  restart();
  EXPECT_EQ(put("b", other, 0, update(other, {4, 4})).status, 200);
  tick();
  EXPECT_THAT(numbers_of_version("1.1.0"), ElementsAre(FloatEq(4), FloatEq(5)));
}

TEST_F(Learning, WhatIsNoUpdateIsRefused) {
  const Training made = training({{"rounds", 1}});
  const json task = ask("a");
  ask("b");
  const std::string path = "/" + made.id + "/updates/1?offset=0&size=";
  EXPECT_EQ(send("a", "PUT", path + "99999999999", "x").status, 400);
  EXPECT_EQ(send("a", "PUT", path + "0", "").status, 400);
  EXPECT_EQ(send("a", "PUT", path + "2", "xxx").status, 400);
  EXPECT_EQ(send("a", "PUT", path + "-1", "x").status, 400);
  EXPECT_EQ(send("a", "PUT", path + "1048576", std::string(1 << 20, 'x')).status, 400);
  EXPECT_EQ(send("a", "PUT", path + "3", "xxx").status, 400);      // whole, and no update
  EXPECT_EQ(put("a", task, 0, update(task, {1, 1})).status, 409);  // it is out
}

TEST_F(Learning, AStoppedTrainingIsPublishedWhereTheOperatorWantsIt) {
  for (const bool publishes : {false, true}) {
    Training made = training({{"rounds", 10}});
    round({1, 1}, {1, 1});
    made.state = State::kStopping;
    made.publishes = publishes;
    ASSERT_TRUE(change_training(*fleet_.store, made));
    tick();
    EXPECT_EQ(found(made).state, State::kStopped);
    EXPECT_EQ(fleet_.store->find_component(made.component, made.version).has_value(), publishes);
    EXPECT_FALSE(change_training(*fleet_.store, made));  // it is over
  }
}

TEST_F(Learning, AModelIsEvaluatedAndNamedByWhatItReached) {
  const Training made = training({{"rounds", 1}, {"evaluators", 1}});
  round({1, 1}, {3, 3});
  const json task = ask("c");
  EXPECT_EQ(task["task"], "evaluate");
  EXPECT_THAT(parameters("c", task), ElementsAre(3, 4));
  const std::string path = "/" + made.id + "/evaluations/" + task["attempt"].dump();
  EXPECT_EQ(send("c", "POST", path, R"({"rows":10,"correct":11,"loss":1})").status, 400);
  EXPECT_EQ(send("a", "POST", path, R"({"rows":10,"correct":9,"loss":1})").status, 409);
  EXPECT_EQ(send("c", "POST", path, R"({"rows":10,"correct":9,"loss":1})").status, 200);
  tick();
  ASSERT_EQ(found(made).state, State::kDone) << found(made).reason;
  const auto model = find_model(*fleet_.store, made.component, "1.1.0");
  EXPECT_EQ(model->provenance.metrics.at("accuracy"), 0.9);
  EXPECT_THAT(model->provenance.artifact, HasSubstr("parts-accuracy_0.9.onnx"));
}

TEST_F(Learning, ARolloutBringsItBesideWhatTheGroupRuns) {
  const std::string arn = "arn:aws:iot:eu-west-1:000000000000:thinggroup/lab";
  const Training made =
      training({{"rounds", 1}},
               json{{"targetArn", arn}, {"plan", {{"stages", {{{"percent", 100}}}}}}}.dump());
  round({1, 1}, {1, 1});
  const Training done = found(made);
  ASSERT_EQ(done.state, State::kDone) << done.reason;
  const auto deployment = fleet_.store->find_deployment(DeploymentId(done.deployment_id));
  ASSERT_TRUE(deployment);
  EXPECT_THAT(deployment->request_json, HasSubstr(R"("componentVersion":"1.1.0")"));
}

TEST_F(Learning, WhatWasLearnedIsPublishedThoughItsRolloutCannotBe) {
  const Training made = training(
      {{"rounds", 1}}, json{{"targetArn", "arn:aws:iot:eu-west-1:000000000000:thinggroup/gone"},
                            {"plan", {{"stages", {{{"percent", 100}}}}}}}
                           .dump());
  round({1, 1}, {1, 1});
  EXPECT_EQ(found(made).state, State::kDone);
  EXPECT_THAT(found(made).reason, HasSubstr("there is no rollout"));
  EXPECT_TRUE(fleet_.store->find_component(made.component, made.version));
}

TEST_F(Learning, AFailedTrainingKeepsWhatItHasLearned) {
  const Training made = training({{"rounds", 1}, {"mostFailures", 2}, {"quorum", 2}});
  ASSERT_TRUE(fleet_.store->delete_component(made.component, "1.0.0"));
  round({1, 1}, {1, 1});
  EXPECT_EQ(found(made).state, State::kFailed);
  EXPECT_TRUE(io::exists(fleet_.files,
                         fleet_.directory.path() + "/learning/" + made.id + "/rounds/model-1"));
}

TEST_F(Learning, OfLongAgoAreForgottenWithTheirFiles) {
  constexpr int64_t kDayMs = 24 * 3600 * 1000;
  const Training failed = training({{"rounds", 1}, {"mostFailures", 2}, {"quorum", 2}});
  const Training running = training({{"rounds", 9}});
  ASSERT_TRUE(fleet_.store->delete_component(failed.component, "1.0.0"));
  round({1, 1}, {1, 1});
  ASSERT_EQ(found(failed).state, State::kFailed);
  const std::string folder = fleet_.directory.path() + "/learning/" + failed.id;
  fleet_.clock.wall += 89 * kDayMs;
  tick();
  EXPECT_EQ(found(failed).state, State::kFailed);
  EXPECT_TRUE(io::exists(fleet_.files, folder));
  fleet_.clock.wall += 2 * kDayMs;
  restart();
  EXPECT_FALSE(find_training(*fleet_.store, failed.id));
  EXPECT_FALSE(io::exists(fleet_.files, folder));
  EXPECT_EQ(found(running).state, State::kRunning);
}

TEST_F(Learning, WhatPrivacyIsSpentIsShownAndEndsTheTraining) {
  const Training made = training({{"rounds", 1000},
                                  {"noise", 2},
                                  {"clip", 1},
                                  {"population", 3},
                                  {"epsilonLimit", 10},
                                  {"mostFailures", 100}});
  std::vector<double> spent;
  for (int i = 0; i < 500 && found(made).state == State::kRunning; ++i) {
    for (const char* thing : {"a", "b", "c"}) {
      const json task = ask(thing);
      if (task["task"] != "train") continue;
      EXPECT_EQ(task["noise"], 2);
      EXPECT_EQ(task["local"]["clip"], 1);
      put(thing, task, 0, update(task, {1000, 1000}));
    }
    tick();
    spent.push_back(json::parse(found(made).progress_json)["epsilon"].get<double>());
  }
  const Training done = found(made);
  ASSERT_EQ(done.state, State::kDone) << done.reason;
  EXPECT_THAT(done.reason, HasSubstr("more privacy than is allowed"));
  const json progress = json::parse(done.progress_json);
  EXPECT_GT(progress["rounds"], 1);
  EXPECT_TRUE(std::ranges::is_sorted(spent));
  EXPECT_GT(spent.back(), 1);
  EXPECT_LE(spent.back(), 10);
  const auto model = find_model(*fleet_.store, made.component, made.version);
  ASSERT_TRUE(model);
  EXPECT_EQ(std::stod(model->provenance.optimiser.at("epsilon")), spent.back());
  // However long the updates were: so many of length 1, with noise of 2 on their sum.
  const double most = static_cast<double>(progress["rounds"].get<size_t>()) * (1 + 6 * 2);
  for (const float value : numbers_of_version(made.version)) EXPECT_LT(std::abs(value), most);
}

TEST_F(Learning, TrainingsHaveALimitAndMakeAVersionOnce) {
  Training made = training({{"rounds", 1}});
  made.id = "3f2b";
  EXPECT_EQ(create_training(*fleet_.store, made).error().code(), Code::kAlreadyExists);
  for (size_t i = 1; i < kMostRunning; ++i) training({{"rounds", 1}});
  made.id = "3f2c";
  made.version = "9.0.0";
  EXPECT_EQ(create_training(*fleet_.store, made).error().code(), Code::kResourceExhausted);
  Page page{.limit = 10, .after = ""};
  size_t listed = 0;
  do {
    const auto slice = list_trainings(*fleet_.store, page);
    ASSERT_TRUE(slice);
    listed += slice->items.size();
    page.after = slice->next;
  } while (!page.after.empty());
  EXPECT_EQ(listed, kMostRunning);
}

TEST(TrainingRuns, TakePartsOfABoundedSize) {
  io::FaultFiles files;
  io::SeededRandom random(1);
  constexpr size_t kCount = 200'000;
  const std::string base(kCount * sizeof(float), '\0');
  ASSERT_TRUE(io::write_file_atomic(files, "/base.onnx", base));
  auto run = TrainingRun::open(files, random,
                               {.id = "3f",
                                .data = "d",
                                .model_sha256 = hex_encode(sha256(base)),
                                .plan = {},
                                .layout = {{0, kCount}},
                                .directory = "/learning/3f",
                                .base_file = "/base.onnx"});
  ASSERT_TRUE(run);
  ASSERT_TRUE((*run)->ask("a", 0));
  const std::string piece(federated::kChunkBytes, 'x');
  const auto send = [&](const std::string& bytes) {
    return (*run)->upload("a", 1, 0, federated::most_update_bytes(kCount), bytes, 0);
  };
  EXPECT_EQ(send(piece + "x").error().code(), Code::kInvalidArgument);
  EXPECT_EQ(send(piece)->bytes, piece.size());
}

// A round of two devices with a strategy that remembers; from operation `full_from` of the second
// upload on, the disk is full for a while. The model's file.
std::string model_of_a_full_disk(size_t full_from) {
  io::FaultFiles files;
  io::SeededRandom random(1);
  const std::string base(8, '\0');
  EXPECT_TRUE(io::write_file_atomic(files, "/base.onnx", base));
  TrainingRun::Setup setup{.id = "3f",
                           .data = "d",
                           .model_sha256 = hex_encode(sha256(base)),
                           .plan = {},
                           .layout = {{0, 2}},
                           .directory = "/learning/3f",
                           .base_file = "/base.onnx"};
  setup.plan.rounds = {.strategy = {.name = "fedadam", .server_rate = 0.1},
                       .rounds = 1,
                       .wanted = 2,
                       .over_selection = 1};
  auto run = TrainingRun::open(files, random, setup);
  EXPECT_TRUE(run);
  const std::string update =
      federated::encode(federated::Update{.round = 1, .examples = 1, .steps = 1, .delta = {1, 2}});
  const auto send = [&](const std::string& device) {
    const auto there = (*run)->received(device, 1);
    if (!there) return;  // it counts already, and the round is over
    (void)(*run)->upload(device, 1, there->bytes, update.size(), update.substr(there->bytes), 0);
  };
  for (const char* device : {"a", "b"}) EXPECT_TRUE((*run)->ask(device, 0));
  send("a");
  files.fail_from(files.operations().size() + full_from, ENOSPC);
  send("b");
  (void)(*run)->tick(1);
  files.stop_failing();
  send("b");
  EXPECT_TRUE((*run)->tick(2));
  const auto outcome = (*run)->outcome();
  EXPECT_TRUE(outcome) << full_from;
  EXPECT_EQ(outcome->rounds, 1u) << full_from;
  return outcome->model;
}

TEST(TrainingRuns, AFullDiskChangesNothing) {
  const std::string expected = model_of_a_full_disk(1000);
  for (size_t full_from = 0; full_from < 30; ++full_from) {
    EXPECT_EQ(model_of_a_full_disk(full_from), expected) << full_from;
  }
}

// Every seed is a life of rounds with parts, repeats, restarts and power cuts on the server's disk,
// and devices that forget everything. Device i always adds 1 to number i.
class RunLife {
 public:
  static constexpr size_t kDevices = 4;
  static constexpr size_t kRounds = 4;

  explicit RunLife(uint64_t seed) : seed_(seed), choice_(seed), random_(seed + 500) {
    const std::string base(kDevices * sizeof(float), '\0');
    EXPECT_TRUE(io::write_file_atomic(files_, "/base.onnx", base));
    setup_ = {.id = "3f",
              .data = "d",
              .model_sha256 = hex_encode(sha256(base)),
              .plan = {},
              .layout = {{0, kDevices}},
              .directory = "/learning/3f",
              .base_file = "/base.onnx"};
    setup_.plan.rounds = {.strategy = {.equal_weights = true},
                          .rounds = kRounds,
                          .wanted = 3,
                          .quorum = 2,
                          .deadline_s = 60,
                          .most_failures = 1000};
    reopen();
  }

  void live() {
    for (size_t step = 0; step < 6000 && !testing::Test::HasFailure(); ++step) {
      now_ += static_cast<double>(choice_.below(5));
      if (choice_.below(25) == 0) files_.crash_at(files_.operations().size() + choice_.below(10));
      files_.stop_failing();
      if (choice_.below(10) == 0) {
        files_.fail_at(files_.operations().size() + choice_.below(4), ENOSPC);
      }
      act();
      if (files_.crashed() || choice_.below(50) == 0) reopen();
      if (look()) return;
    }
    ADD_FAILURE() << "seed " << seed_ << " did not end";
  }

  // Each round's mean adds up to 1: so many updates, each once, over their number.
  void check_sum() {
    reopen();
    const auto outcome = run_->outcome();
    ASSERT_TRUE(outcome) << seed_;
    double sum = 0;
    for (const float value : federated::numbers_of(outcome->model, setup_.layout)) {
      sum += static_cast<double>(value);
    }
    EXPECT_EQ(outcome->rounds, kRounds) << seed_;
    EXPECT_NEAR(sum, static_cast<double>(kRounds), 1e-4) << seed_;
  }

  size_t crashes = 0;

 private:
  void reopen() {
    files_.stop_failing();
    for (uint64_t again = 0;; ++again) {
      if (files_.crashed()) {
        ++crashes;
        files_.reboot(io::CrashPolicy::kSeeded, seed_ * 7919 + again + crashes);
      }
      auto opened = TrainingRun::open(files_, random_, setup_);
      if (opened) run_ = std::move(*opened);
      if (opened || !files_.crashed()) {
        ASSERT_TRUE(opened) << seed_ << ": " << opened.error().message();
        return;
      }
    }
  }

  void act() {
    const size_t index = choice_.below(kDevices);
    const std::string device = "device" + std::to_string(index);
    const uint64_t what = choice_.below(10);
    if (what < 3) {
      const auto task = run_->ask(device, now_);
      if (!task || task->kind != federated::Task::Kind::kTrain) return;
      Vector delta(kDevices, 0);
      delta[index] = 1;
      attempts_[index] = task->attempt;
      updates_[index] = federated::encode(
          federated::Update{.round = task->attempt, .examples = 1, .steps = 1, .delta = delta});
    } else if (what < 8 && updates_.contains(index)) {
      const auto received = run_->received(device, attempts_[index]);
      const std::string& whole = updates_[index];
      if (!received || received->bytes > whole.size()) return;
      (void)run_->upload(device, attempts_[index], received->bytes, whole.size(),
                         whole.substr(received->bytes, 1 + choice_.below(whole.size())), now_);
    } else if (what == 8 && choice_.below(5) == 0) {
      updates_.erase(index);
    } else {
      (void)run_->tick(now_);
    }
  }

  // Whether it is done.
  bool look() {
    const auto progress = run_->progress();
    if (!progress) return false;  // the disk has just gone
    const auto rounds = (*progress)["rounds"].get<size_t>();
    EXPECT_GE(rounds, rounds_) << "seed " << seed_ << " lost a round";
    rounds_ = rounds;
    const auto done = run_->done();
    return done && *done;
  }

  uint64_t seed_;
  io::SeededRandom choice_, random_;
  io::FaultFiles files_;
  TrainingRun::Setup setup_;
  std::unique_ptr<TrainingRun> run_;
  std::map<size_t, std::string> updates_;  // of devices, as long as they remember
  std::map<size_t, size_t> attempts_;
  double now_ = 0;
  size_t rounds_ = 0;
};

TEST(TrainingRuns, LoseNothingAndCountNothingTwiceWhereverThePowerGoes) {
  size_t crashes = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    RunLife life(seed);
    life.live();
    life.check_sum();
    crashes += life.crashes;
  }
  EXPECT_GT(crashes, 60u);
}

}  // namespace
}  // namespace skerry::fleet::learning
