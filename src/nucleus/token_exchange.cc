// The fleet's answer in the words of the SDKs' container provider.
#include "nucleus/token_exchange.h"

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "formats/json_ptr.h"

namespace skerry::nucleus {
namespace {

using nlohmann::json;

constexpr int64_t kBeforeEndMs = 300'000;
constexpr int64_t kRefusalKeptMs = 10'000;
constexpr int64_t kLongestKeptMs = 3'600'000;
constexpr uint64_t kMaxCredentialsBytes = 64 << 10;

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

// Seconds since 1970 of 2026-11-28T02:31:00Z; nothing where it is no such text.
std::optional<int64_t> seconds_of(const std::string& text) {
  std::tm parts{};
  const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (!end || (*end != 'Z' && *end != '.')) return std::nullopt;
  return ::timegm(&parts);
}

}  // namespace

TokenExchange::TokenExchange(io::Env& env, net::HttpClient& client, TokenExchangeOptions options,
                             IsComponent is_component)
    : env_(env),
      client_(client),
      options_(std::move(options)),
      is_component_(std::move(is_component)),
      server_(
          env.loop, [this](net::HttpRequest request) { return answer(std::move(request)); },
          exchange_limits()) {}

Result<std::string> TokenExchange::listen() {
  SKERRY_ASSIGN(const uint16_t port, server_.listen_tcp("127.0.0.1", 0, nullptr));
  // By name, as the stock nucleus has it: SDKs allow that in plain text as they do the address.
  return "http://localhost:" + std::to_string(port) + std::string(kPath);
}

const TokenExchange::Kept* TokenExchange::kept() const {
  return kept_.status != 0 && env_.clock.monotonic_ms() < kept_.until_ms ? &kept_ : nullptr;
}

io::Task<net::HttpResponse> TokenExchange::answer(net::HttpRequest request) {
  const std::string_view path = net::split_target(request.target).first;
  if (path != kPath && path != kPath.substr(0, kPath.size() - 1))
    co_return refused(400, "only " + std::string(kPath) + " is here");
  if (request.method != "GET") co_return refused(405, "only GET is possible");
  if (!is_component_(request.headers.get("Authorization")))
    co_return refused(403, "the Authorization header is not the token of a running component");
  if (!kept()) {
    io::Completion<bool> done(env_.loop);
    waiting_.push_back(done);
    if (waiting_.size() == 1) asking_.spawn(refresh());
    co_await done;
  }
  co_return net::json_response(kept_.status, kept_.body);
}

io::Task<void> TokenExchange::refresh() {
  kept_ = co_await ask();
  for (io::Completion<bool>& done : std::exchange(waiting_, {})) done.complete(true);
}

io::Task<TokenExchange::Kept> TokenExchange::ask() {
  net::HttpRequest request;
  request.method = "GET";
  request.headers.set("x-amzn-iot-thingname", options_.thing.str());
  net::FetchOptions limits;
  limits.max_body_bytes = kMaxCredentialsBytes;
  const auto got = co_await client_.fetch(options_.url, std::move(request), std::move(limits));
  const int64_t now_ms = env_.clock.monotonic_ms();
  const auto failed = [&](int status, const std::string& why) {
    return Kept{status, formats::json_text(json{{"message", why}}), now_ms + kRefusalKeptMs};
  };
  if (!got) co_return failed(503, "the fleet cannot be reached: " + got.error().message());
  const json body = json::parse(got->body, nullptr, false);
  if (got->status != 200) {
    const bool says = body.is_object() && body.contains("message") && body["message"].is_string();
    co_return failed(
        got->status >= 500 ? 503 : got->status,
        "the fleet gives no credentials: " +
            (says ? body["message"].get<std::string>() : "HTTP " + std::to_string(got->status)));
  }
  const json given = body.is_object() ? body.value("credentials", json()) : json();
  for (const char* key : {"accessKeyId", "secretAccessKey", "sessionToken", "expiration"}) {
    if (!given.is_object() || !given.contains(key) || !given[key].is_string())
      co_return failed(502, "the fleet's answer has no credentials." + std::string(key));
  }
  const auto ends_s = seconds_of(given["expiration"].get<std::string>());
  if (!ends_s) co_return failed(502, "the fleet's credentials do not say when they end");
  const int64_t left_ms = *ends_s * 1000 - env_.clock.wall_ms() - kBeforeEndMs;
  co_return Kept{200,
                 formats::json_text(json{{"AccessKeyId", given["accessKeyId"]},
                                         {"SecretAccessKey", given["secretAccessKey"]},
                                         {"Token", given["sessionToken"]},
                                         {"Expiration", given["expiration"]}}),
                 // At least a moment: our clock may be wrong.
                 now_ms + std::clamp(left_ms, int64_t{1'000}, kLongestKeptMs)};
}

}  // namespace skerry::nucleus
