// GetSecretValue and its policies; what only the operator may do.
#include "nucleus/ipc/test_operations.h"

namespace skerry::nucleus {
namespace {

// IPC-19
TEST_F(IpcOperationsTest, SecretsAreForWhoMayHaveThem) {
  const auto put = [this](const char* token, const json& request) {
    Client client(service_, token);
    auto id = client.wire.client.call(
        "skerry#PutSecret", request.dump(), [&client](const rpc::Reply& reply) {
          client.got.push_back({std::string(reply.shape),
                                json::parse(reply.payload, nullptr, false), reply.is_error,
                                reply.last});
        });
    EXPECT_TRUE(id);
    while (client.got.empty()) {
      EXPECT_TRUE(client.wire.run());
      loop_.run_for(1);
    }
    return client.got[0];
  };
  const json password = {{"name", "db/password"}, {"value", base64_encode("first")}};
  const Got stored = put("TOKEN-OPERATOR", password);
  const std::string arn = stored.body.value("arn", "");
  expect_error(put("TOKEN-APP", password), "UnauthorizedError", "PutSecret");
  put("TOKEN-OPERATOR", {{"name", "db/password"}, {"value", base64_encode("second")}});
  put("TOKEN-OPERATOR",
      {{"name", "blob"}, {"value", base64_encode(std::string("\0\1", 2))}, {"binary", true}});
  configure("app",
            json{{"accessControl",
                  {{"aws.greengrass.SecretManager",
                    {{"p",
                      {{"operations", {"aws.greengrass#GetSecretValue"}},
                       {"resources", {arn, "blob"}}}}}}}}}
                .dump(),
            2);
  for (const std::string& id : {arn, std::string("db/password")}) {
    const Got got = ask_disk("TOKEN-APP", "GetSecretValue", {{"secretId", id}});
    EXPECT_EQ(got.shape, "aws.greengrass#GetSecretValueResponse") << got.body;
    EXPECT_EQ(got.body["secretId"], arn);
    EXPECT_EQ(got.body["versionStage"], json({"AWSCURRENT"}));
    EXPECT_EQ(got.body["secretValue"], json({{"secretString", "second"}}));
  }
  const Got previous =
      ask_disk("TOKEN-APP", "GetSecretValue", {{"secretId", arn}, {"versionStage", "AWSPREVIOUS"}});
  EXPECT_EQ(previous.body["secretValue"]["secretString"], "first");
  EXPECT_EQ(previous.body["versionId"], stored.body["versions"][0]["versionId"]);
  EXPECT_EQ(ask_disk("TOKEN-APP", "GetSecretValue", {{"secretId", "blob"}, {"refresh", true}})
                .body["secretValue"],
            json({{"secretBinary", base64_encode(std::string("\0\1", 2))}}));
  // What is no text is binary, whatever was said of it.
  put("TOKEN-OPERATOR", {{"name", "blob"}, {"value", base64_encode("caf\xe9")}});
  EXPECT_EQ(ask_disk("TOKEN-APP", "GetSecretValue", {{"secretId", "blob"}}).body["secretValue"],
            json({{"secretBinary", base64_encode("caf\xe9")}}));
  // Those who may not are not told what there is.
  for (const char* id : {"db/password", "none"}) {
    expect_error(ask_disk("TOKEN-OTHER", "GetSecretValue", {{"secretId", id}}), "UnauthorizedError",
                 "not authorized");
  }
  expect_error(ask_disk("TOKEN-OPERATOR", "GetSecretValue", {{"secretId", "none"}}),
               "ResourceNotFoundError", "none");
  expect_error(ask_disk("TOKEN-APP", "GetSecretValue", {{"secretId", arn}, {"versionId", "x"}}),
               "ResourceNotFoundError", "no such version");
  expect_error(ask("TOKEN-APP", "GetSecretValue", json::object()), "ServiceError", "secretId");
  expect_error(ask("TOKEN-APP", "GetSecretValue", {{"secretId", 7}}), "ServiceError", "secretId");
}

}  // namespace
}  // namespace skerry::nucleus
