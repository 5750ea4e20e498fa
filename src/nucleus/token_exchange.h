// Temporary credentials for AWS SDKs in components: the endpoint on the loopback address that
// AWS_CONTAINER_CREDENTIALS_FULL_URI names, as aws.greengrass.TokenExchangeService serves it. A
// component shows its own token (AWS_CONTAINER_AUTHORIZATION_TOKEN); the credentials are those
// which the fleet gives the device for its role alias (iotRoleAlias at iotCredEndpoint).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/named_type.h"
#include "io/env.h"
#include "io/task.h"
#include "net/http_client.h"
#include "net/http_server.h"

namespace skerry::nucleus {

struct TokenExchangeOptions {
  std::string url;  // https://HOST:PORT/role-aliases/ALIAS/credentials
  ThingName thing;
};

class TokenExchange {
 public:
  static constexpr std::string_view kPath = "/2016-11-01/credentialprovider/";
  // Whether a component that runs has this token.
  using IsComponent = std::function<bool(std::string_view token)>;

  // `client` and `env` must outlive it.
  TokenExchange(io::Env& env, net::HttpClient& client, TokenExchangeOptions options,
                IsComponent is_component);

  // On a free port of 127.0.0.1; what components are to be told.
  Result<std::string> listen();

  // What a request is answered with.
  io::Task<net::HttpResponse> answer(net::HttpRequest request);

 private:
  // Answers are kept: credentials until five minutes before their end, refusals for some seconds,
  // so that a component that asks without pause does not ask the fleet.
  struct Kept {
    int status = 0;
    std::string body;
    int64_t until_ms = 0;  // monotonic
  };
  io::Task<Kept> ask();
  io::Task<void> refresh();
  const Kept* kept() const;

  io::Env& env_;
  net::HttpClient& client_;
  const TokenExchangeOptions options_;
  const IsComponent is_component_;
  Kept kept_;
  std::vector<io::Completion<bool>> waiting_;  // for the answer to one question
  io::TaskScope asking_;                       // that question: it outlives who asked it
  net::HttpServer server_;                     // goes first: its requests use the rest
};

}  // namespace skerry::nucleus
