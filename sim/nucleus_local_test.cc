// Local deployments: what the operator of a device deploys there, with and without a fleet.
#include "sim/nucleus_fixture.h"

namespace skerry::sim {
namespace {

class NucleusLocal : public NucleusJobs {
 protected:
  // A recipe in the operator's folder, with one artifact beside it where `bytes` are given.
  void write(const std::string& name, const std::string& version, const std::string& bytes = "",
             const json& lifecycle = {{"Run", "run"}},
             const std::map<std::string, std::string>& dependencies = {}) {
    json recipe = test_recipe(name, version, dependencies, lifecycle);
    if (!bytes.empty()) {
      recipe["Manifests"][0]["Artifacts"] = json::array({{{"URI", "s3://bucket/any/data"}}});
      write_file("/home/artifacts/" + name + "/" + version + "/data", bytes);
    }
    write_file("/home/recipes/" + name + "-" + version + ".json", recipe.dump());
    write_file("/home/artifacts/README", "no component");
  }
  void write_file(const std::string& path, const std::string& bytes) {
    ASSERT_TRUE(io::make_directories(files_, io::parent_of(path)));
    ASSERT_TRUE(io::write_file_atomic(files_, path, bytes));
  }

  // The id, or what is wrong.
  std::string create(json body, bool with_folders = true) {
    if (with_folders) {
      body["recipeDirectoryPath"] = "/home/recipes";
      body["artifactsDirectoryPath"] = "/home/artifacts";
    }
    auto request = nucleus::parse_local_request(body);
    if (!request) return "refused: " + request.error().message();
    const auto answer = std::make_shared<std::string>();
    nucleus_->local_deployments()->create(
        std::move(*request), nucleus::parse_local_folders(body).value(),
        [answer](const auto& created) {
          *answer = created ? created->str() : "refused: " + created.error().error.message();
        });
    for (int i = 0; i < 1'000 && answer->empty(); ++i) run(1);
    return *answer;
  }
  std::string deploy_locally(json body, bool with_folders = true) {
    std::string id = create(std::move(body), with_folders);
    run(20'000);
    return id;
  }
  static json add(const std::map<std::string, std::string>& components) {
    return {{"rootComponentVersionsToAdd", components}};
  }
  const nucleus::LocalDeployment* find(const std::string& id) {
    return nucleus_->state().find_local(DeploymentId(id));
  }
  std::string status(const std::string& id) {
    const auto* known = find(id);
    return known ? std::string(nucleus_->local_deployments()->status_of(*known)) : id;
  }
  std::string reason(const std::string& id) { return find(id)->result->reason; }
};

// DEP-22
TEST_F(NucleusLocal, FoldersBecomeComponentsThatOutliveThem) {
  write("app", "1.0.0", "first", {{"Run", "run {artifacts:path}/data"}}, {{"lib", ">=1.0.0"}});
  write("lib", "1.1.0");
  write("lib", "1.0.0");
  const auto id = deploy_locally(add({{"app", "1.0.0"}}));
  EXPECT_EQ(status(id), "SUCCEEDED");
  EXPECT_EQ(running(), "app=1.0.0 lib=1.1.0");
  EXPECT_EQ(contents(package_of("app") + "/artifacts/data"), "first");
  EXPECT_FALSE(io::exists(files_, "/device/local/" + id)) << "what it brought along is removed";
  ASSERT_TRUE(files_.remove_tree("/home"));
  boot();
  run(1'000);
  EXPECT_EQ(running(), "app=1.0.0 lib=1.1.0");
  EXPECT_EQ(status(id), "SUCCEEDED");
  EXPECT_TRUE(updates().empty()) << "no job's result";
}

TEST_F(NucleusLocal, TheSameVersionWithOtherContentReplacesWhatRuns) {
  write("app", "1.0.0", "first");
  deploy_locally(add({{"app", "1.0.0"}}));
  const std::string before = package_of("app");
  write("app", "1.0.0", "second");
  EXPECT_EQ(status(deploy_locally(add({{"app", "1.0.0"}}))), "SUCCEEDED");
  EXPECT_EQ(contents(package_of("app") + "/artifacts/data"), "second");
  EXPECT_FALSE(io::exists(files_, before));
}

TEST_F(NucleusLocal, RootsAreAddedAndRemovedAndConfigured) {
  write("app", "1.0.0");
  write("other", "1.0.0");
  deploy_locally(add({{"app", "1.0.0"}, {"other", "1.0.0"}}));
  json change = {{"rootComponentsToRemove", {"app"}},
                 {"componentToConfiguration", {{"other", {{"MERGE", {{"speed", 3}}}}}}}};
  EXPECT_EQ(status(deploy_locally(change, false)), "SUCCEEDED");
  EXPECT_EQ(running(), "other=1.0.0");
  EXPECT_EQ(config("other"), json({{"speed", 3}}));
  change = {{"componentToConfiguration", {{"app", {{"MERGE", {{"speed", 3}}}}}}}};
  const auto id = deploy_locally(change, false);
  EXPECT_EQ(status(id), "FAILED");
  EXPECT_NE(reason(id).find("neither runs"), std::string::npos) << reason(id);
}

TEST_F(NucleusLocal, ItRunsBesideWhatTheFleetWants) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  cloud_.unreachable = Error(Code::kUnavailable, "no network");
  write("app", "1.0.0", "bytes", {{"Run", "run"}}, {{"a", "1"}});
  EXPECT_EQ(status(deploy_locally(add({{"app", "1.0.0"}}))), "SUCCEEDED");
  EXPECT_EQ(running(), "a=1.0.0 app=1.0.0");
  // The fleet's next deployment does not know the local one, and leaves it.
  cloud_.unreachable.reset();
  deploy("j2", document("thinggroup/G1", 2, versions({{"b", "1.0.0"}})));
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(running(), "a=1.0.0 app=1.0.0 b=1.0.0");
  // What the fleet wants in another version is a conflict that is named.
  write("b", "2.0.0");
  const auto id = deploy_locally(add({{"b", "2.0.0"}}));
  EXPECT_EQ(status(id), "FAILED");
  EXPECT_NE(reason(id).find("LOCAL_DEPLOYMENT wants =2.0.0"), std::string::npos) << reason(id);
  // The same change made to the group's deployment is none.
  json body = add({{"b", "2.0.0"}});
  body["groupName"] = "G1";
  EXPECT_EQ(status(deploy_locally(body)), "SUCCEEDED");
  EXPECT_EQ(running(), "a=1.0.0 app=1.0.0 b=2.0.0");
}

TEST_F(NucleusLocal, WhatCannotBeHadFailsAtOnce) {
  cloud_.unreachable = Error(Code::kUnavailable, "no network");
  const auto id = deploy_locally(add({{"absent", "1.0.0"}}), false);
  EXPECT_EQ(status(id), "FAILED");
  EXPECT_EQ(find(id)->result->detailed_status, "FAILED_NO_STATE_CHANGE");
  write("app", "1.0.0", "bytes");
  ASSERT_TRUE(files_.remove("/home/artifacts/app/1.0.0/data"));
  const auto second = deploy_locally(add({{"app", "1.0.0"}}));
  EXPECT_EQ(status(second), "FAILED");
  EXPECT_NE(reason(second).find("folder of artifacts"), std::string::npos) << reason(second);
}

TEST_F(NucleusLocal, OneThatFailsIsRolledBack) {
  write("app", "1.0.0");
  deploy_locally(add({{"app", "1.0.0"}}));
  write("app", "2.0.0", "", {{"Run", "exit 3"}});
  const auto id = deploy_locally(add({{"app", "2.0.0"}}));
  EXPECT_EQ(status(id), "FAILED");
  EXPECT_EQ(find(id)->result->detailed_status, "FAILED_ROLLBACK_COMPLETE");
  EXPECT_EQ(running(), "app=1.0.0");
}

TEST_F(NucleusLocal, AJobThatWaitsForItsDownloadsMakesWay) {
  publish_with_data("big", "1.0.0", std::string(100, 'x'));
  cloud_.download_error = Error(Code::kUnavailable, "slow link");
  const auto job = document("thinggroup/G1", 1, versions({{"big", "1.0.0"}}));
  offer("j1", job);
  run(5'000);
  write("app", "1.0.0");
  const auto id = deploy_locally(add({{"app", "1.0.0"}}));
  EXPECT_EQ(status(id), "SUCCEEDED");
  EXPECT_EQ(running(), "app=1.0.0");
  cloud_.download_error.reset();
  deploy("j1", job);
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(running(), "app=1.0.0 big=1.0.0");
}

TEST_F(NucleusLocal, ItWaitsForAJobThatHasSwitched) {
  cloud_.publish(test_recipe("slow", "1.0.0", {}, {{"Startup", "exit 0 after 5000"}}));
  offer("j1", document("thinggroup/G1", 1, versions({{"slow", "1.0.0"}})));
  run(1'000);
  write("app", "1.0.0");
  const auto id = create(add({{"app", "1.0.0"}}));
  EXPECT_EQ(status(id), "QUEUED");
  run(20'000);
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(status(id), "SUCCEEDED");
  EXPECT_EQ(running(), "app=1.0.0 slow=1.0.0");
}

TEST_F(NucleusLocal, CancelEndsItWhereverItIs) {
  write("slow", "1.0.0", "", {{"Startup", "exit 0 after 5000"}});
  write("app", "1.0.0");
  const auto first = create(add({{"slow", "1.0.0"}}));
  const auto second = create(add({{"app", "1.0.0"}}));
  run(1'000);
  EXPECT_EQ(status(first), "IN_PROGRESS");
  EXPECT_EQ(status(second), "QUEUED");
  auto* local = nucleus_->local_deployments();
  EXPECT_TRUE(local->cancel(DeploymentId(second)));
  EXPECT_EQ(status(second), "CANCELED");
  EXPECT_TRUE(local->cancel(DeploymentId(first)));
  run(10'000);
  EXPECT_EQ(status(first), "CANCELED");
  EXPECT_EQ(find(first)->result->detailed_status, "FAILED_ROLLBACK_COMPLETE");
  EXPECT_EQ(running(), "");
  EXPECT_EQ(local->cancel(DeploymentId(first)).error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(local->cancel(DeploymentId("none")).error().code(), Code::kNotFound);
}

TEST_F(NucleusLocal, TheLastFiveAreRemembered) {
  write("app", "1.0.0");
  std::vector<std::string> ids;
  for (int i = 0; i < 7; ++i) ids.push_back(deploy_locally(add({{"app", "1.0.0"}})));
  EXPECT_EQ(find(ids[1]), nullptr);
  EXPECT_EQ(nucleus_->local_deployments()->all().size(), 5u);
  boot();
  run(1'000);
  EXPECT_EQ(status(ids[6]), "SUCCEEDED");
  EXPECT_EQ(nucleus_->local_deployments()->all().size(), 5u);
}

TEST_F(NucleusLocal, ADeviceThatStopsMeanwhileHasAcceptedNothing) {
  write("app", "1.0.0", "bytes");
  bool answered = false;
  nucleus_->local_deployments()->create(
      nucleus::parse_local_request(add({{"app", "1.0.0"}})).value(),
      {"/home/recipes", "/home/artifacts"}, [&answered](const auto&) { answered = true; });
  nucleus_.reset();
  run(1'000);
  EXPECT_FALSE(answered);
  boot();
  run(1'000);
  EXPECT_TRUE(nucleus_->local_deployments()->all().empty());
  EXPECT_TRUE(files_.list("/device/local").value_or(std::vector<std::string>()).empty());
}

TEST_F(NucleusLocal, FoldersThatCannotBeUsedAreRefused) {
  EXPECT_NE(create(add({{"app", "1.0.0"}})).find("/home/artifacts is not a directory"),
            std::string::npos);
  write("app", "1.0.0");
  write_file("/home/recipes/broken.yaml", "ComponentName: [");
  EXPECT_NE(create(add({{"app", "1.0.0"}})).find("refused: broken.yaml"), std::string::npos);
  ASSERT_TRUE(files_.remove("/home/recipes/broken.yaml"));
  write_file("/home/recipes/twice.json", test_recipe("app", "1.0.0").dump());
  EXPECT_NE(create(add({{"app", "1.0.0"}})).find("a second recipe of app 1.0.0"),
            std::string::npos);
  run(10);
  EXPECT_TRUE(files_.list("/device/local").value_or(std::vector<std::string>()).empty());
  EXPECT_TRUE(nucleus_->local_deployments()->all().empty());
}

// Power is cut at each file operation of a local deployment, from the request on: either it was
// never accepted, or it is done.
class LocalCrash : public NucleusLocal {};

TEST_F(LocalCrash, AtEveryOperation) {
  size_t crashes = 0, accepted = 0;
  for (const auto policy : {io::CrashPolicy::kDropUnsynced, io::CrashPolicy::kSeeded}) {
    for (size_t at = 0;; ++at) {
      nucleus_.reset();
      files_.crash_at(SIZE_MAX);  // the one that never came
      (void)files_.remove_tree("/device");
      boot();
      write("app", "1.0.0", "first");
      ASSERT_EQ(status(deploy_locally(add({{"app", "1.0.0"}}))), "SUCCEEDED");
      write("app", "2.0.0", "second");
      files_.crash_at(files_.operations().size() + at);
      const std::string id = create(add({{"app", "2.0.0"}}));
      run(20'000);
      if (!files_.crashed()) break;
      ++crashes;
      const std::string where = files_.operations().back().text();
      nucleus_.reset();
      files_.reboot(policy, at);
      boot();
      run(20'000);
      const bool was_accepted = !id.empty() && !id.starts_with("refused");
      accepted += was_accepted;
      if (was_accepted) ASSERT_EQ(status(id), "SUCCEEDED") << where;
      const bool is_new = running() == "app=2.0.0";
      ASSERT_TRUE(is_new || (!was_accepted && running() == "app=1.0.0")) << where << running();
      ASSERT_EQ(contents(package_of("app") + "/artifacts/data"), is_new ? "second" : "first");
      for (const auto& each : nucleus_->local_deployments()->all())
        ASSERT_EQ(status(each.id.str()), "SUCCEEDED") << where;
      ASSERT_TRUE(files_.list("/device/local").value_or(std::vector<std::string>()).empty())
          << where;
    }
  }
  EXPECT_GT(crashes, 100u);
  EXPECT_GT(accepted, 20u);
}

}  // namespace
}  // namespace skerry::sim
