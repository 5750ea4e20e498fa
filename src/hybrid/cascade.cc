// Asking tier after tier, and reading how sure an answer is.
#include "hybrid/cascade.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "formats/json_ptr.h"
#include "hybrid/risk.h"

namespace skerry::hybrid {
namespace {

using net::HttpRequest;
using net::HttpResponse;
using nlohmann::json;

constexpr size_t kMaxAnswerBytes = 16 << 20;
constexpr size_t kMaxShadows = 8;  // at a time

HttpResponse error_response(int status, const std::string& message) {
  return net::json_response(status, formats::json_text({{"error", message}}));
}

// Numbers of the output `name` and its rows; nothing where the answer has none in JSON.
struct Rows {
  std::vector<double> values;
  size_t classes = 0;
};
std::optional<Rows> rows_of(const json& answer, const std::string& name) {
  const json outputs = answer.value("outputs", json::array());
  const auto found = std::ranges::find_if(outputs, [&](const json& output) {
    return output.is_object() && output.value("name", json()) == name;
  });
  if (found == outputs.end() || !found->contains("data") || !found->contains("shape")) return {};
  const json& data = found->at("data");
  const json& shape = found->at("shape");
  const bool has_shape = shape.is_array() && !shape.empty() && shape.back().is_number_integer();
  if (!data.is_array() || data.empty() || !has_shape || shape.back() < 1) return {};
  Rows rows;
  rows.classes = shape.back().get<size_t>();
  for (const json& value : data) {
    // NaN has no number in JSON.
    if (!value.is_number() && !value.is_null()) return {};
    rows.values.push_back(value.is_number() ? value.get<double>()
                                            : std::numeric_limits<double>::quiet_NaN());
  }
  if (rows.values.size() % rows.classes != 0) return {};
  return rows;
}

}  // namespace

std::string_view name_of(Fallback fallback) {
  constexpr std::string_view kNames[] = {"", "budget", "breaker", "offline"};
  return kNames[static_cast<size_t>(fallback)];
}

Result<std::unique_ptr<Cascade>> Cascade::make(io::Env& env, net::HttpClient& http,
                                               CascadeConfig config) {
  std::unique_ptr<Cascade> cascade(new Cascade(env, http, std::move(config)));
  for (const TierConfig& tier : cascade->config_.tiers) {
    net::BearerToken token;
    if (!tier.token_file.empty()) {
      SKERRY_ASSIGN(token, net::BearerToken::open(tier.token_file));
    }
    cascade->tiers_.push_back({tier, std::move(token), TokenBucket(tier.per_hour, tier.burst),
                               CircuitBreaker(tier.breaker_failures, tier.breaker_open_ms)});
  }
  return cascade;
}

// A request of several rows is as sure as the row that is least so.
Result<Cascade::Answer> Cascade::judge(const Tier& tier, HttpResponse response) const {
  json document = json::parse(response.body, nullptr, false);
  const auto rows = document.is_object() ? rows_of(document, config_.output) : std::nullopt;
  if (!rows) {
    return fail(Code::kInvalidArgument,
                tier.config.name + " gives no output '" + config_.output +
                    "' as JSON numbers: name it in the request, without binary data");
  }
  Answer answer;
  answer.sure = true;
  answer.confidence = std::numeric_limits<double>::infinity();
  for (size_t at = 0; at < rows->values.size(); at += rows->classes) {
    const std::span<const double> scores(rows->values.data() + at, rows->classes);
    const double confidence =
        confidence_of(config_.measure, {scores, config_.are_logits}, config_.temperature);
    const size_t winner = winner_of(scores);
    const auto& own = tier.config.class_thresholds;
    const double threshold = winner < own.size() ? own[winner] : tier.config.threshold;
    answer.sure = answer.sure && confidence >= threshold;
    answer.confidence = std::min(answer.confidence, confidence);
    answer.winners.push_back(winner);
  }
  answer.body = std::move(response.body);
  answer.response = std::move(response);
  return answer;
}

io::Task<Cascade::Asked> Cascade::ask(size_t number, const HttpRequest& request) {
  Tier& tier = tiers_[number];
  TierCounts& counts = counts_[number];
  const int64_t now_ms = env_.clock.monotonic_ms();
  Asked asked;
  if (!tier.breaker.admits(now_ms)) {
    ++counts.breaker;
    asked.fallback = Fallback::kBreaker;
    co_return asked;
  }
  if (!tier.budget.take(1, now_ms)) {
    tier.breaker.note(!tier.breaker.is_open(), now_ms);
    ++counts.budget;
    asked.fallback = Fallback::kBudget;
    co_return asked;
  }
  ++counts.asked;
  HttpRequest forwarded;
  forwarded.method = "POST";
  forwarded.body = request.body;
  for (const char* name : {"Content-Type", "Content-Encoding", "Inference-Header-Content-Length"}) {
    if (request.headers.has(name)) {
      forwarded.headers.add(name, std::string(request.headers.get(name)));
    }
  }
  tier.token.authorize(forwarded);
  net::FetchOptions options;
  options.timeout_ms = tier.config.deadline_ms;
  options.max_body_bytes = kMaxAnswerBytes;
  auto response = co_await http_.fetch(tier.config.url + "/infer", std::move(forwarded), options);
  const bool is_there = response && response->status < 500;
  tier.breaker.note(is_there, env_.clock.monotonic_ms());
  if (!is_there) {
    ++counts.failed;
    ++counts.offline;
    asked.fallback = Fallback::kOffline;
    co_return asked;
  }
  if (response->status != 200) {
    asked.refusal = std::move(*response);
    co_return asked;
  }
  auto answer = judge(tier, std::move(*response));
  if (answer) {
    asked.answer = std::move(*answer);
  } else {
    asked.refusal = error_response(400, answer.error().message());
  }
  co_return asked;
}

HttpResponse Cascade::finish(const Answer& answer, size_t tier, bool escalated, Fallback fallback) {
  ++counts_[tier].answered;
  json document = json::parse(answer.body, nullptr, false);
  document["model_name"] = config_.name;
  json& parameters = document["parameters"];
  if (!parameters.is_object()) parameters = json::object();
  parameters["tier"] = config_.tiers[tier].name;
  parameters["escalated"] = escalated;
  if (std::isfinite(answer.confidence)) parameters["confidence"] = answer.confidence;
  if (fallback != Fallback::kNone) parameters["fallback"] = name_of(fallback);
  return net::json_response(200, formats::json_text(document));
}

bool Cascade::is_shadowed() {
  constexpr double kRange = 1e6;
  return config_.shadow > 0 && shadows_.size() < kMaxShadows &&
         static_cast<double>(env_.random.below(static_cast<uint64_t>(kRange))) <
             config_.shadow * kRange;
}

io::Task<void> Cascade::shadow(size_t tier, HttpRequest request, std::vector<size_t> winners) {
  const Asked asked = co_await ask(tier + 1, request);
  if (!asked.answer) co_return;
  ++counts_[tier].shadowed;
  if (asked.answer->winners == winners) ++counts_[tier].shadow_agreed;
}

io::Task<HttpResponse> Cascade::infer(HttpRequest request) {
  ++requests_;
  std::optional<Answer> best;
  size_t best_tier = 0;
  Fallback fallback = Fallback::kNone;
  bool escalated = false;
  for (size_t tier = 0; tier < tiers_.size(); ++tier) {
    if (tier > 0 && best && !std::exchange(escalated, true)) ++escalated_;
    Asked asked = co_await ask(tier, request);
    if (asked.refusal) {
      // A smaller tier could answer: what the bigger one makes of it is no reason to fail.
      if (!best) co_return std::move(*asked.refusal);
      fallback = Fallback::kOffline;
      continue;
    }
    if (!asked.answer) {
      fallback = asked.fallback;
      continue;
    }
    best = std::move(asked.answer);
    best_tier = tier;
    fallback = Fallback::kNone;
    if (!best->sure && tier + 1 < tiers_.size()) continue;
    if (tier + 1 < tiers_.size() && is_shadowed()) {
      shadows_.spawn(shadow(tier, std::move(request), best->winners));
    }
    break;
  }
  if (!best) co_return error_response(503, "no tier of " + config_.name + " answers");
  if (fallback != Fallback::kNone && config_.offline == Offline::kReject) {
    co_return error_response(503, config_.tiers[best_tier].name +
                                      " is not sure, and no bigger tier answers (" +
                                      std::string(name_of(fallback)) + ")");
  }
  co_return finish(*best, best_tier, escalated, fallback);
}

std::string Cascade::statistics() const {
  json tiers = json::array();
  for (size_t i = 0; i < counts_.size(); ++i) {
    const TierCounts& counts = counts_[i];
    json tier = {{"name", config_.tiers[i].name}, {"asked", counts.asked},
                 {"failed", counts.failed},       {"answered", counts.answered},
                 {"overBudget", counts.budget},   {"breakerOpen", counts.breaker},
                 {"offline", counts.offline}};
    if (counts.shadowed > 0) {
      const Interval agreement = rate_interval(counts.shadow_agreed, counts.shadowed, 0.95);
      tier["shadow"] = {{"compared", counts.shadowed},
                        {"agreed", counts.shadow_agreed},
                        {"agreementFrom", agreement.low},
                        {"agreementTo", agreement.high}};
    }
    tiers.push_back(std::move(tier));
  }
  return formats::json_text({{"name", config_.name},
                             {"requests", requests_},
                             {"escalated", escalated_},
                             {"tiers", std::move(tiers)}});
}

io::Task<HttpResponse> Cascade::handle(HttpRequest request) {
  const std::string path(net::split_target(request.target).first);
  const std::string model = "/v2/models/" + config_.name;
  const std::string_view method = net::routed_method(request);
  if (path == model + "/infer") {
    if (method != "POST") co_return error_response(405, "inferences are POSTed");
    co_return co_await infer(std::move(request));
  }
  if (method != "GET") co_return error_response(405, "only GET is understood here");
  if (path == "/v2/health/live" || path == "/v2/health/ready" || path == model + "/ready") {
    co_return net::json_response(200, "{}");
  }
  if (path == "/v2") {
    co_return net::json_response(200,
                                 R"({"name":"skerry-cascade","version":"0.1.0","extensions":[]})");
  }
  if (path == model + "/cascade") co_return net::json_response(200, statistics());
  if (path == model) {  // inputs and outputs are those of the tiers
    HttpRequest asked;
    tiers_[0].token.authorize(asked);
    auto metadata = co_await http_.fetch(config_.tiers[0].url, std::move(asked), {});
    json document = metadata ? json::parse(metadata->body, nullptr, false) : json();
    if (!document.is_object()) co_return error_response(503, "the first tier does not answer");
    document["name"] = config_.name;
    document["platform"] = "skerry_cascade";
    co_return net::json_response(metadata->status, formats::json_text(document));
  }
  co_return error_response(404, "there is " + model + ", with /infer, /ready and /cascade");
}

}  // namespace skerry::hybrid
