// Fleet status messages and model packages.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "formats/fleet_status.h"
#include "formats/model_package.h"

namespace skerry::formats {
namespace {

using nlohmann::json;

const json kStatus = json::parse(R"({
  "ggcVersion":"2.12.0","platform":"linux","architecture":"amd64","runtime":"skerry","thing":"T",
  "sequenceNumber":3,"timestamp":1700000000123,"messageType":"PARTIAL","trigger":"THING_GROUP_DEPLOYMENT",
  "overallDeviceStatus":"UNHEALTHY","chunkInfo":{"chunkId":1,"totalChunks":2},
  "components":[{"componentName":"com.example.A","version":"1.0.0","status":"BROKEN","isRoot":true,
    "fleetConfigArns":["arn:x"],"componentStatusDetails":{"statusCodes":["RUN_ERROR"],"statusReason":"exit 1"}},
    {"componentName":"B","version":"2.0.0","status":"RUNNING","isRoot":false,"fleetConfigArns":[]}],
  "deploymentInformation":{"status":"FAILED","statusDetails":{"detailedStatus":"FAILED_ROLLBACK_COMPLETE",
    "failureCause":"com.example.A exited","errorStack":["DEPLOYMENT_FAILURE"],"errorTypes":["COMPONENT_ERROR"]},
    "fleetConfigurationArnForStatus":"arn:y","deploymentId":"d","unchangedRootComponents":["B"]}})");

TEST(FleetStatusTest, BothWays) {
  const auto status = parse_fleet_status(kStatus.dump());
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(json::parse(to_text(*status)), kStatus);
  EXPECT_FALSE(status->healthy);
  EXPECT_EQ(status->message_type, FleetMessageType::kPartial);
  EXPECT_EQ(status->chunk->total_chunks, 2);
  EXPECT_EQ(status->components.at(0).details->status_reason, "exit 1");
  EXPECT_TRUE(status->components.at(0).is_root);
  EXPECT_EQ(status->deployment->unchanged_root_components, std::vector<std::string>{"B"});
}

TEST(FleetStatusTest, TheJavaNucleusLeavesThingsOut) {
  const auto status =
      parse_fleet_status(R"({"ggcVersion":"2.18.0","platform":"linux","architecture":"amd64",
    "thing":"T","sequenceNumber":0,"timestamp":1,"messageType":"COMPLETE","trigger":"NUCLEUS_LAUNCH",
    "overallDeviceStatus":"HEALTHY","components":[{"componentName":"main","version":null,"fleetConfigArns":[],
    "statusDetails":null,"isRoot":false,"status":"RUNNING"}]})");
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(status->components.at(0).version, "");
  EXPECT_EQ(status->runtime, "");
  EXPECT_TRUE(status->healthy);
  EXPECT_FALSE(status->deployment);
}

TEST(FleetStatusTest, ErrorsNameThePlace) {
  json wrong = kStatus;
  wrong["components"][1]["componentName"] = "../B";
  EXPECT_NE(
      parse_fleet_status(wrong.dump()).error().message().find("components[1].componentName: "),
      std::string::npos);
  EXPECT_EQ(parse_fleet_status("{}").error().message(), "thing: is missing");
  EXPECT_EQ(parse_fleet_status("[]").error().message(), "fleet status: must be an object");
}

const json kHistory = json::parse(R"({"format":1,"run":"A1B2","components":[
    {"componentName":"B","errors":3,"restarts":2}],"lastFailure":{"componentName":"B","version":"2.0.0",
    "code":"RUN_ERROR","reason":"exit 1","timestamp":1700000000000,"log":["one","two"]}})");

TEST(FleetStatusTest, AHistoryOfComponentsBothWays) {
  json message = kStatus;
  message["componentHistory"] = kHistory;
  const auto status = parse_fleet_status(message.dump());
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_EQ(json::parse(to_text(*status)), message);
  EXPECT_EQ(status->history->tallies.at(0).errors, 3);
  EXPECT_EQ(status->history->last_failure->log, (std::vector<std::string>{"one", "two"}));
}

TEST(FleetStatusTest, AHistoryOfALaterFormatIsLeftOut) {
  json message = kStatus;
  message["componentHistory"] = {{"format", 2}, {"run", {{"of", "another kind"}}}};
  const auto status = parse_fleet_status(message.dump());
  ASSERT_TRUE(status) << status.error().message();
  EXPECT_FALSE(status->history);
  EXPECT_EQ(status->components.size(), 2U);
}

TEST(FleetStatusTest, AWrongHistoryIsRefused) {
  const auto refused = [](const char* at, const json& value) {
    json message = kStatus;
    message["componentHistory"] = kHistory;
    message["componentHistory"][json::json_pointer(at)] = value;
    const auto status = parse_fleet_status(message.dump());
    return status ? "taken" : status.error().message();
  };
  EXPECT_TRUE(refused("/run", "").starts_with("componentHistory.run: "));
  EXPECT_TRUE(refused("/run", std::string(65, 'x')).starts_with("componentHistory.run: "));
  EXPECT_TRUE(
      refused("/components/0/errors", -1).starts_with("componentHistory.components[0].errors: "));
  EXPECT_TRUE(refused("/components/1", kHistory["components"][0])
                  .starts_with("componentHistory.components[1]: stands here twice"));
  EXPECT_TRUE(refused("/components/0/componentName", "../B")
                  .starts_with("componentHistory.components[0].componentName: "));
  EXPECT_TRUE(refused("/lastFailure/log", std::vector<std::string>(101, "x"))
                  .starts_with("componentHistory.lastFailure.log: "));
}

TEST(FleetStatusTest, Topic) {
  const std::string topic = "$aws/things/a:b/greengrassv2/health/json";
  EXPECT_EQ(fleet_status_topic(ThingName("a:b")), topic);
  EXPECT_EQ(parse_fleet_status_topic(topic)->str(), "a:b");
  for (const char* other :
       {"", "$aws/things//greengrassv2/health/json", "$aws/things/greengrassv2/health/json",
        "$aws/things/a/b/greengrassv2/health/json", "$aws/things/a/greengrass/health/json"}) {
    EXPECT_FALSE(parse_fleet_status_topic(other)) << other;
  }
}

json model() {
  return {{"format", 1},
          {"name", "com.example.VadModel"},
          {"version", "1.0.0"},
          {"runtime", "onnxruntime"},
          {"file", "model.onnx"},
          {"sha256", std::string(64, 'a')},
          {"inputs",
           {{{"name", "input"}, {"datatype", "FP32"}, {"shape", {-1, 576}}},
            {{"name", "sr"}, {"datatype", "INT64"}, {"shape", json::array()}}}},
          {"outputs", {{{"name", "output"}, {"datatype", "FP32"}, {"shape", {-1, 1}}}}}};
}

std::string model_error(const std::string& key, const json& value) {
  json document = model();
  document[json::json_pointer(key)] = value;
  auto package = parse_model_package(document.dump());
  return package ? "no error" : package.error().message();
}

TEST(ModelPackageTest, BothWays) {
  const auto package = parse_model_package(model().dump());
  ASSERT_TRUE(package) << package.error().message();
  EXPECT_EQ(json::parse(to_text(*package)), model());
  EXPECT_EQ(package->inputs.at(0),
            (tensor::TensorSpec{"input", tensor::DataType::kFp32, {-1, 576}}));
  EXPECT_TRUE(package->inputs.at(1).shape.empty());
}

TEST(ModelPackageTest, FilesAndTrialRunBothWays) {
  json document = model();
  document["files"] = {{"weights/a.bin", std::string(64, 'a')}};
  document["trial_run"] = "optional";
  document["inputs"] = json::array({{{"name", "x"}, {"datatype", "FP32"}, {"shape", {-1, 3}}},
                                    {{"name", "sizes"}, {"datatype", "INT64"}, {"shape", {4}}},
                                    {{"name", "text"}, {"datatype", "BYTES"}, {"shape", {-1}}}});
  document["warmup"] = {{"x", {{"shape", {2, 3}}, {"value", 0.5}}},
                        {"sizes", {1, 3, 8, 8}},
                        {"text", {{"shape", {2}}}}};
  const auto package = parse_model_package(document.dump());
  ASSERT_TRUE(package) << package.error().message();
  EXPECT_EQ(json::parse(to_text(*package)), document);
}

TEST(ModelPackageTest, RefusesFilesElsewhereAndValuesThatDoNotFit) {
  const std::string digest(64, 'a');
  for (const char* path :
       {"../a", "/a", "a/../b", "a//b", "", ".", "model.json", "model.onnx", "a\\b"}) {
    EXPECT_NE(model_error("/files", {{path, digest}}).find("must be the path of another file"),
              std::string::npos)
        << path;
  }
  EXPECT_EQ(model_error("/files", {{"a.bin", "12"}}),
            "model.json: files.a.bin: must be 64 lower-case hexadecimal digits");
  EXPECT_EQ(model_error("/trial_run", "never"),
            "model.json: trial_run: 'never' is neither \"required\" nor \"optional\"");
  EXPECT_EQ(model_error("/warmup", {{"input", {{"shape", {1, 2}}}}}),
            "model.json: warmup.input.shape: does not fit the input's FP32[-1,576]");
  EXPECT_EQ(model_error("/warmup", {{"input", "loud"}}),
            "model.json: warmup.input: is no number, as the input is numeric");
  EXPECT_EQ(model_error("/warmup", {{"input", json::array()}}),
            "model.json: warmup.input: must have one value at least");
}

TEST(ModelPackageTest, ErrorsNameThePlace) {
  EXPECT_EQ(model_error("/format", 2), "model.json: format: 2 is not supported, only 1");
  EXPECT_EQ(model_error("/inputs/0/datatype", "FLOAT"),
            "model.json: inputs[0]: unknown datatype 'FLOAT'; use one of BOOL, INT8, INT16, INT32, "
            "INT64, UINT8, UINT16, UINT32, UINT64, FP16, FP32, FP64, BYTES");
  EXPECT_EQ(model_error("/inputs/0/shape/1", 0),
            "model.json: inputs[0].shape[1]: must be 1 or more, or -1 for any size");
  EXPECT_EQ(model_error("/inputs/1/name", "input"),
            "model.json: inputs[1]: the name 'input' stands here twice");
  EXPECT_EQ(model_error("/outputs", json::array()),
            "model.json: outputs: a model has one output at least");
  EXPECT_EQ(model_error("/sha256", std::string(64, 'A')),
            "model.json: sha256: must be 64 lower-case hexadecimal digits");
  for (const char* file : {"../model.onnx", "/etc/passwd", "..", ".", "model.json", "a\\b"}) {
    EXPECT_NE(model_error("/file", file).find("must be the name of a model file"),
              std::string::npos)
        << file;
  }
  EXPECT_EQ(model_error("/runtime", ""), "model.json: runtime: is empty");
  EXPECT_EQ(model_error("/outputs", nullptr), "model.json: outputs: is missing");
  EXPECT_NE(model_error("/name", "a/b").find("name: 'a/b'"), std::string::npos);
  EXPECT_NE(parse_model_package("{").error().message().find("model.json: not JSON"),
            std::string::npos);
}

// What is wrong with a small package that has `text` at `key`; empty where it is read, and `member`
// is the same after printing.
template <class Member>
std::string refusal_of(const char* key, const char* text, Member ModelPackage::* member,
                       const json& inputs, const json& outputs) {
  json document = {{"format", 1},       {"name", "m"},       {"version", "1"},
                   {"runtime", "null"}, {"file", "m.bin"},   {"sha256", std::string(64, 'a')},
                   {"inputs", inputs},  {"outputs", outputs}};
  document[key] = json::parse(text);
  const auto package = parse_model_package(document.dump());
  if (!package) return package.error().message();
  const auto again = parse_model_package(to_text(*package));
  return again && *again.*member == *package.*member ? "" : "does not survive printing";
}

TEST(ModelPackageTest, Finite) {
  const auto refusal = [](const char* finite) {
    return refusal_of("finite", finite, &ModelPackage::finite, json::array(),
                      json::array({{{"name", "y"}, {"datatype", "FP32"}, {"shape", {-1, 2}}},
                                   {{"name", "n"}, {"datatype", "INT64"}, {"shape", {1}}}}));
  };
  EXPECT_EQ(refusal(R"(["y"])"), "");
  EXPECT_EQ(refusal("[]"), "");
  EXPECT_EQ(refusal(R"(["z"])"), "model.json: finite[0]: is no output of this model");
  EXPECT_EQ(refusal(R"(["y","n"])"), "model.json: finite[1]: has no type with NaN");
}

TEST(ModelPackageTest, Batching) {
  const auto refusal = [](const char* batching, int first = -1) {
    return refusal_of("batching", batching, &ModelPackage::batching,
                      json::array({{{"name", "x"}, {"datatype", "FP32"}, {"shape", {-1, 2}}}}),
                      json::array({{{"name", "y"}, {"datatype", "FP32"}, {"shape", {first, 2}}}}));
  };
  EXPECT_EQ(refusal(R"({"max_rows":2})"), "");
  EXPECT_EQ(refusal(R"({"max_rows":32,"preferred_rows":[8,32],"max_delay_ms":5,"max_queued":0})"),
            "");
  EXPECT_EQ(refusal(R"({})"), "model.json: batching.max_rows: is missing");
  EXPECT_EQ(refusal(R"({"max_rows":1})"), "model.json: batching.max_rows: must be 2 to 65536");
  EXPECT_EQ(refusal(R"({"max_rows":2,"max_delay_ms":-1})"),
            "model.json: batching.max_delay_ms: must be 0 to 65536");
  EXPECT_EQ(refusal(R"({"max_rows":2,"preferred_rows":[3]})"),
            "model.json: batching.preferred_rows[0]: must be 1 to max_rows");
  EXPECT_EQ(refusal(R"({"max_rows":2})", 1),
            "model.json: batching: the first dimension of 'y' must be -1");
}

TEST(ModelPackageTest, Scores) {
  const auto refusal = [](const char* scores, int last = 3) {
    return refusal_of("scores", scores, &ModelPackage::scores, json::array(),
                      json::array({{{"name", "y"}, {"datatype", "FP32"}, {"shape", {-1, last}}},
                                   {{"name", "n"}, {"datatype", "INT64"}, {"shape", {1}}}}));
  };
  EXPECT_EQ(refusal(R"({"output":"y"})"), "");
  EXPECT_EQ(refusal(R"({"output":"y","activation":"softmax"})"), "");
  EXPECT_EQ(refusal(R"({"output":"y","activation":"sigmoid"})", 1), "");
  EXPECT_EQ(refusal(R"({"output":"x"})"), "model.json: scores: 'x' is no output of this model");
  EXPECT_EQ(refusal(R"({"output":"n"})"), "model.json: scores: the output must be FP32 or FP64");
  EXPECT_NE(refusal(R"({"output":"y","activation":"softmax"})", 1).find("softmax of one score"),
            std::string::npos);
  EXPECT_NE(refusal(R"({"output":"y","activation":"relu"})").find("scores.activation: "),
            std::string::npos);
  EXPECT_NE(refusal(R"("y")").find("scores"), std::string::npos);
}

}  // namespace
}  // namespace skerry::formats
