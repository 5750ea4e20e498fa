// The device's credentials in the words of the SDKs' container provider.
#include "nucleus/token_exchange.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "formats/json_ptr.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

// Of small questions from this machine.
net::HttpLimits exchange_limits() {
  net::HttpLimits limits;
  limits.header_bytes = 16 << 10;
  limits.body_bytes = 4 << 10;
  limits.max_connections = 256;
  return limits;
}

net::HttpResponse refused(int status, const std::string& message) {
  return net::json_response(status, formats::json_text(json{{"message", message}}));
}

}  // namespace

TokenExchange::TokenExchange(io::Loop& loop, RoleCredentials& credentials, IsComponent is_component)
    : credentials_(credentials),
      is_component_(std::move(is_component)),
      server_(
          loop, [this](net::HttpRequest request) { return answer(std::move(request)); },
          exchange_limits()) {}

Result<std::string> TokenExchange::listen() {
  SKERRY_ASSIGN(const uint16_t port, server_.listen_tcp("127.0.0.1", 0, nullptr));
  // By name, as the stock nucleus has it: SDKs allow that in plain text as they do the address.
  return "http://localhost:" + std::to_string(port) + std::string(kPath);
}

io::Task<net::HttpResponse> TokenExchange::answer(net::HttpRequest request) {
  const std::string_view path = net::split_target(request.target).first;
  if (path != kPath && path != kPath.substr(0, kPath.size() - 1))
    co_return refused(400, "only " + std::string(kPath) + " is here");
  if (request.method != "GET") co_return refused(405, "only GET is possible");
  if (!is_component_(request.headers.get("Authorization")))
    co_return refused(403, "the Authorization header is not the token of a running component");
  const auto given = co_await credentials_.ask();
  if (given.status != 200) co_return refused(given.status, given.reason);
  co_return net::json_response(
      200, formats::json_text(json{{"AccessKeyId", given.credentials.access_key_id},
                                   {"SecretAccessKey", given.credentials.secret_access_key},
                                   {"Token", given.credentials.session_token},
                                   {"Expiration", given.expiration}}));
}

}  // namespace skerry::nucleus
