// An inference's way from the body to the answer.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/check.h"
#include "serve/classification.h"
#include "serve/http_api.h"
#include "serve/memory_guard.h"
#include "serve/request_record.h"

namespace skerry::serve {
namespace {

using net::HttpRequest;
using net::HttpResponse;
using SharedTensorsPtr = std::shared_ptr<const SharedTensors>;

constexpr std::string_view kJsonBytesHeader = "Inference-Header-Content-Length";
// What is read and written on the loop takes some 100 µs at most.
constexpr size_t kMaxJsonOnLoop = 16 << 10;
constexpr size_t kMaxBinaryOnLoop = 256 << 10;

Result<std::optional<size_t>> json_bytes_of(const HttpRequest& request) {
  if (!request.headers.has(kJsonBytesHeader)) return std::nullopt;
  const std::string_view text = request.headers.get(kJsonBytesHeader);
  size_t bytes = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
  if (error != std::errc() || end != text.data() + text.size()) {
    return fail(Code::kInvalidArgument,
                fmt::format("header {} is '{}', not a number of bytes", kJsonBytesHeader, text));
  }
  return bytes;
}

Result<DecodedRequest> decode(const ServedModel& model, const std::string& body,
                              std::optional<size_t> json_bytes) {
  return within_memory("the request", [&] {
    return json_bytes == 0u ? decode_raw_request(body, model.inputs)
                            : decode_request(body, json_bytes);
  });
}

bool is_long_to_decode(const std::string& body, std::optional<size_t> json_bytes) {
  return body.size() > kMaxBinaryOnLoop || json_bytes.value_or(body.size()) > kMaxJsonOnLoop;
}

bool uses_shared_memory(const DecodedRequest& request) {
  return !request.shared_inputs.empty() ||
         std::ranges::any_of(request.form.outputs,
                             [](const auto& output) { return output.shared.has_value(); });
}

Result<void> classify_outputs(const ServedModel& model, const AnswerForm& form,
                              std::vector<tensor::Tensor>& outputs) {
  for (size_t i = 0; i < std::min(form.outputs.size(), outputs.size()); ++i) {
    if (form.outputs[i].classes == 0) continue;
    const auto spec = std::ranges::find(model.outputs, outputs[i].name, &tensor::TensorSpec::name);
    SKERRY_CHECK(spec != model.outputs.end(), "an output that the contract does not have");
    SKERRY_ASSIGN(outputs[i], classify(outputs[i], *spec, form.outputs[i].classes));
  }
  return {};
}

// `shared`: null where nothing goes into shared memory.
Result<EncodedAnswer> encode(const ServedModel& model, const AnswerForm& form,
                             std::vector<tensor::Tensor>& outputs, const SharedTensors* shared) {
  return within_memory("the answer", [&]() -> Result<EncodedAnswer> {
    SKERRY_TRY(classify_outputs(model, form, outputs));
    if (shared != nullptr) SKERRY_TRY(write_outputs(*shared, form, outputs));
    return encode_answer(model.name, model.version, form, outputs);
  });
}

bool is_long_to_encode(const AnswerForm& form, const std::vector<tensor::Tensor>& outputs) {
  size_t json_bytes = 0;
  size_t binary_bytes = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const AnswerForm::Output* said = find_output(form, i);
    const bool is_copied = wants_binary(form, i) || (said != nullptr && said->shared);
    (is_copied ? binary_bytes : json_bytes) += outputs[i].bytes.size();
  }
  return binary_bytes > kMaxBinaryOnLoop || json_bytes > kMaxJsonOnLoop;
}

HttpResponse response_of(EncodedAnswer answer) {
  HttpResponse response;
  if (answer.json_bytes) {
    response.headers.add("Content-Type", "application/octet-stream");
    response.headers.add(std::string(kJsonBytesHeader), std::to_string(*answer.json_bytes));
  } else {
    response.headers.add("Content-Type", "application/json");
  }
  response.body = std::move(answer.body);
  return response;
}

io::Task<HttpResponse> refuse(Error error) {
  co_return error_response(error);
}

}  // namespace

io::Task<HttpResponse> HttpApi::begin_infer(Call call) {
  ServedModelPtr next = call.version.empty() ? repository_.next(call.name) : nullptr;
  if (next) return infer(std::move(next), std::move(call));
  auto model = repository_.get(call.name, call.version);
  if (!model) return refuse(std::move(model.error()));
  return infer(std::move(*model), std::move(call));
}

// The inputs that lie in shared memory, read; what else of it the request needs, found.
io::Task<Result<SharedTensorsPtr>> HttpApi::take_shared(DecodedRequest& request) {
  SKERRY_CO_ASSIGN(SharedTensors found, find_regions(shared_memory_, request));
  auto shared = std::make_shared<const SharedTensors>(std::move(found));
  if (shared->inputs.empty()) co_return shared;
  SKERRY_CO_ASSIGN(request.inference.holds, shared_memory_.reserve(shared->input_bytes));
  auto read = [shared, inputs = std::move(request.inference.inputs)]() mutable {
    return within_memory("the request", [&]() -> Result<std::vector<tensor::Tensor>> {
      SKERRY_TRY(read_inputs(*shared, inputs));
      return std::move(inputs);
    });
  };
  auto inputs = shared->input_bytes > kMaxBinaryOnLoop
                    ? co_await io::run_on(codec_, loop_, std::move(read))
                    : read();
  if (!inputs) co_return fail(std::move(inputs.error()));
  request.inference.inputs = std::move(*inputs);
  co_return shared;
}

io::Task<HttpResponse> HttpApi::infer(ServedModelPtr model, Call call) {
  HttpRequest& request = call.request;
  repository_.used(*model);
  RequestRecord record(ledger_, *model);
  const auto failed = [&](const Error& error) {
    record.failed(error);
    return error_response(error);
  };
  if (request.headers.has("Content-Encoding")) {  // one that the server has not undone
    co_return error_response(415, "send the body as it is, or compressed with gzip or deflate");
  }
  const auto json_bytes = json_bytes_of(request);
  if (!json_bytes) co_return failed(json_bytes.error());
  auto decoded =
      is_long_to_decode(request.body, *json_bytes)
          ? co_await io::run_on(codec_, loop_,
                                [model, body = std::move(request.body), json_bytes = *json_bytes] {
                                  return decode(*model, body, json_bytes);
                                })
          : decode(*model, request.body, *json_bytes);
  if (!decoded) co_return failed(decoded.error());
  SharedTensorsPtr shared;
  if (uses_shared_memory(*decoded)) {
    auto taken = co_await take_shared(*decoded);
    if (!taken) co_return failed(taken.error());
    shared = std::move(*taken);
  }
  record.decoded(decoded->inference.inputs);
  decoded->inference.caller_is_gone = std::move(request.client_is_gone);
  auto outcome = co_await scheduler_.infer(model, std::move(decoded->inference));
  record.ran(outcome);
  if (!outcome.outputs) co_return failed(outcome.outputs.error());

  const std::string id = decoded->form.id;
  auto answer = is_long_to_encode(decoded->form, *outcome.outputs)
                    ? co_await io::run_on(codec_, loop_,
                                          [model, form = std::move(decoded->form), shared,
                                           outputs = std::move(*outcome.outputs)]() mutable {
                                            return encode(*model, form, outputs, shared.get());
                                          })
                    : encode(*model, decoded->form, *outcome.outputs, shared.get());
  if (!answer) co_return failed(answer.error());
  record.answered(id);
  co_return response_of(std::move(*answer));
}

}  // namespace skerry::serve
