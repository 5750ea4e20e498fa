// The public SDKs' echo service, awstest#EchoTestRPC, for tests: what shows that the RPC layer
// knows nothing of Greengrass. Shapes and errors are those of the SDKs' model.
#pragma once

#include <string>

#include "rpc/server_connection.h"

namespace skerry::rpc {

inline Service echo_service() {
  Service service;
  service.authenticate = [](const Frame& connect) -> Result<std::string> {
    const auto name = connect.text("client-name");
    if (!name || !name->starts_with("accepted.")) {
      return skerry::fail(Code::kPermissionDenied, "client-name does not start with accepted.");
    }
    return std::string(*name);
  };
  auto& operations = service.operations;
  operations["awstest#EchoMessage"] = [](const ServerStream& s, std::string_view payload) {
    s.respond("awstest#EchoMessageResponse", payload);
  };
  operations["awstest#GetAllProducts"] = [](const ServerStream& s, std::string_view) {
    s.respond("awstest#GetAllProductsResponse",
              R"({"products":{"A0001":{"name":"Milk","price":1.5}}})");
  };
  operations["awstest#GetAllCustomers"] = [](const ServerStream& s, std::string_view) {
    s.respond("awstest#GetAllCustomersResponse",
              R"({"customers":[{"id":1,"firstName":"Ada","lastName":"Lovelace"}]})");
  };
  operations["awstest#CauseServiceError"] = [](const ServerStream& s, std::string_view) {
    s.fail("awstest#ServiceError", R"({"message":"Intentionally caused ServiceError"})");
  };
  operations["awstest#EchoStreamMessages"] = [](const ServerStream& s, std::string_view) {
    s.start("awstest#EchoStreamingResponse", "{}");
    s.on_message([s](std::string_view m) { s.send("awstest#EchoStreamingMessage", m); });
  };
  operations["awstest#CauseStreamServiceToError"] = [](const ServerStream& s, std::string_view) {
    s.start("awstest#EchoStreamingResponse", "{}");
    s.on_message([s](std::string_view) {
      s.fail("awstest#ServiceError",
             R"({"message":"Intentionally caused ServiceError on stream"})");
    });
  };
  return service;
}

}  // namespace skerry::rpc
