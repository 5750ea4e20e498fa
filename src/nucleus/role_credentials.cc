// One question at a time, its answer for everybody who waits.
#include "nucleus/role_credentials.h"

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

namespace skerry::nucleus {
namespace {

using nlohmann::json;

constexpr int64_t kBeforeEndMs = 300'000;
constexpr int64_t kRefusalKeptMs = 10'000;
constexpr int64_t kLongestKeptMs = 3'600'000;
constexpr uint64_t kMaxCredentialsBytes = 64 << 10;

// Seconds since 1970 of 2026-11-28T02:31:00Z; nothing where it is no such text.
std::optional<int64_t> seconds_of(const std::string& text) {
  std::tm parts{};
  const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (!end || (*end != 'Z' && *end != '.')) return std::nullopt;
  return ::timegm(&parts);
}

}  // namespace

bool RoleCredentials::is_kept() const {
  return kept_.answer.status != 0 && env_.clock.monotonic_ms() < kept_.until_ms;
}

io::Task<RoleCredentials::Answer> RoleCredentials::ask() {
  if (!is_kept()) {
    io::Completion<bool> done(env_.loop);
    waiting_.push_back(done);
    if (waiting_.size() == 1) asking_.spawn(refresh());
    co_await done;
  }
  co_return kept_.answer;
}

io::Task<Result<net::AwsCredentials>> RoleCredentials::get() {
  Answer answer = co_await ask();
  if (answer.status == 200) co_return std::move(answer.credentials);
  const Code code =
      answer.status == 503 || answer.status == 429 ? Code::kUnavailable : Code::kPermissionDenied;
  co_return fail(code, std::move(answer.reason));
}

io::Task<void> RoleCredentials::refresh() {
  kept_ = co_await ask_fleet();
  for (io::Completion<bool>& done : std::exchange(waiting_, {})) done.complete(true);
}

io::Task<RoleCredentials::Kept> RoleCredentials::ask_fleet() {
  net::HttpRequest request;
  request.method = "GET";
  request.headers.set("x-amzn-iot-thingname", options_.thing.str());
  net::FetchOptions limits;
  limits.max_body_bytes = kMaxCredentialsBytes;
  const auto got = co_await client_.fetch(options_.url, std::move(request), std::move(limits));
  const int64_t now_ms = env_.clock.monotonic_ms();
  const auto failed = [&](int status, std::string why) {
    return Kept{{status, std::move(why), {}, {}}, now_ms + kRefusalKeptMs};
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
  co_return Kept{{200,
                  "",
                  {given["accessKeyId"], given["secretAccessKey"], given["sessionToken"]},
                  given["expiration"]},
                 // At least a moment: our clock may be wrong.
                 now_ms + std::clamp(left_ms, int64_t{1'000}, kLongestKeptMs)};
}

}  // namespace skerry::nucleus
