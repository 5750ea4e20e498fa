// One connection to the nucleus for all clients that wait at a time: it may have been restarted
// since the last one.
#include "streams/authenticator.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace skerry::streams {
namespace {

using nlohmann::json;

constexpr const char* kValidate = "aws.greengrass#ValidateAuthorizationToken";
constexpr const char* kInvalidToken = "aws.greengrass#InvalidTokenError";
constexpr const char* kUnauthorized = "aws.greengrass#UnauthorizedError";
constexpr size_t kMaxTokenBytes = 1'024;

}  // namespace

io::Task<Result<void>> Authenticator::check(std::string token) {
  if (token.empty() || token.size() > kMaxTokenBytes) {
    co_return fail(Code::kPermissionDenied,
                   "no authToken: AWS_CONTAINER_AUTHORIZATION_TOKEN of a component is needed");
  }
  io::Completion<Result<void>> answer(loop_);
  questions_.push_back({std::move(token), answer});
  if (!std::exchange(asking_, true)) tasks_.spawn(ask_all());
  co_return co_await answer;
}

io::Task<void> Authenticator::ask_all() {
  while (!questions_.empty()) {
    auto nucleus = co_await rpc::NucleusClient::connect(loop_, nucleus_);
    for (Question& question : std::exchange(questions_, {})) {
      Result<void> answer;
      if (nucleus) {
        answer = co_await ask(**nucleus, question.token);
      } else {
        answer = fail(nucleus.error().with_context("the nucleus cannot say whose token it is"));
      }
      question.answer.complete(std::move(answer));
    }
  }
  asking_ = false;
}

io::Task<Result<void>> Authenticator::ask(rpc::NucleusClient& nucleus, std::string token) {
  SKERRY_CO_ASSIGN(
      const auto answer,
      co_await nucleus.call(
          kValidate, json{{"token", token}}.dump(-1, ' ', false, json::error_handler_t::replace)));
  if (!answer.is_error) {
    const json body = json::parse(answer.payload, nullptr, false);
    if (body.is_object() && body.value("isValid", json()) == json(true)) co_return Result<void>();
  }
  if (answer.is_error && answer.shape == kUnauthorized) {
    co_return fail(Code::kUnavailable,
                   "the nucleus answers aws.greengrass.StreamManager only: deploy this program "
                   "under that name");
  }
  if (answer.is_error && answer.shape != kInvalidToken) {
    co_return fail(Code::kUnavailable,
                   "the nucleus cannot say whose token it is: " + answer.payload);
  }
  co_return fail(Code::kPermissionDenied, "the authToken belongs to no running component");
}

}  // namespace skerry::streams
