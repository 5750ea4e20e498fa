// How a deployment failed, for machines: job and fleet status name the cause in the reference's
// codes.
#include "sim/nucleus_fixture.h"

namespace skerry::sim {
namespace {

class Faults : public NucleusJobs {
 protected:
  // "STACK/… [TYPE]" of the last result, which the fleet status says alike.
  std::string codes() {
    auto details = updates().back().request.status_details;
    const json stack = json::parse(details["deployment-error-stack"], nullptr, false);
    const json types = json::parse(details["deployment-error-types"], nullptr, false);
    const auto said = fleet_statuses().back().deployment;
    if (!said || json(said->error_stack) != stack || json(said->error_types) != types)
      return "the fleet status says something else";
    std::string text;
    for (const json& level : stack) text += (text.empty() ? "" : "/") + level.get<std::string>();
    for (const json& type : types) text += " " + type.get<std::string>();
    return text;
  }
  std::string codes_after(const json& job_document) {
    deploy("job-" + std::to_string(++jobs_), job_document);
    return codes();
  }
  std::string codes_after_components(const std::map<std::string, std::string>& components) {
    return codes_after(document("thinggroup/G1", 100 + jobs_, versions(components)));
  }
  std::string codes_of_download(const Error& error) {
    publish_with_data("large", "1.0.0", "bytes-" + std::to_string(jobs_));
    cloud_.download_error = error;
    auto said = codes_after_components({{"large", "1.0.0"}});
    cloud_.download_error.reset();
    return said;
  }
  void publish(const std::string& name, const json& lifecycle) {
    cloud_.publish(test_recipe(name, "1.0.0", {}, lifecycle));
  }

  int jobs_ = 0;
};

TEST_F(Faults, OfWhatWasPlanned) {
  EXPECT_EQ(codes_after_components({{"missing", "1.0.0"}}),
            "DEPLOYMENT_FAILURE/NO_AVAILABLE_COMPONENT_VERSION/"
            "COMPONENT_VERSION_REQUIREMENTS_NOT_MET REQUEST_ERROR");
  cloud_.publish(test_recipe("wants-a-one", "1.0.0", {{"a", "=1.0.0"}}));
  EXPECT_EQ(codes_after_components({{"wants-a-one", "1.0.0"}, {"a", "2.0.0"}}),
            "DEPLOYMENT_FAILURE/NO_AVAILABLE_COMPONENT_VERSION/"
            "COMPONENT_VERSION_REQUIREMENTS_NOT_MET REQUEST_ERROR");
  cloud_.publish(test_recipe("egg", "1.0.0", {{"hen", "*"}}));
  cloud_.publish(test_recipe("hen", "1.0.0", {{"egg", "*"}}));
  EXPECT_EQ(codes_after_components({{"egg", "1.0.0"}}),
            "DEPLOYMENT_FAILURE/COMPONENT_CIRCULAR_DEPENDENCY_ERROR REQUEST_ERROR");
  auto foreign = test_recipe("foreign", "1.0.0");
  foreign["Manifests"][0]["Platform"] = {{"os", "windows"}};
  cloud_.publish(foreign);
  EXPECT_EQ(codes_after_components({{"foreign", "1.0.0"}}),
            "DEPLOYMENT_FAILURE/COMPONENT_PACKAGE_LOADING_ERROR/RECIPE_MISSING_MANIFEST "
            "COMPONENT_RECIPE_ERROR");
  cloud_.versions[ComponentName("nonsense")]["1.0.0"] = "{";
  EXPECT_EQ(codes_after_components({{"nonsense", "1.0.0"}}),
            "DEPLOYMENT_FAILURE/COMPONENT_PACKAGE_LOADING_ERROR/RECIPE_PARSE_ERROR "
            "COMPONENT_RECIPE_ERROR");
  cloud_.groups = fail(Code::kNotFound, "thingGroups: HTTP 404");
  EXPECT_EQ(codes_after_components({{"a", "1.0.0"}}),
            "DEPLOYMENT_FAILURE/CLOUD_API_ERROR/RESOURCE_NOT_FOUND REQUEST_ERROR");
  EXPECT_EQ(running(), "");
}

// DEP-15
TEST_F(Faults, OfTheDocument) {
  auto wanted = document("thinggroup/G1", 5, versions({{"a", "1.0.0"}}));
  wanted["requiredCapabilities"] = {"SUB_DEPLOYMENTS"};
  EXPECT_EQ(codes_after(wanted),
            "DEPLOYMENT_FAILURE/NUCLEUS_MISSING_REQUIRED_CAPABILITIES REQUEST_ERROR");
  auto limited = document("thinggroup/G1", 5, versions({{"a", "1.0.0"}}));
  limited["components"]["a"]["runWith"]["systemResourceLimits"] = {{"memory", 65536}};
  EXPECT_EQ(codes_after(limited), "DEPLOYMENT_FAILURE/RUN_WITH_CONFIG_NOT_VALID REQUEST_ERROR");
  auto odd = document("thinggroup/G1", 5, versions({{"a", "1.0.0"}}));
  auto& merge = odd["components"]["a"]["configurationUpdate"]["merge"];
  merge["first"] = std::string(600 << 10, 'x');
  deploy("j0", odd);
  ASSERT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  merge = {{"second", merge["first"]}};
  EXPECT_EQ(codes_after(odd), "DEPLOYMENT_FAILURE/COMPONENT_CONFIGURATION_NOT_VALID REQUEST_ERROR");
  EXPECT_EQ(codes_after({{"deploymentId", "d"}, {"components", {{"a", {{"version", "one"}}}}}}),
            "DEPLOYMENT_REJECTED/DEPLOYMENT_DOCUMENT_NOT_VALID CLOUD_SERVICE_ERROR");
  deploy("j1", document("thinggroup/G1", 6, versions({{"a", "1.0.0"}})));
  ASSERT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(codes_after(document("thinggroup/G1", 5, versions({{"a", "2.0.0"}}))),
            "DEPLOYMENT_REJECTED/REJECTED_STALE_DEPLOYMENT");
}

TEST_F(Faults, OfADownload) {
  EXPECT_EQ(codes_of_download(Error(Code::kNotFound, "HTTP 404")),
            "DEPLOYMENT_FAILURE/ARTIFACT_DOWNLOAD_ERROR/CLOUD_API_ERROR/RESOURCE_NOT_FOUND "
            "REQUEST_ERROR");
  EXPECT_EQ(codes_of_download(Error(Code::kPermissionDenied, "HTTP 403")),
            "DEPLOYMENT_FAILURE/ARTIFACT_DOWNLOAD_ERROR/CLOUD_API_ERROR/ACCESS_DENIED/"
            "GET_COMPONENT_VERSION_ARTIFACT_ACCESS_DENIED PERMISSION_ERROR");
  publish_with_data("large", "1.0.0", "bytes");
  cloud_.files["data"] = "other";
  EXPECT_EQ(codes_after_components({{"large", "1.0.0"}}),
            "DEPLOYMENT_FAILURE/ARTIFACT_DOWNLOAD_ERROR/ARTIFACT_CHECKSUM_MISMATCH "
            "COMPONENT_RECIPE_ERROR");
  publish_with_data("large", "1.0.0", std::string(1 << 20, 'x'));
  files_.set_capacity(1 << 19);
  EXPECT_EQ(codes_after_components({{"large", "1.0.0"}}),
            "DEPLOYMENT_FAILURE/ARTIFACT_DOWNLOAD_ERROR/IO_ERROR/DISK_SPACE_CRITICAL DEVICE_ERROR");
}

TEST_F(Faults, WithoutANetworkItWaits) {
  publish_with_data("large", "1.0.0", "bytes");
  cloud_.download_error = Error(Code::kUnavailable, "no route to host");
  deploy("j1", document("thinggroup/G1", 1, versions({{"large", "1.0.0"}})));
  EXPECT_EQ(outcome(), "IN_PROGRESS ");
  cloud_.download_error.reset();
  run(120'000);
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(updates().back().request.status_details.count("deployment-error-stack"), 0u);
}

TEST_F(Faults, OfComponents) {
  publish("install", {{"Install", "exit 4"}, {"Run", "run"}});
  EXPECT_EQ(codes_after_components({{"install", "1.0.0"}}),
            "DEPLOYMENT_FAILURE/COMPONENT_UPDATE_ERROR/COMPONENT_BROKEN USER_COMPONENT_ERROR");
  EXPECT_EQ(codes_after_components({{"broken", "1.0.0"}}),
            "DEPLOYMENT_FAILURE/COMPONENT_UPDATE_ERROR/COMPONENT_BROKEN USER_COMPONENT_ERROR");
  publish("boot", {{"Bootstrap", "exit 4"}, {"Run", "run"}});
  EXPECT_EQ(codes_after_components({{"boot", "1.0.0"}}),
            "DEPLOYMENT_FAILURE/COMPONENT_UPDATE_ERROR/COMPONENT_BOOTSTRAP_ERROR "
            "USER_COMPONENT_ERROR");
  publish("slow", {{"Bootstrap", {{"Script", "hangs"}, {"Timeout", 2}}}, {"Run", "run"}});
  EXPECT_EQ(codes_after_components({{"slow", "1.0.0"}}),
            "DEPLOYMENT_FAILURE/COMPONENT_UPDATE_ERROR/COMPONENT_BOOTSTRAP_TIMEOUT "
            "USER_COMPONENT_ERROR");
}

TEST_F(Faults, OfAComponentsStatus) {
  publish("install", {{"Install", {{"Script", "hangs"}, {"Timeout", 2}}}, {"Run", "run"}});
  auto kept = document("thinggroup/G1", 1, versions({{"install", "1.0.0"}, {"broken", "1.0.0"}}));
  kept["failureHandlingPolicy"] = "DO_NOTHING";
  deploy("j1", kept);
  std::map<std::string, std::vector<std::string>> said;
  const auto last = fleet_statuses().back();
  for (const auto& component : last.components) {
    if (component.details) said[component.name.str()] = component.details->status_codes;
  }
  EXPECT_EQ(said["broken"], std::vector<std::string>{"RUN_ERROR"});
  EXPECT_EQ(said["install"], std::vector<std::string>{"INSTALL_TIMEOUT"});
}

TEST_F(Faults, OfADeploymentThatIsCancelledOrDoesNotStayUp) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  publish("slow", {{"Install", {{"Script", "hangs"}, {"Timeout", 1'000}}}, {"Run", "run"}});
  deploy("j2", document("thinggroup/G1", 2, versions({{"slow", "1.0.0"}})));
  ASSERT_EQ(nucleus_->state().phase(), nucleus::Phase::kActivating);
  offer_nothing();
  answer_that_nothing_is_to_do();
  run(20'000);
  EXPECT_EQ(codes(), "DEPLOYMENT_FAILURE/DEPLOYMENT_INTERRUPTED");
  deploy("j3", document("thinggroup/G1", 3, versions({{"slow", "1.0.0"}})));
  for (int i = 0; i < 4; ++i) boot();
  run(20'000);
  EXPECT_EQ(outcome(), "FAILED FAILED_ROLLBACK_COMPLETE");
  EXPECT_EQ(codes(), "DEPLOYMENT_FAILURE/NUCLEUS_RESTART_FAILURE NUCLEUS_ERROR");
}

TEST_F(Faults, AreRememberedOverACrash) {
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  offer("j2", document("thinggroup/G1", 2, versions({{"a", "1.0.0"}, {"broken", "1.0.0"}})));
  for (int i = 0; i < 100'000 && nucleus_->state().phase() != nucleus::Phase::kRollingBack; ++i)
    run(1);
  boot();
  run(20'000);
  EXPECT_EQ(codes(),
            "DEPLOYMENT_FAILURE/COMPONENT_UPDATE_ERROR/COMPONENT_BROKEN USER_COMPONENT_ERROR");
}

// DEP-16
TEST_F(NucleusJobs, ADeploymentGoesOnBehindTheRestartThatABootstrapWants) {
  cloud_.publish(
      test_recipe("first", "1.0.0", {}, {{"Bootstrap", "exit 100 after 5"}, {"Run", "run"}}));
  cloud_.publish(
      test_recipe("slow", "1.0.0", {}, {{"Install", "exit 0 after 3000"}, {"Run", "run"}}));
  offer("j1", document("thinggroup/G1", 1, versions({{"first", "1.0.0"}, {"slow", "1.0.0"}})));
  run(2'000);
  EXPECT_EQ(restarts_, 0);  // an Install is under way
  run(10'000);
  EXPECT_EQ(restarts_, 1);
  EXPECT_EQ(nucleus_->state().phase(), nucleus::Phase::kActivating);
  boot();
  run(10'000);
  EXPECT_EQ(restarts_, 1);
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(running(), "first=1.0.0 slow=1.0.0");
  EXPECT_EQ(std::ranges::count(started_, "exit 100 after 5"), 1);
}

TEST_F(NucleusJobs, ADeviceThatCannotBeRebootedRollsBack) {
  reboot_command_ = "exit 1 after 5";
  boot();
  deploy("j1", document("thinggroup/G1", 1, versions({{"a", "1.0.0"}})));
  cloud_.publish(
      test_recipe("firmware", "1.0.0", {}, {{"Bootstrap", "exit 101 after 5"}, {"Run", "run"}}));
  offer("j2", document("thinggroup/G1", 2, versions({{"firmware", "1.0.0"}})));
  run(200'000);
  EXPECT_EQ(outcome(), "FAILED FAILED_ROLLBACK_COMPLETE");
  EXPECT_EQ(running(), "a=1.0.0");
  // Deployed again, it begins again.
  offer("j3", document("thinggroup/G1", 3, versions({{"firmware", "1.0.0"}})));
  run(200'000);
  EXPECT_EQ(outcome(), "FAILED FAILED_ROLLBACK_COMPLETE");
  EXPECT_EQ(std::ranges::count(started_, "exit 101 after 5"), 2);
}

TEST_F(NucleusJobs, WithoutTheRebootItsBootstrapRunsAgainAtTheNextStart) {
  reboot_command_ = "exit 1 after 5";
  boot();
  cloud_.publish(
      test_recipe("firmware", "1.0.0", {}, {{"Bootstrap", "exit 101 after 5"}, {"Run", "run"}}));
  json kept = document("thinggroup/G1", 1, versions({{"firmware", "1.0.0"}}));
  kept["failureHandlingPolicy"] = "DO_NOTHING";
  offer("j1", kept);
  run(200'000);
  EXPECT_EQ(std::ranges::count(started_, "exit 101 after 5"), 1);
  boot();
  run(200'000);
  EXPECT_EQ(std::ranges::count(started_, "exit 101 after 5"), 2);
}

TEST_F(NucleusJobs, AStartIsNoReboot) {
  info_.boot_id = "first";
  boot();
  cloud_.publish(
      test_recipe("firmware", "1.0.0", {}, {{"Bootstrap", "exit 101 after 5"}, {"Run", "run"}}));
  offer("j1", document("thinggroup/G1", 1, versions({{"firmware", "1.0.0"}})));
  run(5'000);
  for (int starts = 1; starts <= 2; ++starts) {
    EXPECT_EQ(std::ranges::count(started_, "run"), starts) << "the command, each time";
    files_.crash_now();
    nucleus_.reset();
    files_.reboot(io::CrashPolicy::kDropUnsynced);
    boot();
    run(5'000);
    EXPECT_EQ(outcome().find("SUCCEEDED"), std::string::npos);
  }
  files_.crash_now();
  nucleus_.reset();
  files_.reboot(io::CrashPolicy::kDropUnsynced);
  info_.boot_id = "second";
  boot();
  run(10'000);
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
  EXPECT_EQ(std::ranges::count(started_, "exit 101 after 5"), 1);
}

// DEP-16
TEST_F(NucleusJobs, ADeploymentGoesOnBehindAReboot) {
  cloud_.publish(
      test_recipe("firmware", "1.0.0", {}, {{"Bootstrap", "exit 101 after 5"}, {"Run", "run"}}));
  offer("j1", document("thinggroup/G1", 1, versions({{"firmware", "1.0.0"}})));
  run(5'000);
  EXPECT_EQ(restarts_, 0);
  EXPECT_EQ(started_.back(), "run");  // the command
  files_.crash_now();
  nucleus_.reset();
  files_.reboot(io::CrashPolicy::kDropUnsynced);
  boot();
  run(10'000);
  EXPECT_EQ(outcome(), "SUCCEEDED SUCCESSFUL");
}

}  // namespace
}  // namespace skerry::sim
