// Temporary credentials for AWS SDKs in components: the endpoint on the loopback address that
// AWS_CONTAINER_CREDENTIALS_FULL_URI names, as aws.greengrass.TokenExchangeService serves it. A
// component shows its own token (AWS_CONTAINER_AUTHORIZATION_TOKEN); the credentials are the
// device's (role_credentials.h).
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "io/env.h"
#include "io/task.h"
#include "net/http_server.h"
#include "nucleus/role_credentials.h"

namespace skerry::nucleus {

class TokenExchange {
 public:
  static constexpr std::string_view kPath = "/2016-11-01/credentialprovider/";
  // Whether a component that runs has this token.
  using IsComponent = std::function<bool(std::string_view token)>;

  // `loop` and `credentials` must outlive it.
  TokenExchange(io::Loop& loop, RoleCredentials& credentials, IsComponent is_component);

  // On a free port of 127.0.0.1; what components are to be told.
  Result<std::string> listen();

  // What a request is answered with.
  io::Task<net::HttpResponse> answer(net::HttpRequest request);

 private:
  RoleCredentials& credentials_;
  const IsComponent is_component_;
  net::HttpServer server_;  // goes first: its requests use the rest
};

}  // namespace skerry::nucleus
