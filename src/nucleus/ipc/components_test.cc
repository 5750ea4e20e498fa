// Components as the operator sees and controls them over IPC.
#include "nucleus/ipc/test_operations.h"

namespace skerry::nucleus {
namespace {

// IPC-21
TEST_F(IpcOperationsTest, TheOperatorSeesWhatIsHere) {
  host_.statuses = {{ComponentName("app"), "1.0.0", ComponentState::kRunning, "", ""},
                    {ComponentName("bare"), "2.0.0", ComponentState::kBroken, "no disk", "X"}};
  const Got all = ask("TOKEN-OPERATOR", "ListComponents", json::object());
  EXPECT_EQ(all.shape, "aws.greengrass#ListComponentsResponse");
  ASSERT_EQ(all.body["components"].size(), 2u);
  EXPECT_EQ(all.body["components"][0], json({{"componentName", "app"},
                                             {"version", "1.0.0"},
                                             {"state", "RUNNING"},
                                             {"configuration", json::parse(kAllAllowed)}}));
  const Got one = ask("TOKEN-OPERATOR", "GetComponentDetails", {{"componentName", "bare"}});
  EXPECT_EQ(one.shape, "aws.greengrass#GetComponentDetailsResponse");
  EXPECT_EQ(one.body["componentDetails"], json({{"componentName", "bare"},
                                                {"version", "2.0.0"},
                                                {"state", "BROKEN"},
                                                {"configuration", json::object()}}));
  expect_error(ask("TOKEN-OPERATOR", "GetComponentDetails", {{"componentName", "none"}}),
               "ResourceNotFoundError", "none");
  for (const json& name : {json(""), json(nullptr), json(7)}) {
    expect_error(ask("TOKEN-OPERATOR", "GetComponentDetails", {{"componentName", name}}),
                 "InvalidArgumentsError", "omponent");
  }
}

// IPC-21
TEST_F(IpcOperationsTest, ComponentsControlOthersAsTheirPoliciesAllow) {
  configure("other", R"({"accessControl":{
    "aws.greengrass.Cli": {"p": {"operations": ["aws.greengrass#StopComponent"], "resources": ["app"]}},
    "aws.greengrass.ipc.lifecycle": {"p": {"operations": ["*"], "resources": ["app","idle","gone"]}}}})",
            2);
  const json app = {{"componentName", "app"}};
  const Got stopped = ask("TOKEN-OTHER", "StopComponent", app);
  EXPECT_EQ(stopped.body, json({{"stopStatus", "SUCCEEDED"}}));
  EXPECT_EQ(ask("TOKEN-OPERATOR", "RestartComponent", app).body,
            json({{"restartStatus", "SUCCEEDED"}}));
  EXPECT_EQ(ask("TOKEN-OTHER", "PauseComponent", app).shape,
            "aws.greengrass#PauseComponentResponse");
  EXPECT_EQ(ask("TOKEN-OTHER", "ResumeComponent", app).shape,
            "aws.greengrass#ResumeComponentResponse");
  EXPECT_EQ(host_.reports,
            (std::vector<std::string>{"stop app", "restart app", "pause app", "resume app"}));
  // Of the wrong name, of the wrong operation, of nobody.
  const json bare = {{"componentName", "bare"}};
  expect_error(ask("TOKEN-OTHER", "StopComponent", bare), "UnauthorizedError", "bare");
  expect_error(ask("TOKEN-OTHER", "RestartComponent", app), "UnauthorizedError", "app");
  expect_error(ask("TOKEN-OTHER", "ListComponents", json::object()), "UnauthorizedError", "");
  expect_error(ask("TOKEN-APP", "PauseComponent", bare), "UnauthorizedError", "bare");
  EXPECT_EQ(host_.reports.size(), 4u);
}

TEST_F(IpcOperationsTest, ControlOfWhatIsNotThereFailsAsModelled) {
  const json gone = {{"componentName", "gone"}}, idle = {{"componentName", "idle"}};
  for (const char* operation : {"RestartComponent", "StopComponent"}) {
    expect_error(ask("TOKEN-OPERATOR", operation, gone), "ComponentNotFoundError", "gone");
    expect_error(ask("TOKEN-OPERATOR", operation, json::object()), "InvalidArgumentsError",
                 "componentName");
  }
  for (const char* operation : {"PauseComponent", "ResumeComponent"}) {
    expect_error(ask("TOKEN-OPERATOR", operation, gone), "ResourceNotFoundError", "gone");
    expect_error(ask("TOKEN-OPERATOR", operation, idle), "ServiceError", "RUNNING");
  }
}

}  // namespace
}  // namespace skerry::nucleus
