// Requests and their answers.
#include "learner/fleet_link.h"

#include <nlohmann/json.hpp>

namespace skerry::learner {
namespace {

using federated::TaskMessage;
using nlohmann::json;

constexpr int64_t kTimeoutMs = 300'000;  // the last upload of a round waits for the combining
constexpr uint64_t kMostAnswerBytes = federated::secure::kMostStepBytes;
constexpr int kTries = 5;  // of a download that breaks

Error error_of(const net::HttpResponse& response) {
  const json body = json::parse(response.body, nullptr, false);
  std::string message = "the control plane answers " + std::to_string(response.status);
  if (body.is_object() && body.contains("message") && body["message"].is_string()) {
    message = body["message"].get<std::string>();
  }
  switch (response.status) {
    case 400:
      return {Code::kInvalidArgument, message};
    case 403:
      return {Code::kPermissionDenied, message};
    case 404:
      return {Code::kNotFound, message};
    case 409:
      return {Code::kFailedPrecondition, message};
    default:
      return {Code::kUnavailable, message};
  }
}

// A file on its way.
struct Incoming {
  uint64_t most_bytes;
  std::string whole = {};

  io::Task<Result<void>> write(std::string bytes) {
    if (bytes.size() > most_bytes - whole.size()) {
      co_return fail(Code::kInvalidArgument, "the file is longer than was said");
    }
    whole += bytes;
    co_return Result<void>();
  }
};

std::string path_of(const std::string& training, const char* what, size_t number) {
  return "/" + training + "/" + what + "/" + std::to_string(number);
}

}  // namespace

io::Task<Result<std::string>> FleetLink::call(std::string method, std::string path,
                                              std::string body) {
  net::HttpRequest request{.method = std::move(method), .body = std::move(body)};
  request.headers.add("content-type", "application/octet-stream");
  SKERRY_CO_ASSIGN(
      auto response,
      co_await http_.fetch(url_ + federated::kLearningPath + path, std::move(request),
                           {.timeout_ms = kTimeoutMs, .max_body_bytes = kMostAnswerBytes}));
  if (response.status / 100 != 2) co_return fail(error_of(response));
  co_return std::move(response.body);
}

io::Task<Result<std::string>> FleetLink::download(std::string path, uint64_t most_bytes) {
  Incoming incoming{most_bytes};
  for (int left = kTries;; --left) {
    net::FetchOptions options{.timeout_ms = kTimeoutMs, .max_body_bytes = most_bytes};
    options.sink = [&incoming](std::string bytes) { return incoming.write(std::move(bytes)); };
    const std::string url =
        url_ + federated::kLearningPath + path + "?offset=" + std::to_string(incoming.whole.size());
    auto response = co_await http_.fetch(url, {}, std::move(options));
    if (response && response->status / 100 == 2) co_return std::move(incoming.whole);
    if (response) co_return fail(error_of(*response));
    if (!response.error().retryable() || left == 0) co_return fail(std::move(response.error()));
  }
}

io::Task<Result<TaskMessage>> FleetLink::next_task(std::vector<std::string> data) {
  SKERRY_CO_ASSIGN(const std::string answer,
                   co_await call("POST", "/tasks", json{{"data", data}}.dump()));
  co_return federated::parse_task(answer);
}

io::Task<Result<std::string>> FleetLink::model(std::string training, uint64_t most_bytes) {
  return download("/" + training + "/model", most_bytes);
}

io::Task<Result<std::string>> FleetLink::parameters(std::string training, size_t round,
                                                    uint64_t most_bytes) {
  return download(path_of(training, "parameters", round), most_bytes);
}

io::Task<Result<void>> FleetLink::upload(std::string training, size_t attempt, std::string bytes) {
  const std::string path = path_of(training, "updates", attempt);
  const auto read = [](const std::string& answer) -> Result<std::pair<uint64_t, bool>> {
    const json document = json::parse(answer, nullptr, false);
    if (document.is_object() && document.contains("bytes") &&
        document["bytes"].is_number_unsigned()) {
      return std::pair(document["bytes"].get<uint64_t>(),
                       document.value("complete", json()) == true);
    }
    return fail(Code::kUnavailable, "the control plane does not say what it has of the update");
  };
  SKERRY_CO_ASSIGN(std::string answer, co_await call("GET", path, ""));
  SKERRY_CO_ASSIGN(auto received, read(answer));
  // However the server counts, it ends.
  const size_t most = 2 * (bytes.size() / federated::kChunkBytes) + 10;
  for (size_t sent = 0; sent < most && !received.second; ++sent) {
    const uint64_t offset = std::min<uint64_t>(received.first, bytes.size());
    SKERRY_CO_ASSIGN(answer, co_await call("PUT",
                                           path + "?offset=" + std::to_string(offset) +
                                               "&size=" + std::to_string(bytes.size()),
                                           bytes.substr(offset, federated::kChunkBytes)));
    SKERRY_CO_ASSIGN(received, read(answer));
  }
  if (received.second) co_return Result<void>();
  co_return fail(Code::kUnavailable, "the control plane does not take the update");
}

io::Task<Result<void>> FleetLink::evaluated(std::string training, size_t attempt,
                                            federated::Evaluation evaluation) {
  SKERRY_CO_TRY(co_await call("POST", path_of(training, "evaluations", attempt),
                              federated::to_json(evaluation).dump()));
  co_return Result<void>();
}

io::Task<Result<federated::secure::Step>> FleetLink::secure_step(std::string training,
                                                                 size_t attempt) {
  SKERRY_CO_ASSIGN(const std::string answer,
                   co_await call("GET", path_of(training, "secure", attempt), ""));
  co_return federated::secure::parse_step(answer);
}

io::Task<Result<void>> FleetLink::say(std::string training, size_t attempt,
                                      federated::secure::Said said) {
  SKERRY_CO_TRY(co_await call("POST", path_of(training, "secure", attempt),
                              federated::secure::to_json(said).dump()));
  co_return Result<void>();
}

io::Task<Result<void>> FleetLink::refuse(std::string training, size_t attempt) {
  SKERRY_CO_TRY(co_await call("POST", path_of(training, "refusals", attempt), "{}"));
  co_return Result<void>();
}

}  // namespace skerry::learner
