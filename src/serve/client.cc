// Requests to the repository extension, with patience for a server that starts at the same time.
#include "serve/client.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "formats/inference_refusal.h"
#include "formats/json_ptr.h"

namespace skerry::serve {
namespace {

using nlohmann::json;

constexpr int64_t kRetryMs = 50;
constexpr int64_t kLookMs = 1'000;
constexpr int64_t kTimeoutMs = 30'000;

}  // namespace

io::Task<Result<std::string>> InferClient::post(std::string target, std::string body,
                                                int64_t timeout_ms) {
  return ask("POST", std::move(target), std::move(body), timeout_ms);
}

io::Task<Result<std::string>> InferClient::ask(std::string method, std::string target,
                                               std::string body, int64_t timeout_ms) {
  for (int64_t waited = 0;; waited += kRetryMs) {
    net::HttpRequest request{.method = method, .target = target, .body = body};
    request.headers.add("Content-Type", "application/json");
    auto response = co_await http_.fetch(fmt::format("unix:{}:{}", socket_path_, target),
                                         std::move(request), {.timeout_ms = timeout_ms});
    if (response && response->status == 200) co_return std::move(response->body);
    if (response) {
      const Error refusal = formats::inference_refusal(response->status, response->body);
      co_return fail(Code::kFailedPrecondition, refusal.message());  // it was reached
    }
    if (response.error().code() != Code::kUnavailable || waited >= wait_ms_) {
      co_return fail(std::move(response.error()));
    }
    co_await io::sleep(loop_, kRetryMs);
  }
}

io::Task<Result<std::string>> InferClient::load(std::string name, std::string directory, bool retry,
                                                std::string label, int64_t timeout_ms) {
  json body = {{"parameters", {{"path", directory}}}};
  if (retry) body["parameters"]["retry"] = true;
  if (!label.empty()) body["parameters"]["label"] = label;
  co_return co_await post(fmt::format("/v2/repository/models/{}/load", net::percent_encode(name)),
                          formats::json_text(body), timeout_ms);
}

io::Task<Result<std::string>> InferClient::unload(std::string name, std::string version) {
  json body = json::object();
  if (!version.empty()) body["parameters"]["version"] = version;
  co_return co_await post(fmt::format("/v2/repository/models/{}/unload", net::percent_encode(name)),
                          formats::json_text(body), kTimeoutMs);
}

io::Task<Result<std::string>> InferClient::policy(std::string name, std::string changes) {
  co_return co_await ask(changes.empty() ? "GET" : "POST",
                         fmt::format("/v2/repository/models/{}/policy", net::percent_encode(name)),
                         changes, kTimeoutMs);
}

io::Task<Result<std::string>> InferClient::add_runtime(std::string name, std::string library,
                                                       std::string component, int64_t timeout_ms) {
  const json body = {{"parameters", {{"path", library}, {"component", component}}}};
  co_return co_await post(fmt::format("/v2/repository/runtimes/{}/add", net::percent_encode(name)),
                          formats::json_text(body), timeout_ms);
}

io::Task<Result<std::string>> InferClient::remove_runtime(std::string name) {
  co_return co_await post(
      fmt::format("/v2/repository/runtimes/{}/remove", net::percent_encode(name)), "{}",
      kTimeoutMs);
}

io::Task<Result<std::string>> InferClient::runtimes() {
  co_return co_await ask("GET", "/v2/repository/runtimes", "", kTimeoutMs);
}

io::Task<Result<void>> InferClient::watch(std::string name, std::string version) {
  const std::string target = fmt::format("/v2/models/{}/versions/{}/watchdog",
                                         net::percent_encode(name), net::percent_encode(version));
  for (;;) {
    co_await io::sleep(loop_, kLookMs);
    const auto response =
        co_await http_.fetch(fmt::format("unix:{}:{}", socket_path_, target), {.target = target});
    if (!response) continue;
    const Error refusal = formats::inference_refusal(response->status, response->body);
    if (refusal.code() == Code::kPermissionDenied) co_return fail(refusal);
    if (response->status != 200) continue;
    const json document = json::parse(response->body, nullptr, false);
    const json fault = document.is_object() ? document.value("fault", json()) : json();
    if (!fault.is_string()) continue;
    co_return fail(Code::kInternal, fmt::format("version {} of model '{}' is at fault: {}", version,
                                                name, fault.get<std::string>()));
  }
}

io::Task<Result<std::string>> InferClient::index() {
  SKERRY_CO_ASSIGN(const std::string index,
                   co_await post("/v2/repository/index", "{}", kTimeoutMs));
  SKERRY_CO_ASSIGN(const std::string stats,
                   co_await ask("GET", "/v2/models/stats", "", kTimeoutMs));
  try {
    json rows = json::parse(index);
    for (const json& model : json::parse(stats).at("model_stats")) {
      if (model.at("memory_usage").empty()) continue;
      for (json& row : rows) {
        if (row.at("name") != model.at("name") || row.at("version") != model.at("version"))
          continue;
        row["memory_bytes"] = model.at("memory_usage").at(0).at("byte_size");
      }
    }
    co_return rows.dump();
  } catch (const json::exception& e) {
    co_return fail(Code::kCorrupt, fmt::format("the server's answer: {}", e.what()));
  }
}

}  // namespace skerry::serve
