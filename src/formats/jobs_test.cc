// Job topics and messages.
#include "formats/jobs.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "formats/deployment.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

TEST(JobTopicTest, BuildsAndParsesEveryKind) {
  const std::map<std::string, JobTopic> topics = {
      {"$aws/things/T/jobs/$next/namespace-aws-gg-deployment/get",
       {JobTopicKind::kGet, ThingName("T"), "$next"}},
      {"$aws/things/T/jobs/$next/namespace-aws-gg-deployment/get/accepted",
       {JobTopicKind::kGetAccepted, ThingName("T"), "$next"}},
      {"$aws/things/T/jobs/j-1/namespace-aws-gg-deployment/get/rejected",
       {JobTopicKind::kGetRejected, ThingName("T"), "j-1"}},
      {"$aws/things/T/jobs/j-1/namespace-aws-gg-deployment/update",
       {JobTopicKind::kUpdate, ThingName("T"), "j-1"}},
      {"$aws/things/T/jobs/j-1/namespace-aws-gg-deployment/update/accepted",
       {JobTopicKind::kUpdateAccepted, ThingName("T"), "j-1"}},
      {"$aws/things/T/jobs/j-1/namespace-aws-gg-deployment/update/rejected",
       {JobTopicKind::kUpdateRejected, ThingName("T"), "j-1"}},
      {"$aws/things/a:b/jobs/notify-namespace-aws-gg-deployment",
       {JobTopicKind::kNotify, ThingName("a:b")}},
      {"$aws/things/T/jobs/notify-next-namespace-aws-gg-deployment",
       {JobTopicKind::kNotifyNext, ThingName("T")}},
  };
  for (const auto& [text, topic] : topics) {
    EXPECT_EQ(topic.str(), text);
    const auto parsed = parse_job_topic(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(parsed->kind, topic.kind);
    EXPECT_EQ(parsed->thing, topic.thing);
    EXPECT_EQ(parsed->job, topic.job);
  }
}

TEST(JobTopicTest, RefusesOthers) {
  for (const char* text :
       {"", "$aws/things/", "$aws/things/T", "$aws/things/T/jobs/",
        "$aws/things//jobs/notify-namespace-aws-gg-deployment",
        "$aws/things/T/x/jobs/notify-namespace-aws-gg-deployment", "$aws/things/T/jobs/notify",
        "$aws/things/T/jobs/$next/get", "$aws/things/T/jobs/$next/namespace-aws-gg-deployment",
        "$aws/things/T/jobs/$next/namespace-aws-gg-deployment/",
        "$aws/things/T/jobs/$next/namespace-aws-gg-deploymentX/get",
        "$aws/things/T/jobs/$other/namespace-aws-gg-deployment/get",
        "$aws/things/T/jobs//namespace-aws-gg-deployment/get",
        "$aws/things/T/jobs/j/namespace-aws-gg-deployment/get/accepted/x",
        "$aws/things/T/jobs/J/namespace-aws-gg-deployment/GET"}) {
    EXPECT_FALSE(parse_job_topic(text)) << text;
  }
}

TEST(JobMessageTest, WhatTheStockNucleiSend) {
  const auto java =
      parse_job_get_request(R"({"thingName":"T","jobId":"$next","includeJobDocument":true})");
  ASSERT_TRUE(java);
  EXPECT_EQ(java->job_id, kNextJob);
  EXPECT_TRUE(java->include_job_document);
  EXPECT_EQ(java->client_token, "");

  const auto lite = parse_job_get_request(
      R"({"jobId":"$next","thingName":"T","includeJobDocument":true,"clientToken":"jobs-nucleus-lite"})");
  ASSERT_TRUE(lite);
  EXPECT_EQ(lite->client_token, "jobs-nucleus-lite");

  const auto update = parse_job_update_request(
      R"({"status":"SUCCEEDED","statusDetails":{"detailed-deployment-status":"SUCCESSFUL",
          "deployment-error-types":"[]","count":2},"expectedVersion":"3"})");
  ASSERT_TRUE(update);
  EXPECT_EQ(update->status, JobStatus::kSucceeded);
  EXPECT_EQ(update->status_details.at("detailed-deployment-status"), "SUCCESSFUL");
  EXPECT_EQ(update->status_details.at("count"), "2");
  EXPECT_EQ(update->expected_version, 3);
}

JobExecution execution() {
  JobExecution result;
  result.job_id = JobId("j-1");
  result.thing = ThingName("T");
  result.status = JobStatus::kInProgress;
  result.status_details = {{"a", "b"}};
  result.queued_at = 100;
  result.started_at = 110;
  result.last_updated_at = 120;
  result.version_number = 2;
  result.job_document = share({{"deploymentId", "d"}, {"components", json::object()}});
  return result;
}

TEST(JobMessageTest, NextJobBothWays) {
  const std::string text = to_text(NextJob{130, execution(), "token"});
  EXPECT_EQ(json::parse(text), json::parse(R"({"timestamp":130,"clientToken":"token","execution":{
    "jobId":"j-1","thingName":"T","status":"IN_PROGRESS","statusDetails":{"a":"b"},"queuedAt":100,"startedAt":110,
    "lastUpdatedAt":120,"versionNumber":2,"executionNumber":1,"jobDocument":{"deploymentId":"d","components":{}}}})"));
  const auto parsed = parse_next_job(text);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(to_text(*parsed), text);
  EXPECT_EQ(parse_deployment(*parsed->execution->job_document)->id.str(), "d");
}

TEST(JobMessageTest, NoJobIsNoExecution) {
  const std::string text = to_text(NextJob{130, std::nullopt, ""});
  EXPECT_EQ(text, R"({"timestamp":130})");
  EXPECT_EQ(parse_next_job(text)->redeployed, std::nullopt);
  EXPECT_EQ(parse_next_job(to_text(NextJob{130, std::nullopt, "repair-x", 2}))->redeployed, 2);
  EXPECT_FALSE(parse_next_job(R"({"timestamp":130})")->execution);
  EXPECT_FALSE(parse_next_job(R"({"timestamp":130.7,"execution":{}})")->execution);
}

TEST(JobMessageTest, JobsChangedListsByStatus) {
  JobExecution queued = execution();
  queued.status = JobStatus::kQueued;
  const std::string text = to_text(JobsChanged{130, {queued, execution()}});
  const json message = json::parse(text);
  EXPECT_EQ(message["jobs"]["QUEUED"][0]["queuedAt"], 100);
  EXPECT_FALSE(message["jobs"]["QUEUED"][0].contains("jobDocument"));
  EXPECT_EQ(message["jobs"]["IN_PROGRESS"].size(), 1u);
  // An empty list is an object: the Java nucleus takes {"jobs":{}} for "cancelled".
  EXPECT_EQ(to_text(JobsChanged{130, {}}), R"({"jobs":{},"timestamp":130})");
}

TEST(JobMessageTest, UpdatesAndRefusalsBothWays) {
  const JobUpdateRequest update{JobStatus::kFailed, {{"why", "no space"}}, 4, true, "t"};
  const auto request = parse_job_update_request(to_text(update));
  ASSERT_TRUE(request);
  EXPECT_EQ(to_text(*request), to_text(update));
  EXPECT_EQ(request->expected_version, 4);
  EXPECT_TRUE(request->include_job_execution_state);

  const auto accepted = parse_job_update_accepted(to_text(JobUpdateAccepted{7, execution(), "t"}));
  ASSERT_TRUE(accepted);
  EXPECT_EQ(accepted->execution_state->version_number, 2);
  EXPECT_EQ(accepted->execution_state->status, JobStatus::kInProgress);
  EXPECT_EQ(accepted->client_token, "t");

  const auto rejected = parse_job_rejected(to_text(JobRejected{7, "VersionMismatch", "is 3", "t"}));
  ASSERT_TRUE(rejected);
  EXPECT_EQ(rejected->code, "VersionMismatch");
  EXPECT_EQ(rejected->message, "is 3");
}

TEST(JobMessageTest, LongDetailsAreCutBetweenCharacters) {
  const std::string word = "é";  // two bytes
  std::string value = "x";
  while (value.size() < 2000) value += word;
  const json message =
      json::parse(to_text(JobUpdateRequest{JobStatus::kFailed, {{"why", value}}, {}, false, ""}));
  EXPECT_EQ(message["statusDetails"]["why"].get<std::string>(), value.substr(0, 1023));
}

TEST(JobMessageTest, RefusesWhatIsWrong) {
  EXPECT_EQ(
      parse_job_update_request(R"({"status":"DONE"})").error().message(),
      "status: 'DONE' is not one of QUEUED, IN_PROGRESS, SUCCEEDED, FAILED, REJECTED, TIMED_OUT, "
      "REMOVED, CANCELED");
  EXPECT_EQ(parse_job_update_request("{}").error().message(), "status: is missing");
  EXPECT_EQ(parse_next_job(R"({"execution":{"queuedAt":1}})").error().message(),
            "execution.jobId: is missing");
  EXPECT_FALSE(parse_next_job(R"({"execution":{"jobId":"../j"}})"));
  EXPECT_FALSE(parse_next_job(R"({"timestamp":-1})"));
  EXPECT_FALSE(parse_next_job(R"({"timestamp":1e300})"));
  EXPECT_FALSE(parse_next_job("[]"));
  EXPECT_FALSE(parse_job_get_request(json{{"clientToken", std::string(65, 'x')}}.dump()));
}

TEST(JobStatusTest, NamesAndEnds) {
  EXPECT_EQ(name_of(JobStatus::kTimedOut), "TIMED_OUT");
  EXPECT_EQ(parse_job_status("succeeded"), JobStatus::kSucceeded);
  EXPECT_EQ(parse_job_status("nothing"), std::nullopt);
  EXPECT_FALSE(is_terminal(JobStatus::kQueued));
  EXPECT_FALSE(is_terminal(JobStatus::kInProgress));
  EXPECT_TRUE(is_terminal(JobStatus::kRejected));
}

}  // namespace
}  // namespace skerry::formats
